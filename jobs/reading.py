"""The option of jobs that train or ask a bundle's reader: the band of its confidences."""

from argparse import ArgumentParser
from collections.abc import Sequence

from augment.errors import ConfigError
from recognizers.reader import CrossFittedReader
from recognizers.text_reader import CrossFittedTextReader

__all__ = ["add_reader_band", "set_reader_band"]


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
