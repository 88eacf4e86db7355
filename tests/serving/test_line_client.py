"""The client asks for lines of text."""

from contextlib import nullcontext

import httpx
import numpy as np
import pytest

from augment.data.lines import draw_contents
from augment.errors import RequestError
from augment.images import encode_png
from serving import client as line_client


@pytest.fixture
def url(service, monkeypatch):
    """A service in process, where httpx would call one."""
    monkeypatch.setattr(
        httpx, "stream", lambda method, url, **how: nullcontext(service.post(url, **how))
    )
    return "http://service/"


def test_the_client_asks_for_given_and_for_random_lines(url, tmp_path):
    how = {"seed": 3, "progress": False}
    texts = ["京A12345", "浙F8GH07"]
    got = line_client.write(url, "read-plates", texts, out=tmp_path / "a.zip", **how)
    assert got.asked == 2
    assert got.kept + got.shortfall == 2
    rows = line_client.unpack(got.path, tmp_path / "a")
    assert {row["label"] for row in rows} <= set(texts)
    assert all(0 < row["confidence"] < 1 for row in rows)
    bright = {"brightness": [0.5, 1.0]}
    got = line_client.write(url, "plates", 5, out=tmp_path / "b.zip", select=bright, **how)
    assert (got.seed, got.made, got.kept, got.dropped) == (3, 5, 5, 0)
    got = line_client.write(url, "words", {"Open": 3}, out=tmp_path / "d.zip", **how)
    assert [row["label"] for row in line_client.unpack(got.path, tmp_path / "d")] == ["Open"] * 3
    with pytest.raises(RequestError, match="no reader"):
        line_client.write(url, "plates", 1, out=tmp_path / "c.zip", read_back=True, **how)
    assert not list(tmp_path.glob("c*"))


def test_the_client_asks_for_lines_in_the_style_of_an_image(url, tmp_path):
    picture = tmp_path / "style.png"
    ink = draw_contents(["Maple"], size=(40, 120), looks=[0])[0]
    picture.write_bytes(encode_png(ink.repeat(3, axis=2)))
    out, texts = tmp_path / "styled.zip", ["Hotel", "Open"]
    line_client.stylize(
        url, "words", picture, texts, out=out, image_text="Maple", seed=1, progress=False
    )
    rows = line_client.unpack(out, tmp_path / "styled")
    assert [row["label"] for row in rows] == texts
    assert all(row["styles"] is None for row in rows)
    with pytest.raises(RequestError, match="position 2"):
        line_client.stylize(url, "words", picture, ["a,b"], out=out, progress=False)


def test_the_client_asks_for_lines_within_a_band_of_the_readers_confidences(url, tmp_path):
    how = {"out": tmp_path / "z.zip", "seed": 7, "progress": False}
    picture = encode_png(np.full((40, 120, 3), 90, np.uint8))

    def write(texts, **more):
        return line_client.write(url, "read-plates", texts, **how, **more)

    def stylize(texts, **more):
        return line_client.stylize(url, "read-plates", picture, texts, **how, **more)

    texts = ["京A12345", "浙F8GH07"] * 3
    for ask in (write, stylize):
        every = line_client.unpack(ask(texts).path, tmp_path / f"{ask.__name__}-every")
        sure = [row["confidence"] for row in every]
        middle = (min(sure) + max(sure)) / 2
        told = ask(texts, reader_band=(middle, 1.0))
        kept = line_client.unpack(told.path, tmp_path / f"{ask.__name__}-surer")
        assert kept
        assert min(sure) < middle <= min(row["confidence"] for row in kept)
        with pytest.raises(RequestError, match="goes with images that are read back"):
            ask(["京A12345"], reader_band=(0.1, 0.9), read_back=False)
