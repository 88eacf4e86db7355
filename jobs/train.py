"""Train a generator on Ray Train and publish it as the next version of a bundle.

    python -m jobs.train saae --data folder:plates --out registry/plates --workers 2

writes registry/plates/1, then /2, … Checkpoints (the best and the last) stay in
registry/.runs, from where ``--resume`` goes on.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import safetensors.torch

from augment.bundle import READER_FOLDER, Registry
from augment.config import with_overrides
from augment.data.datasets import LabelledImages, open_data
from augment.data.formats import READERS
from augment.data.layouts import LAYOUTS
from augment.data.line_pairs import LineData
from augment.data.pairs import folds_of
from augment.data.text_formats import TEXT_FORMATS
from augment.errors import ConfigError
from augment.generators import GENERATORS
from augment.generators.base import Data, GeneratorConfig, train_generator, write_bundle
from augment.generators.cvae_gan import CVAEGANGenerator
from augment.generators.line_saae import LineSAAEGenerator, line_folds, open_lines
from augment.generators.saae import SAAEGenerator
from jobs.alone import alone_at
from jobs.cli import (
    absolute_location,
    absolute_paths,
    absolute_uri,
    at_least,
    choose_device,
    job_parser,
    print_plan,
    read_settings,
    run_job,
)
from jobs.ray_context import RayContext, ray_cluster, ray_train
from jobs.reading import add_reader_band
from recognizers.arms import Plan, SeedRun
from recognizers.comparators import offer_readers
from recognizers.draws import Draw
from recognizers.line_readers import fit_line_reader, fit_listener
from recognizers.listening import Listener, listens
from recognizers.plans import plan_for
from recognizers.reader import save_reader
from recognizers.scene_text import SIZES
from recognizers.text_arms import TextPlan
from recognizers.text_plans import TEXT_PLAN
from recognizers.text_reader import save_text_reader
from recognizers.text_sources import check_columns, line_shape

__all__ = ["main", "train_and_publish"]

RUNS = ".runs"
"""Folder in a registry where training keeps its checkpoints."""
READER_ACCURACY = "reader_accuracy"
"""Which of a bundle's metrics says how much its reader reads right."""
POOR_READER = 0.2
"""Share of real images read right below which the job advises to train the reader longer."""
CHECKED = 2000
"""Real images that a new reader is tried on, at most."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = job_parser(
        "train",
        "Train a generator of labelled images and publish it in a registry.",
        out=None,
        config="the first of these unless given, or a JSON file of settings: "
        + "; ".join(f"{name} has {', '.join(configs)}" for name, configs in GENERATORS.items()),
        out_help="REGISTRY/NAME, a path or a URL; published there as NAME/1, NAME/2, …",
    )
    options.add_argument("architecture", choices=sorted(GENERATORS), help="which generator")
    options.add_argument(
        "--data",
        default="digits:",
        metavar="URI",
        help="images to train on, their train split: SCHEME:PATH of "
        f"{', '.join(sorted(READERS))}; of lines of text {', '.join(sorted(TEXT_FORMATS))}",
    )
    options.add_argument(
        "--licence",
        metavar="TEXT",
        help="terms of these images, such as cc-by-4.0; the bundle and its exports tell them",
    )
    options.add_argument(
        "--layout",
        metavar="LAYOUT",
        help=f"for line_saae, how its texts are laid out: {', '.join(LAYOUTS)} (free text), or a "
        ".toml or .json file",
    )
    options.add_argument(
        "--attribute",
        metavar="NAME",
        help="make two classes, with it and without, of images with attributes",
    )
    options.add_argument(
        "--image-size",
        type=at_least(2),
        nargs=2,
        metavar=("H", "W"),
        help="pixels; unless given chosen from the data, of plates 32 96 or wider "
        "as their layout is, of free text 32 160, the widest",
    )
    options.add_argument(
        "--channels", type=int, choices=(1, 3), help="gray or RGB; as the data, of lines RGB"
    )
    options.add_argument("--workers", type=at_least(1), default=1, help="Ray Train workers")
    options.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint of a stopped run"
    )
    options.add_argument(
        "--reader-steps",
        type=at_least(1),
        metavar="N",
        help="training steps of each recognizer that reads back; where few images are read right, "
        "take more",
    )
    options.add_argument(
        "--reader-size",
        choices=sorted(SIZES),
        help="of the recognizers of text, small unless given; full is for a GPU",
    )
    add_reader_band(options, unless="everything")
    options.add_argument(
        "--reader",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train recognizers on the same images, for read-back, where images have labels or "
        "texts to be read",
    )
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job; ``--out`` is REGISTRY/NAME."""
    arguments = parser().parse_args(argv)
    offer_readers()
    out = absolute_location(arguments.out, "--out")
    root, _, name = out.rstrip("/").rpartition("/")
    presets = {
        name: with_overrides(preset, [f"training.seed={arguments.seed}"])
        for name, preset in GENERATORS[arguments.architecture].items()
    }
    config = absolute_paths(read_settings(presets, arguments.config, arguments.overrides))
    if config.training.seed != arguments.seed:
        raise ConfigError(
            f"--seed alone sets training.seed: expected {arguments.seed} or nothing in --set and "
            f"--config, got {config.training.seed}; leave it out there and give --seed."
        )
    readers = choose_readers(arguments, config)
    data = open_training_data(arguments)
    config.build_model(data)  # what cannot be built is refused before a cluster is started
    if isinstance(data, LineData) and (arguments.reader or listens(config.model)):
        check_columns(data.layout, line_shape(data))  # and what cannot be read
    if arguments.dry_run:
        find_run(root, name, resume=arguments.resume)
        print_plan("train", arguments, config)
        return
    with alone_at(out, f"{root}/{RUNS}/{name}.lock"):
        run = find_run(root, name, resume=arguments.resume)
        with ray_cluster():
            reference = train_and_publish(
                data,
                config,
                root=root,
                run=run,
                workers=arguments.workers,
                readers=readers if arguments.reader else None,
                listener=readers if listens(config.model) else None,
                licence=arguments.licence,
            )
    print(f"published {root}/{reference}")


