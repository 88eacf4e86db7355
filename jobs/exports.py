"""The options of jobs that write exports, and the writer they ask for."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from augment.bundle import BundleInfo
from augment.errors import DataError
from augment.export import WRITERS, Card, Writer
from augment.generate import Tally

__all__ = ["add_export_options", "check_kept", "open_writer"]


def add_export_options(options: ArgumentParser) -> None:
    """Add ``--format`` and ``--licence``."""
    options.add_argument("--format", choices=sorted(WRITERS), default="folder", help="of --out")
    options.add_argument(
        "--licence",
        metavar="TEXT",
        help="terms of the images that the bundle was trained on and of others that go in, for the "
        "card; without others, those that the bundle tells unless given",
    )


def open_writer(
    arguments: Namespace, out: Path, classes: Sequence[str] | None, info: BundleInfo
) -> Writer:
    """Return the writer that the options ask for.

    Args:
        arguments: of ``jobs.generate``.
        out: where the export goes.
        classes: what labels there may be; None: labels are texts.
        info: of the bundle.

    Raises:
        DataError: something is at ``out`` already.
    """
    parts = Path(arguments.bundle).parts
    bundle = "/".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])
    others = arguments.with_real or arguments.people_from
    card = Card(
        title=f"Labelled images by {bundle}",
        made_by=f"Drawn by Labelmint from the generator bundle {bundle} with seed "
        f"{arguments.seed}; what a reader did not read as its label was dropped where one was "
        "asked. The manifest tells generated images from real ones.",
        licence=arguments.licence or (None if others else info.licence),
    )
    return WRITERS[arguments.format](out, classes=classes, card=card)


def check_kept(tally: Tally) -> None:
    """Refuse an export without a single generated image; its writer then leaves nothing behind.

    Raises:
        DataError: everything that was made was dropped.
    """
    if not tally.kept:
        raise DataError(
            f"expected images that read as their label and are no copies, got none of "
            f"{tally.made:,} made, so nothing was written; train the bundle or its reader longer, "
            "or keep what it draws by --no-read-back."
        )
