"""One image on its way out: its record, and how labels become names of files."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

import cv2

from augment.errors import LabelError
from augment.generate import Drawn
from augment.images import Pixels, decode_image, encode_png, resize_image

__all__ = [
    "CARD",
    "CHECKSUMS",
    "CLASSES",
    "MANIFEST",
    "ClassNumbers",
    "Record",
    "check_text",
    "encode_jpeg",
    "folder_name",
    "generated_record",
    "label_of_folder",
    "list_classes",
]

MANIFEST = "manifest.jsonl"
CLASSES = "classes.txt"
CARD = "README.md"
CHECKSUMS = "SHA256SUMS"

_PASSED_OVER = ("__MACOSX", "@eaDir")  # in reading; names with a dot in front are escaped anyway
_OWN_FILES = (MANIFEST, CLASSES, CARD, CHECKSUMS, *_PASSED_OVER)
_UNSAFE = re.compile(
    r'[/\\:*?"<>|%\x00-\x1f\x7f-\x9f\ud800-\udfff]|^\.|[. ]$'
    r"|^(?i:con|prn|aux|nul|com[1-9]|lpt[1-9])(?=\.|$)"  # devices, to Windows
)
_MAX_NAME_BYTES = 200  # file systems take 255 bytes; leaves room for a suffix


@dataclass(frozen=True)
class Record:
    """One image on its way out.

    Attributes:
        png: the encoded image.
        label: its true label, any text.
        index: its index among the request's images of this label, or in the real data set.
        seed: the request's seed; None for a real image.
        bundle: digest of the generator bundle; None for a real image.
        confidence: the reader's confidence in the label, in [0, 1]; None if it was not read back.
        origin: ``generated`` or ``real``.
        content: index into the bundle's content bank; None where it has none.
        styles: indices of the one or two styles of the bundle's bank; None if it was given or drawn
            from the prior.
        mix: share of the second style, in [0, 1].
        source: name of a real image in the data set it comes from.
    """

    png: bytes
    label: str
    index: int
    seed: int | None = None
    bundle: str | None = None
    confidence: float | None = None
    origin: Literal["generated", "real"] = "generated"
    content: int | None = None
    styles: tuple[int, int] | None = None
    mix: float | None = None
    source: str | None = None

    @property
    def name(self) -> str:
        """Name of the image among those of its label, unique for one bundle."""
        middle = "" if self.seed is None else f"{self.seed}-"
        return f"{self.origin}-{middle}{self.index:06d}"

    @property
    def file(self) -> str:
        """Path inside an ImageFolder: ``LABEL/generated-SEED-INDEX.png``."""
        return f"{folder_name(self.label)}/{self.name}.png"

    def row(self, file: str | None = None, data: bytes | None = None) -> dict[str, object]:
        """The image's manifest row.

        Args:
            file: where it lies in the export; its path inside an ImageFolder where None.
            data: the image file as it lies there; ``png`` where None.
        """
        row: dict[str, object] = {
            "file": self.file if file is None else file,
            "label": self.label,
            "origin": self.origin,
            "seed": self.seed,
            "index": self.index,
            "bundle": self.bundle,
            "content": self.content,
            "styles": self.styles,
            "mix": None if self.mix is None else round(self.mix, 4),
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "sha256": hashlib.sha256(self.png if data is None else data).hexdigest(),
        }
        return row if self.source is None else {**row, "source": self.source}


def folder_name(label: str) -> str:
    """Return ``label`` as a folder name, with unsafe characters percent-encoded.

    Safe in every export: never empty, never a path, never one of the export's own files.

    Raises:
        LabelError: the label is empty, or too long for a file name.
    """
    name = _UNSAFE.sub(lambda found: _percent(found.group()), label)
    if name in _OWN_FILES:
        name = _percent(name[0]) + name[1:]
    size = len(name.encode())
    if not 0 < size <= _MAX_NAME_BYTES:
        raise LabelError(
            f"a label must have 1 to {_MAX_NAME_BYTES} bytes to name a folder, got {size} "
            f"({label[:20]!r}…); shorten it."
        )
    return name


def label_of_folder(name: str) -> str:
    """Undo ``folder_name``."""
    return unquote(name, errors="surrogatepass")


def _percent(text: str) -> str:
    """Percent-encode every byte."""
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="surrogatepass"))


def generated_record(drawn: Drawn, classes: Sequence[str], seed: int, bundle: str) -> Record:
    """Return a generated image as a record.

    Args:
        drawn: the image.
        classes: the bundle's class names.
        seed: of the request.
        bundle: the bundle's digest.
    """
    given = drawn.styles[0] < 0
    return Record(
        png=encode_png(drawn.image),
        label=classes[drawn.label],
        index=drawn.index,
        seed=seed,
        bundle=bundle,
        confidence=drawn.confidence,
        content=None if drawn.content < 0 else drawn.content,
        styles=None if given else drawn.styles,
        mix=None if given else drawn.mix,
    )


def list_classes(names: Iterable[str]) -> Iterator[bytes]:
    """The lines of ``classes.txt``: names as folders are named, in the order of numbers."""
    return (f"{folder_name(name)}\n".encode() for name in names)


class ClassNumbers(dict[str, int]):
    """Class name -> its place among the classes; LabelError for a name that is none of them."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__((name, number) for number, name in enumerate(classes))

    def __missing__(self, label: str) -> int:
        """Refuse a label that is no class."""
        raise LabelError(
            f"this layout numbers the {len(self)} classes it was given, got the label "
            f"{label[:40]!r}; add it to them."
        )


def check_text(label: str, layout: str, forbidden: str = "") -> None:
    """Check that a layout can hold a label as text; right-to-left and combining are no trouble.

    Args:
        label: any text, kept as it is: nothing is normalised or escaped.
        layout: the layout's name, for the message.
        forbidden: characters that the layout cannot hold.

    Raises:
        LabelError: it is empty, or holds one of them or half of a surrogate pair.
    """
    bad = next((c for c in label if c in forbidden or "\ud800" <= c <= "\udfff"), None)
    if not label or bad is not None:
        found = "no character" if bad is None else f"the character {bad!r}"
        raise LabelError(
            f"the layout {layout} cannot hold the label {label[:40]!r}, which has {found}; "
            "change the label or choose another layout, such as folder."
        )


def encode_jpeg(png: bytes, *, side: int | None = None) -> bytes:
    """Encode a PNG anew as JPEG, quality 95, in colour; resized to ``side``×``side`` pixels."""
    image: Pixels = decode_image(png, channels=3)
    if side is not None:
        image = resize_image(image, (side, side))
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))
    encoded: bytes = data.tobytes()
    return encoded
