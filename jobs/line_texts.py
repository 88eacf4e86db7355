"""Write lines of text of a bundle; ``--texts`` says which, as for rendered ones."""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from augment.bundle import READER_FOLDER
from augment.generate import Tally
from augment.generators.line_reading import CountingReader, Judged, draw_lines
from augment.generators.line_saae import load_line_sampler
from augment.generators.line_sampler import LineSamples, line_records
from jobs.cli import print_plan
from jobs.exports import check_kept, open_journal, open_writer
from jobs.generate_options import GenerateSettings
from jobs.reading import reads_back, set_reader_band
from jobs.real_lines import open_real_lines, real_line_records
from jobs.style_choice import choose_styles
from jobs.text_choice import asks_reader, check_texts, choose_texts
from recognizers.text_reader import load_text_reader

__all__ = ["write_lines"]

MOST_TOLD = 10
"""Texts, or characters, named on the screen that lines are missing of; the export tells all."""
LEAST_YIELD = 0.5
"""Share of the candidates kept below which the screen tells which characters are not read."""


def write_lines(folder: Path, arguments: Namespace, out: Path, settings: GenerateSettings) -> None:
    """Run the job for a bundle of lines; see ``draw_lines``.

    Args:
        folder: of the bundle.
        arguments: of ``jobs.generate``, checked.
        out: where the export goes.
        settings: how lines are drawn, on a device that there is.

    Raises:
        BundleError: a reader that does not fit the bundle.
        ConfigError, DataError: see ``choose_texts``, ``open_real_lines``, ``reads_back``,
            ``set_reader_band``, ``choose_styles``.
        RequestError: a text that the bundle cannot write, or styles that it does not have.
    """
    device, half, compile = settings.device, settings.half, bool(settings.compile)
    sampler = load_line_sampler(folder, device=device, half=half, compile=compile)
    count, seed, place = arguments.count, arguments.seed, folder / READER_FOLDER
    reads = reads_back(folder, arguments.read_back)
    asked = reads or (asks_reader(arguments.texts) and place.is_dir())
    reader = load_text_reader(place, device, info=sampler.info) if asked else None
    text_of = choose_texts(
        arguments.texts,
        sampler.layout,
        seed,
        sampler.form.width_of,
        reader,
        in_order=arguments.in_order,
    )
    real = open_real_lines(arguments.with_real, sampler.layout)
    check_texts(arguments, text_of, sampler.form.width_of, real)
    select = choose_styles(arguments.select)
    styles = sampler.num_styles if select is None else len(sampler.select(select))
    judge = reader if reads else None
    set_reader_band(judge, arguments.reader_band)
    if arguments.dry_run:
        told = {"styles": f"{styles:,} of {sampler.num_styles:,}"}
        print_plan("generate", Namespace(**vars(arguments), **told), settings)
        return
    tally = Tally()
    with (
        open_writer(arguments, out, None, sampler.info) as writer,
        open_journal(arguments, out, sampler.digest, settings) as journal,
        tqdm(total=count, desc="writing", unit="line") as bar,
    ):
        if journal is not None:
            sampler = journal.follow(sampler, "draw_texts", LineSamples._make)
            judge = judge and journal.follow(judge, "judge", Judged._make)
        counter = None if judge is None else CountingReader(judge)
        if real is not None:
            fit, channels = sampler.shape.fit, sampler.channels
            for record in real_line_records(real, fit, channels=channels):
                writer.add(record)
        for samples in draw_lines(
            sampler,
            text_of,
            count,
            seed,
            reader=counter,
            select=select,
            tally=tally,
            max_factor=settings.max_factor,
        ):
            rows = range(len(samples.texts))
            for record in line_records(samples, sampler.digest, rows):
                writer.add(record)
            bar.update(len(rows))
        check_kept(tally)
        summary = {**asdict(tally), "real": len(real) if real else 0}
        if counter is not None:
            summary["by_character"] = {
                character: {"kept": counter.kept[character], "made": made}
                for character, made in sorted(counter.judged.items())
            }
        writer.close(summary)
    print(f"{out}: {tally.kept} lines kept of {tally.made} made", end="")
    print(f", in {styles:,} of {sampler.num_styles:,} styles" if select else "", end="")
    print(f", {len(real)} real ones" if real else "")
    for text, missing in list(tally.shortfall.items())[:MOST_TOLD]:
        print(f"{text}: {missing} fewer than asked for; too many were misread")
    if len(tally.shortfall) > MOST_TOLD:
        print(f"and {len(tally.shortfall) - MOST_TOLD:,} more texts")
    if counter is not None and tally.kept < LEAST_YIELD * tally.made:
        print(describe_yield(counter, tally))


def describe_yield(counter: CountingReader, tally: Tally) -> str:
    """How few candidates were kept, and the characters whose lines hardly ever were."""
    worst = counter.by_yield()[:MOST_TOLD]
    told = ", ".join(f"{c} {counter.kept[c]} of {counter.judged[c]}" for c in worst)
    return (
        f"only {tally.kept / tally.made:.0%} of the candidates read as their text, least often "
        f"those with {told}. Look at some by --no-read-back: if they can be read, the bundle's "
        "reader has learned too little; jobs.train --reader-steps trains it longer."
    )
