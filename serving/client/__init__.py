"""A small client: ask a running service for labelled images, lines of text or work on images.

images = ask("http://127.0.0.1:8000", "digits", {"3": 20, "7": 20}, out="digits.zip")
unpack(images.path, "digits")
lines = write("http://127.0.0.1:8000", "plates", ["京A12345", "浙F8GH07"], out="plates.zip")
older = edit("http://127.0.0.1:8000", "faces", "me.jpg", {"Gray_Hair": 1.0})
"""

from serving.client.calls import Picture, wait_until_ready
from serving.client.drawing import Download, ask, stylize, write
from serving.client.editing import Box, edit, inpaint, morph, reconstruct, super_resolve
from serving.client.unpacking import unpack

__all__ = [
    "Box",
    "Download",
    "Picture",
    "ask",
    "edit",
    "inpaint",
    "morph",
    "reconstruct",
    "stylize",
    "super_resolve",
    "unpack",
    "wait_until_ready",
    "write",
]