def open_training_data(arguments: argparse.Namespace) -> LabelledImages | LineData:
    """The train split of ``--data``: labelled images, or lines where the architecture takes them.

    Raises:
        ConfigError: a layout is missing, or does not go with the architecture; lines by attribute.
        DataError: as the loaders say.
    """
    uri, channels = absolute_uri(arguments.data), arguments.channels
    size = tuple(arguments.image_size) if arguments.image_size else None
    takes_lines = arguments.architecture == LineSAAEGenerator.architecture
    if takes_lines and arguments.layout is None:
        raise ConfigError(
            f"{LineSAAEGenerator.architecture} is trained on lines of text: expected --layout, one "
            f"of {', '.join(LAYOUTS)} or a .toml or .json file, and --data with such lines."
        )
    if not takes_lines and arguments.layout is not None:
        raise ConfigError(
            f"--layout goes with {LineSAAEGenerator.architecture} alone, got it with "
            f"{arguments.architecture}; leave it out."
        )
    if takes_lines and arguments.attribute is not None:
        raise ConfigError("--attribute goes with images that have some, lines have texts.")
    if takes_lines:
        return open_lines(uri, arguments.layout, size=size, channels=channels or 3)
    data = open_data(uri, image_size=size, channels=channels, real_only=True).split("train")
    return data if arguments.attribute is None else data.by_attribute(arguments.attribute)


def choose_readers(
    arguments: argparse.Namespace, config: GeneratorConfig[Any]
) -> Plan | TextPlan | None:
    """The plan of ``plan_reader``, with what the command line says of readers.

    Raises:
        ConfigError: a size, where none reads text; steps or a band, where none is trained.
    """
    readers = plan_reader(config)
    if arguments.reader_size and not isinstance(readers, TextPlan):
        raise ConfigError(
            f"--reader-size goes with {LineSAAEGenerator.architecture}, got "
            f"{arguments.architecture}; leave it out."
        )
    reads = readers is not None and arguments.reader
    for option, given, used in (
        ("--reader-steps", arguments.reader_steps, reads or listens(config.model)),
        ("--reader-band", arguments.reader_band, reads),
    ):
        if given and not used:
            why = "--no-reader" if readers is not None else arguments.architecture
            raise ConfigError(f"{option} is of recognizers, {why} has none; leave it out.")
    if readers is None:
        return None
    changes: dict[str, Any] = {}
    if arguments.reader_steps:
        changes["reader_steps"] = arguments.reader_steps
    if arguments.reader_band:
        changes["reader_band"] = tuple(arguments.reader_band)
    if arguments.reader_size:
        changes["recognizer"] = SIZES[arguments.reader_size]
    return replace(readers, **changes)


def plan_reader(config: GeneratorConfig[Any]) -> Plan | TextPlan | None:
    """How to train the recognizers that read a generator's images back.

    None for architectures whose images have neither classes of the data nor texts to be read.
    """
    match config:
        case LineSAAEGenerator():
            return TEXT_PLAN
        case SAAEGenerator() if config.pairs.examples == "ink":
            kind = "chars"
        case SAAEGenerator() | CVAEGANGenerator():
            kind = "faces-id"
        case _:
            return None
    return replace(plan_for(kind), generator=config)


