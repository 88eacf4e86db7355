r"""Measure generators against real images: one report of several bundles side by side.

    python -m jobs.evaluate registry/digits registry/mnist --data idx:mnist --out runs/evaluation

takes every measure that fits each bundle, and says which could not be taken. ``--only MEASURE``,
given once or several times, takes these alone. Of any bundle that draws the data's classes, into
OUT/report.html, OUT/report.json and the bundle's MODEL_CARD.md, over ``--seeds`` seeds and on
``--workers`` workers:

| --only | says |
|---|---|
| fidelity | FID, KID, precision, recall, density and coverage in a recognizer's features |
| diversity | how much two images of a class differ |
| labels | how many images show what was asked for |
| utility | what a recognizer learns from generated images alone (GAN-train, GAN-test) |
| privacy | near-copies of training images; attacks that tell who was trained on |

Bundles that draw without labels (masked_vae, deepsim's VAE, vae_gan of attributes) are measured by
draws from their prior or bank; labels and utility then say that there are none.

``--data draw:SCENARIO/SEED`` stands for what a seed of a benchmark was trained and tested on: the
data for that seed's own bundle, OUT/seeds/SEED/bundle.

``--set inception=FILE`` adds fidelity in the features of torchvision's Inception v3, whose weights
the file holds. Of the papers' tables, one after another in this process and on the one ``--seed``,
into OUT/MEASURE.json, OUT/MEASURE.md, the bundles' cards and pictures; results that are there
already are not replaced:

| --only | of | table |
|---|---|---|
| parzen | bundles that draw labels | log-likelihood by Parzen window (SAAE) |
| faces | the same | label fidelity, realism, diversity, near-copies (CVAE-GAN, Table 1) |
| attributes | vae_gan | attribute similarity (VAE/GAN, Table 1), success of edits |
| masked | masked_vae | reconstruction with and without masks |
| deepsim | deepsim | linear SVM on codes; inversion errors beside optimisation (DeePSiM) |
| restoration | bundles that encode images | holes and small images against OpenCV |
| transfer | saae, of an attribute | content's attribute, style's identity (SAAE, Fig. 4) |
| lines | line_saae | readable, near to real lines, copies, attack, what they teach |

Bundles that write lines have ``lines`` alone: text of held-out lines in the style of training ones,
and neither ``--seeds`` nor ``--workers``. Their table is OUT/lines.md, in OUT/report.html and
OUT/report.json.
"""

import argparse
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from augment.bundle import BundleInfo, load_bundle
from augment.data.datasets import LabelledImages, open_data
from augment.errors import AugmentError, ConfigError, DataError
from augment.generators.line_saae import LineSAAEGenerator
from augment.generators.unlabelled import draws_unlabelled
from jobs.alone import alone_at
from jobs.bundle_measures import measure_bundles
from jobs.cli import (
    absolute_location,
    absolute_uri,
    at_least,
    choose_device,
    find_bundle,
    job_parser,
    local_path,
    pin_version,
    print_plan,
    read_settings,
    run_job,
)
from jobs.evaluation import EvaluateSettings, Evaluation, parse_draw
from jobs.line_measures import LINES, measure_lines
from jobs.measures import MEASURES, draws_classes, fitting
from recognizers.evaluation import MEASURES as BUNDLE_MEASURES
from recognizers.scenarios import find_scenario

__all__ = ["main"]


