"""The options of jobs that write exports, and the writer they ask for."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from augment.bundle import BundleInfo
from augment.errors import DataError
from augment.export import WRITERS, Card, Writer
from augment.generate import Tally
from augment.journal import Journal
from jobs.alone import alone_at
from jobs.cli import absolute_location

__all__ = ["add_export_options", "check_kept", "open_journal", "open_writer", "writing_alone"]


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
) -> AbstractContextManager[Writer]:
    """Return the writer that the options ask for, to be entered.

    Args:
        arguments: of ``jobs.generate``.
        out: where the export goes.
        classes: what labels there may be; None: labels are texts.
        info: of the bundle.

    Raises:
        ConfigError, DataError: as ``writing_alone``.
    """
    parts = Path(absolute_location(arguments.bundle, "BUNDLE")).parts
    bundle = "/".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])
    others = arguments.with_real or arguments.people_from
    card = Card(
        title=f"Labelled images by {bundle}",
        made_by=f"Drawn by Labelmint from the generator bundle {bundle} with seed "
        f"{arguments.seed}; what a reader did not read as its label was dropped where one was "
        "asked. The manifest tells generated images from real ones.",
        licence=arguments.licence or (None if others else info.licence),
    )
    return writing_alone(arguments.format, out, classes, card)


@contextmanager
def writing_alone(
    layout: str, out: Path, classes: Sequence[str] | None, card: Card
) -> Iterator[Writer]:
    """Open a writer and keep other jobs from the same place, as long as the block runs.

    Args:
        layout: name of one of ``WRITERS``.
        out: where the export goes.
        classes: what labels there may be; None: labels are texts.
        card: what the card says.

    Raises:
        ConfigError: another job is writing there.
        DataError: something is at ``out`` already.
    """
    lock = out.with_name(f".{out.name}.labelmint-lock")  # poetry.lock is somebody's own
    with alone_at(out, lock):
        try:
            with WRITERS[layout](out, classes=classes, card=card) as writer:
                yield writer
        finally:
            lock.unlink(missing_ok=True)  # still held; nothing stays beside an export


def open_journal(
    arguments: Namespace, out: Path, digest: str, settings: Any, people: str | None = None
) -> AbstractContextManager[Journal | None]:
    """Return the journal of what is drawn and read, where ``--resume`` asks for one, to be entered.

    It lies beside ``out`` until that is finished; to be entered after the writer, which keeps other
    jobs away.

    Args:
        arguments: of ``jobs.generate``.
        out: where the export goes.
        digest: of the bundle.
        settings: of the drawing.
        people: digest of the photographs of those who are drawn; None: they are the bundle's own.

    Raises:
        ResumeError: one of other settings lies there.
    """
    if not arguments.resume:
        return nullcontext()
    path = out.with_name(f"{out.name}.journal")
    if path.exists():
        print(f"{path}: going on where an earlier job was stopped")
    claim = {
        "bundle": digest,
        "people": people,
        "seed": arguments.seed,
        "band": arguments.reader_band,
        **asdict(settings),
    }
    return Journal(path, claim)


def check_kept(tally: Tally) -> None:
    """Refuse an export without a single generated image; its writer then leaves nothing behind.

    Raises:
        DataError: everything that was made was dropped.
    """
    if not tally.kept:
        raise DataError(
            f"expected images that read as their label and are no copies, got none of "
            f"{tally.made:,} made, so nothing was written; train the bundle or its reader longer "
            "(jobs.train --reader-steps), or keep what it draws by --no-read-back."
        )