def find_run(root: str, name: str, *, resume: bool) -> str:
    """Name the run that makes the next version, ``NAME-VERSION``.

    Raises:
        ConfigError: nothing to resume; or without ``resume``, a stopped run is in the way.
    """
    run = f"{name}-{max(Registry(root).versions(name), default=0) + 1}"
    folder = f"{root}/{RUNS}/{run}"
    files, path = fsspec.core.url_to_fs(folder)
    has_checkpoint = files.exists(f"{path}/checkpoint_manager_snapshot.json")
    if resume and not has_checkpoint:
        raise ConfigError(f"nothing to resume: expected checkpoints in {folder}, found none.")
    if has_checkpoint and not resume:
        raise ConfigError(
            f"a stopped run has left checkpoints in {folder}; "
            "go on with --resume, or remove that folder to start anew."
        )
    return run


def train_and_publish(
    data: Data,
    config: GeneratorConfig[Data],
    *,
    root: str,
    run: str,
    workers: int = 1,
    readers: Plan | TextPlan | None = None,
    listener: Plan | TextPlan | None = None,
    licence: str | None = None,
) -> str:
    """Train on Ray, pack the bundle and publish it; call it inside ``ray_cluster``.

    Args:
        data: training images, all of them used.
        config: settings of the generator.
        root: registry.
        run: ``NAME-VERSION``; a run that has checkpoints continues.
        workers: Ray Train workers.
        readers: how to train the recognizers that read images back; None: the bundle has none.
        listener: how to train beforehand the recognizer that the generator listens to, which is
            none of these; None: it listens to none.
        licence: terms of the data; None: not stated.

    Returns:
        ``NAME/VERSION``.
    """
    settings: dict[str, Any] = {"data": data, "config": config, "listener": None}
    if listener is not None:
        assert isinstance(data, LineData), "only generators of lines listen"
        assert isinstance(listener, TextPlan), "and to recognizers of text"
        print("training the recognizer that the generator listens to", flush=True)
        seed = config.training.seed
        settings["listener"] = fit_listener(data, listener, seed, device=choose_device("auto"))
    weights, metrics = ray_train(
        _work, settings, workers=workers, storage=f"{root}/{RUNS}", name=run
    )
    model = config.build_model(data)
    model.load_state_dict(safetensors.torch.load(weights))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        if readers is not None:
            print("training the reader", flush=True)
            right = fit_reader(data, readers, config.training.seed, folder / READER_FOLDER)
            if right is not None:
                print(f"it reads {right:.1%} of the real images it was not trained on", flush=True)
                if right < POOR_READER:
                    print("little will be kept of what is drawn: take more --reader-steps")
                metrics = metrics | {READER_ACCURACY: right}
        write_bundle(folder, model.eval(), data, config, metrics, licence=licence)
        return Registry(root).publish(run.rpartition("-")[0], folder)


def fit_reader(
    data: LabelledImages | LineData, plan: Plan | TextPlan, seed: int, folder: Path
) -> float | None:
    """Train the recognizers that will read a generator's images back, on its own real images.

    Returns:
        Share, in [0, 1], of real images read right, each by a member that was trained without it;
        of CHECKED images at most; None where there is one member, trained on all. Generated
        images are hardly read better than that.
    """
    count = len(data.texts) if isinstance(data, LineData) else len(data)
    rows = np.arange(0, count, -(-count // CHECKED))
    every = np.tile(np.array([0, 1], np.float32), (len(rows), 1))  # how sure it is, does not count
    if isinstance(data, LineData):
        assert isinstance(plan, TextPlan), "lines are read by recognizers of text"
        lines = fit_line_reader(data, plan, seed, device=choose_device("auto"))
        save_text_reader(folder, lines)
        if len(lines.members) == 1:
            return None
        images = data.texts.images(rows, channels=data.shape.channels)
        texts = [data.texts.texts[row] for row in rows.tolist()]
        return float(lines.judge(images, texts, line_folds(data)[rows], every).kept.mean())
    assert isinstance(plan, Plan), "classes are read by recognizers of classes"
    draw = Draw(train=data, test=data, focus=None, metric="accuracy")
    with tempfile.TemporaryDirectory() as scratch:
        device = choose_device("auto")
        reader = SeedRun(draw, seed, plan, Path(scratch), device=device).train_reader()
    save_reader(folder, reader)
    if len(reader.members) == 1:
        return None
    read, _ = reader.read(data.images(rows), folds_of(data.labels)[rows], every)
    return float((read == data.labels[rows]).mean())


def _work(settings: dict[str, Any]) -> tuple[bytes, dict[str, float]]:
    """What each worker does; the first one's weights and metrics reach the driver."""
    offer_readers()
    context = RayContext(settings["progress"])
    listener: Listener | None = settings["listener"]
    with tempfile.TemporaryDirectory() as scratch:
        model = train_generator(
            settings["data"],
            settings["config"],
            context,
            scratch=Path(scratch),
            prepare=listener.prepare if listener else None,
        )
    state = {name: values.cpu().contiguous() for name, values in model.state_dict().items()}
    return safetensors.torch.save(state), context.newest


if __name__ == "__main__":
    run_job(main)