_FIVE = f"{', '.join([*BUNDLE_MEASURES][:-1])} and {[*BUNDLE_MEASURES][-1]}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = job_parser(
        "evaluate",
        "Measure generators against real images.",
        out=None,
        config="default, or a JSON file of settings",
        more=__doc__,
    )
    options.add_argument(
        "bundles", nargs="+", metavar="BUNDLE", help="REGISTRY/NAME or REGISTRY/NAME/VERSION"
    )
    options.add_argument(
        "--data",
        required=True,
        metavar="URI",
        help="real images; draw:SCENARIO/SEED: what a benchmark's seed was trained and tested on",
    )
    options.add_argument(
        "--only",
        action="append",
        choices=[*BUNDLE_MEASURES, *MEASURES, LINES],
        help="which measure; may be repeated; all that fit unless given",
    )
    options.add_argument(
        "--seeds",
        type=at_least(1),
        default=1,
        help=f"numbered from --seed, of {_FIVE}; the papers' tables take --seed alone",
    )
    options.add_argument(
        "--workers",
        type=at_least(1),
        default=1,
        help=f"bundles and seeds at a time, on Ray, of {_FIVE}; the papers' tables are made one "
        "after another; on a cluster, --out and bundles given by a path have to be on a disk that "
        "all nodes see",
    )
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job."""
    arguments = parser().parse_args(argv)
    settings = read_settings({"default": EvaluateSettings()}, arguments.config, arguments.overrides)
    settings = absolute_settings(settings)
    settings = replace(settings, device=choose_device(settings.device))
    out = local_path(arguments.out, "--out")
    names = short_names(arguments.bundles)
    locations = {name: pin_version(found) for name, found in names.items()}
    folders = {name: find_bundle(location) for name, location in locations.items()}
    infos = {name: load_bundle(folder) for name, folder in folders.items()}
    command = shlex.join(["python", "-m", "jobs.evaluate", *(argv or sys.argv[1:])])
    if writes_lines(infos, arguments.only):
        refuse_several(arguments)
        refuse_results(out, [LINES])
        if arguments.dry_run:
            print_plan("evaluate", arguments, settings)
            return
        with alone_at(out):
            measure_lines(
                folders,
                locations,
                arguments.data,
                settings,
                seed=arguments.seed,
                out=out,
                command=command,
            )
        return
    shapes = {(info.image_size, info.channels) for info in infos.values()}
    if len(shapes) > 1:
        raise ConfigError(
            f"expected bundles of one image size and number of channels, got {sorted(shapes)}; "
            "evaluate them one by one."
        )
    image_size, channels = shapes.pop()
    data = open_images(arguments.data, image_size, channels)
    evaluation = Evaluation(folders, locations, data, settings, arguments.seed, out)
    wanted = {
        name: arguments.only or choose_measures(evaluation, name, info)
        for name, info in infos.items()
    }
    refuse_results(out, {measure for names in wanted.values() for measure in names})
    if arguments.dry_run:
        print_plan("evaluate", arguments, settings)
        return
    with alone_at(out):
        measure(evaluation, wanted, arguments, command)


def measure(
    evaluation: Evaluation,
    wanted: Mapping[str, Sequence[str]],
    arguments: argparse.Namespace,
    command: str,
) -> None:
    """Make the papers' tables, then what is measured of any bundle.

    What cannot be measured is told, and the rest goes on; where it was asked for, it is an error
    once all else is written.

    Args:
        evaluation: of all bundles.
        wanted: names of the measures of each.
        arguments: of the command line.
        command: the whole of it.

    Raises:
        AugmentError: of a measure that ``--only`` names.
        DataError: none can be taken, and why.
    """
    tables = {table: [n for n in wanted if table in wanted[n]] for table in MEASURES}
    tables = {table: names for table, names in tables.items() if names}
    left_out: dict[str, AugmentError] = {}
    for table, names in tables.items():
        some = evaluation.only(names)
        try:
            MEASURES[table](some)
        except AugmentError as error:
            if not arguments.only:
                print(f"{table}: not measured. {error}")
            left_out[table] = error
        else:
            some.note(table, command)
    of_any = {n: [m for m in BUNDLE_MEASURES if m in names] for n, names in wanted.items()}
    of_any = {name: names for name, names in of_any.items() if names}
    if of_any:
        measure_bundles(
            evaluation.only(of_any),
            of_any,
            seeds=range(arguments.seed, arguments.seed + arguments.seeds),
            workers=arguments.workers,
            strict=bool(arguments.only),
            command=command,
            others=[table for table in tables if table not in left_out],
            left_out={table: str(error) for table, error in left_out.items()},
        )
    elif arguments.only and left_out:
        raise next(iter(left_out.values()))
    elif left_out.keys() == tables.keys():
        raise DataError(f"no measure can be taken of {', '.join(wanted)}; see above why.")


def writes_lines(infos: Mapping[str, BundleInfo], only: Sequence[str] | None) -> bool:
    """Whether the bundles write lines of text, of which there is a measure of its own.

    Raises:
        ConfigError: some do and others do not, or a measure of the others is asked for.
    """
    writers = [n for n, i in infos.items() if i.architecture == LineSAAEGenerator.architecture]
    if not writers and LINES not in (only or ()):
        return False
    if len(writers) < len(infos) or set(only or [LINES]) != {LINES}:
        raise ConfigError(
            f"bundles that write lines have the measure {LINES} and no other, and it is of them "
            f"alone; of {', '.join(infos)} these write lines: {', '.join(writers) or 'none'}. "
            "Evaluate them by themselves, without another --only."
        )
    return True


def refuse_several(arguments: argparse.Namespace) -> None:
    """Refuse what the measure of lines does not take.

    Raises:
        ConfigError: several seeds or workers.
    """
    if (arguments.seeds, arguments.workers) != (1, 1):
        raise ConfigError(
            f"bundles that write lines are measured on one seed and without Ray: expected --seeds "
            f"1 and --workers 1, got {arguments.seeds} and {arguments.workers}; leave both out, "
            "and run the job once more with each further --seed."
        )


def refuse_results(out: Path, measures: Collection[str]) -> None:
    """Refuse to replace what an earlier evaluation has written.

    Raises:
        ConfigError: a report of measures, or the table of one of them, is in ``out``.
    """
    names = [measure for measure in measures if measure in MEASURES]
    reports = [out / f"{name}.json" for name in sorted(names)]
    if len(names) < len(measures):
        reports.append(out / "report.json")
    if found := [path for path in reports if path.exists()]:
        raise ConfigError(
            f"{found[0]} is there already; give another --out, or remove it to measure anew."
        )


def absolute_settings(settings: EvaluateSettings) -> EvaluateSettings:
    """Make the settings' paths absolute.

    Raises:
        ConfigError: a relative path inside a submitted Ray job, or data without a scheme.
    """
    given = {name: getattr(settings, name) for name in ("face_masks", "identity_data", "strangers")}
    changes: dict[str, Any] = {
        name: absolute_uri(uri, name) for name, uri in given.items() if uri is not None
    }
    if settings.inception is not None:
        changes["inception"] = absolute_location(settings.inception, "inception")
    return replace(settings, **changes)


def open_images(uri: str, image_size: tuple[int, int], channels: int) -> LabelledImages:
    """Open ``--data``: a data URI, or ``draw:SCENARIO/SEED``.

    Raises:
        ConfigError: no such scenario or seed, or one of images in another shape.
        DataError: see ``open_data``.
    """
    if (drawn := parse_draw(uri)) is None:
        return open_data(
            absolute_uri(uri), image_size=image_size, channels=channels, real_only=True
        )
    name, seed = drawn
    data = find_scenario(name).draw(seed).as_data(uri)
    if (data.image_size, data.channels) != (image_size, channels):
        raise ConfigError(
            f"{uri} has images of {data.image_size} pixels and {data.channels} channels, the "
            f"bundles of {image_size} and {channels}; evaluate bundles of that benchmark."
        )
    return data


def choose_measures(evaluation: Evaluation, name: str, info: BundleInfo) -> list[str]:
    """All measures that fit a bundle.

    Raises:
        RequestError, LabelError: none does, and why its images cannot be judged.
        ConfigError: none does, for want of held-out images.
    """
    names = fitting(info, evaluation.data)
    draws = draws_classes(info) or draws_unlabelled(info)
    if draws and not set(names) & set(BUNDLE_MEASURES):
        takes = (
            "two classes, or an attribute, that training and held-out images have"
            if draws_unlabelled(info)
            else "data of the bundle's classes, each with training images and two of them with "
            "held-out images of two groups"
        )
        print(f"{name}: no {_FIVE}, for these take {takes}.")
    if not names:
        evaluation.sampler(name)  # says why not
        raise ConfigError(
            f"expected a measure that fits {name} and {evaluation.data.describe()}, found none; "
            "use data with validation and test images."
        )
    return names


def short_names(references: Sequence[str]) -> dict[str, str]:
    """What to call bundles: their name and, where it was given, their version.

    Those that are alike so far keep as many of the words before as tell them from all others.

    Args:
        references: where each bundle was asked for.

    Returns:
        Name to reference.

    Raises:
        ConfigError: a bundle twice.
    """
    words = {reference: reference.rstrip("/").split("/") for reference in references}
    if len({tuple(found) for found in words.values()}) < len(references):
        raise ConfigError(f"expected different bundles, got {', '.join(references)}.")
    names = {}
    for reference, mine in words.items():
        others = [found for one, found in words.items() if one != reference]
        kept = 2 if mine[-1].isdigit() else 1
        while any(found[-kept:] == mine[-kept:] for found in others):
            kept += 1
        names["/".join(mine[-kept:])] = reference
    return names


if __name__ == "__main__":
    run_job(main)
