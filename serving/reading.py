"""What requests say of reading back: which confidences of a bundle's reader are kept."""

from typing import Annotated

from pydantic import Field

from augment.errors import RequestError

__all__ = ["ReaderBand", "check_reader_band"]

ReaderBand = Annotated[
    Annotated[tuple[float, float], Field(strict=False)] | None,
    Field(
        description="[low, high]: keep only images that the bundle's reader reads with a "
        "confidence in this band, 0 ≤ low < high ≤ 1; below it are doubtful ones, above it those "
        "too easy to teach anything. Left out: the reader's own band. Goes with images that are "
        "read back, of a bundle that has a reader.",
        examples=[[0.2, 0.9]],
    ),
]


def check_reader_band(band: tuple[float, float] | None, read_back: bool | None) -> None:
    """Check a band of confidences.

    Args:
        band: the least and the greatest that are kept; None: as the reader has it.
        read_back: what the request says of reading back.

    Raises:
        RequestError: it does not rise within [0, 1], or nothing is read back.
    """
    if band is None:
        return
    low, high = band
    if not 0 <= low < high <= 1:
        raise RequestError(
            f"reader_band must be two confidences that rise within [0, 1], such as [0.2, 0.9]; "
            f"got {low} to {high}."
        )
    if read_back is False:
        raise RequestError(
            "reader_band goes with images that are read back; leave it out, or read_back: false."
        )
