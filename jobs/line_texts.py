"""Write lines of text of a bundle; ``--texts`` says which, as for rendered ones."""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from augment.bundle import READER_FOLDER
from augment.errors import ConfigError
from augment.generate import Tally
from augment.generators.line_reading import draw_lines
from augment.generators.line_saae import load_line_sampler
from augment.generators.line_sampler import line_records
from jobs.exports import check_kept, open_writer
from jobs.reading import set_reader_band
from jobs.real_lines import open_real_lines, real_line_records
from jobs.text_choice import asks_reader, choose_texts
from recognizers.text_reader import load_text_reader

__all__ = ["check_options", "write_lines"]

MOST_TOLD = 10
"""Texts named on the screen that lines are missing of; the export tells all."""


def check_options(arguments: Namespace, *, writes_lines: bool) -> None:
    """Refuse options that do not go with the kind of bundle.

    Raises:
        ConfigError: names them.
    """
    if writes_lines != (arguments.texts is not None):
        raise ConfigError(
            "--texts goes with bundles that write lines, and these with nothing else; got "
            f"{arguments.bundle} and {arguments.texts or 'no --texts'}."
        )
    others = {
        "--new-identities": arguments.new_identities,
        "--people-from": arguments.people_from,
        "--drop-copies": arguments.drop_copies,
        "--labels": None if arguments.labels == "all" else arguments.labels,
    }
    given = [option for option, value in others.items() if value is not None]
    if writes_lines and given:
        raise ConfigError(f"{' and '.join(given)} does not go with lines; leave it out.")


def write_lines(
    folder: Path,
    arguments: Namespace,
    out: Path,
    *,
    device: str,
    half: bool | None,
    max_factor: int,
) -> None:
    """Run the job for a bundle of lines; see ``draw_lines``.

    Args:
        folder: of the bundle.
        arguments: of ``jobs.generate``.
        out: where the export goes.
        device: where lines are drawn and read.
        half: as for ``LineSampler``.
        max_factor: candidates at most, per line.

    Raises:
        BundleError: a reader that does not fit the bundle.
        ConfigError, DataError: see ``choose_texts``, ``open_real_lines``, ``set_reader_band``.
        RequestError: a text that the bundle cannot write.
    """
    sampler = load_line_sampler(folder, device=device, half=half)
    count, seed, place = arguments.count, arguments.seed, folder / READER_FOLDER
    reads = place.is_dir() and (arguments.read_back or asks_reader(arguments.texts))
    reader = load_text_reader(place, device, info=sampler.info) if reads else None
    text_of = choose_texts(arguments.texts, sampler.layout, seed, reader)
    real = open_real_lines(arguments.with_real)
    judge = reader if arguments.read_back else None
    set_reader_band(judge, arguments.reader_band)
    if arguments.dry_run:
        return
    tally = Tally()
    with (
        open_writer(arguments, out, None, sampler.info) as writer,
        tqdm(total=count, desc="writing", unit="line") as bar,
    ):
        if real is not None:
            fit, channels = sampler.shape.fit, sampler.channels
            for record in real_line_records(real, fit, channels=channels):
                writer.add(record)
        for samples in draw_lines(
            sampler, text_of, count, seed, reader=judge, tally=tally, max_factor=max_factor
        ):
            rows = range(len(samples.texts))
            for record in line_records(samples, sampler.digest, rows):
                writer.add(record)
            bar.update(len(rows))
        check_kept(tally)
        writer.close({**asdict(tally), "real": len(real) if real else 0})
    print(f"{out}: {tally.kept} lines kept of {tally.made} made", end="")
    print(f", {len(real)} real ones" if real else "")
    for text, missing in list(tally.shortfall.items())[:MOST_TOLD]:
        print(f"{text}: {missing} fewer than asked for; too many were misread")
    if len(tally.shortfall) > MOST_TOLD:
        print(f"and {len(tally.shortfall) - MOST_TOLD:,} more texts")
