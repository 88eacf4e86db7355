"""The options of jobs that train or ask a bundle's reader: whether, and the band it keeps."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from augment.bundle import READER_FOLDER
from augment.errors import ConfigError
from recognizers.reader import CrossFittedReader
from recognizers.text_reader import CrossFittedTextReader

__all__ = ["add_reader_band", "reads_back", "set_reader_band"]


def add_reader_band(options: ArgumentParser, *, unless: str) -> None:
    """Add ``--reader-band``.

    Args:
        options: of the job.
        unless: what holds without the option, for the help.
    """
    options.add_argument(
        "--reader-band",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="keep only images read with a confidence in this band of [0, 1]: below it are "
        f"doubtful ones, above it those too easy to teach anything; unless given, {unless}",
    )


def reads_back(folder: Path, wanted: bool | None) -> bool:
    """Whether images are read back.

    Args:
        folder: of the bundle.
        wanted: what ``--read-back`` says; None: if the bundle has a reader.

    Raises:
        ConfigError: asked for, and there is no reader.
    """
    has_reader = (folder / READER_FOLDER).is_dir()
    if wanted and not has_reader:
        raise ConfigError(
            f"--read-back asks the reader of a bundle, got none in {folder}; train it with one, or "
            "leave the option out."
        )
    return has_reader if wanted is None else wanted


def set_reader_band(
    reader: CrossFittedReader | CrossFittedTextReader | None, band: Sequence[float] | None
) -> None:
    """Have a reader keep what ``--reader-band`` says; without the option it stays as it is.

    Raises:
        ConfigError: a band without a reader, or one that does not rise in [0, 1].
    """
    if band is None:
        return
    low, high = band
    if reader is None:
        raise ConfigError(
            "--reader-band goes with images that a reader of the bundle reads back; here is none."
        )
    if not 0 <= low < high <= 1:
        raise ConfigError(f"--reader-band must rise within [0, 1]; got {low} to {high}.")
    reader.band = low, high
