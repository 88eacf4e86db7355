"""Write labelled images of a bundle in the layout that a trainer reads as it is.

    python -m jobs.generate registry/plates --per-label 200 --with-real folder:plates --out set

writes the recommended training set: the real images and 200 generated ones of every label.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace

from tqdm import tqdm

from augment.bundle import READER_FOLDER, BundleInfo, load_bundle
from augment.data.datasets import LabelledImages, open_data
from augment.errors import ConfigError
from augment.export import generated_record
from augment.generate import Sampler, Samples, Tally, draw_counts
from augment.generators import load_sampler
from augment.generators.cvae_gan import CVAEGANSampler
from augment.generators.line_saae import LineSAAEGenerator
from augment.network import should_compile
from jobs.character_rendering import CHARACTERS_RENDERER, render_characters
from jobs.class_images import check_labels, choose_labels, open_train_split, real_records
from jobs.cli import (
    absolute_uri,
    choose_device,
    find_bundle,
    local_path,
    print_plan,
    read_settings,
    run_job,
)
from jobs.exports import check_kept, open_journal, open_writer
from jobs.generate_options import (
    CHARACTERS,
    CLASSES,
    LINES,
    RENDERER,
    GenerateSettings,
    check_options,
    parser,
)
from jobs.line_texts import write_lines
from jobs.reading import reads_back, set_reader_band
from jobs.rendering import RENDERER_PREFIX, render_lines
from recognizers.privacy import NearCopies
from recognizers.reader import load_reader

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job."""
    arguments = parser().parse_args(argv)
    out = local_path(arguments.out, "--out")
    if arguments.format == "zip" and out.suffix != ".zip":
        out = out.with_name(out.name + ".zip")
    if arguments.bundle == CHARACTERS_RENDERER:
        render_characters(check_options(arguments, CHARACTERS), out)
        return
    if arguments.bundle.startswith(RENDERER_PREFIX):
        render_lines(check_options(arguments, RENDERER), out)
        return
    settings = read_settings({"default": GenerateSettings()}, arguments.config, arguments.overrides)
    settings = replace(settings, device=choose_device(settings.device))
    folder = find_bundle(arguments.bundle)
    info = load_bundle(folder)
    if info.architecture == LineSAAEGenerator.architecture:
        write_lines(folder, check_options(arguments, LINES), out, settings)
        return
    arguments = check_options(arguments, CLASSES)
    people = _people(arguments, info)
    labels = choose_labels(arguments.labels, (people or info).classes)
    compile = settings.compile
    if compile is None:
        number = arguments.new_identities or len(labels)
        compile = should_compile(settings.device, number * arguments.per_label)
    sampler = load_sampler(folder, device=settings.device, half=settings.half, compile=compile)
    if arguments.new_identities:
        sampler = _mixes_people(sampler).new_identities(arguments.new_identities, arguments.seed)
        labels = list(sampler.classes)
    elif people is not None:
        sampler = _mixes_people(sampler).of_people(people)
    counts = {sampler.label_index(label): arguments.per_label for label in labels}
    real, trained_on = (
        open_train_split(uri, option, sampler.image_size, sampler.channels) if uri else None
        for uri, option in (
            (arguments.with_real, "--with-real"),
            (arguments.drop_copies, "--drop-copies"),
        )
    )
    check_labels(arguments.format, labels, real)
    knows = not (arguments.new_identities or people)  # no reader has seen such people
    reads = knows and reads_back(folder, arguments.read_back)
    if arguments.dry_run:
        print_plan("generate", arguments, settings)
        return
    reader = load_reader(folder / READER_FOLDER, settings.device) if reads else None
    set_reader_band(reader, arguments.reader_band)
    is_copy = NearCopies(trained_on.images()) if trained_on else None
    tally = Tally()
    classes = list(dict.fromkeys([*sampler.classes, *(real.classes if real else ())]))
    with (
        open_writer(arguments, out, classes, info) as writer,
        open_journal(
            arguments, out, sampler.digest, settings, people.digest() if people else None
        ) as journal,
    ):
        if journal is not None:
            sampler = journal.follow(sampler, "draw", Samples._make)
            reader = reader and journal.follow(reader, "read", tuple)
        for record in real_records(real) if real else ():
            writer.add(record)
        with tqdm(total=sum(counts.values()), desc="generating", unit="image") as bar:
            for drawn in draw_counts(
                sampler,
                counts,
                arguments.seed,
                reader=reader,
                is_copy=is_copy,
                tally=tally,
                max_factor=settings.max_factor,
            ):
                for image in drawn:
                    writer.add(
                        generated_record(image, sampler.classes, arguments.seed, sampler.digest)
                    )
                bar.update(len(drawn))
        check_kept(tally)
        writer.close({**asdict(tally), "real": len(real) if real else 0})
    print(f"{out}: {tally.kept} generated images kept of {tally.made} made", end="")
    print(f", {tally.copies} near-copies dropped" if is_copy else "", end="")
    print(f", {len(real)} real ones" if real else "")
    for label, missing in tally.shortfall.items():
        print(f"{label}: {missing} fewer than asked for; too many had to be dropped")


def _people(arguments: argparse.Namespace, info: BundleInfo) -> LabelledImages | None:
    """The photographs of ``--people-from`` in the bundle's size."""
    if arguments.people_from is None:
        return None
    if arguments.new_identities:
        raise ConfigError("--people-from and --new-identities exclude each other; give one.")
    uri = absolute_uri(arguments.people_from, "--people-from")
    return open_data(uri, image_size=info.image_size, channels=info.channels)


def _mixes_people(sampler: Sampler) -> CVAEGANSampler:
    """The sampler, if it can draw people whom it was not trained on.

    Raises:
        ConfigError: the bundle's architecture cannot.
    """
    if not isinstance(sampler, CVAEGANSampler):
        raise ConfigError(
            "--new-identities and --people-from need the class vectors of a cvae_gan bundle; got "
            f"one of {sampler.info.architecture}."
        )
    return sampler


if __name__ == "__main__":
    run_job(main)
