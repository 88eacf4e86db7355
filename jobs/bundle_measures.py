"""The measures of any bundle, spread over bundles and seeds, with their report and model cards."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from augment.bundle import CARD_FILE, READER_FOLDER, load_bundle
from augment.data.published import OF_PEOPLE
from augment.errors import AugmentError
from augment.files import write_whole
from augment.generators.unlabelled import draws_unlabelled, load_unlabelled_sampler
from jobs.cli import describe_device, find_bundle
from jobs.evaluation import Evaluation, parse_draw, write_card
from jobs.ray_context import ray_cluster
from recognizers.distribution import InceptionFeatures
from recognizers.evaluation import MEASURES, Evaluated
from recognizers.evaluation_pictures import take_bundle_pictures
from recognizers.evaluation_report import (
    format_measures,
    left_out_of,
    summarize,
    write_pages,
)
from recognizers.reader import load_reader
from recognizers.referee import Referee
from recognizers.scenarios import find_scenario

__all__ = ["measure_bundles"]

FACE_SIDE = 48
"""Images of at least this many pixels a side are judged by a face recognizer unless told."""
EMBEDDERS = ("character", "face")

Wanted = Mapping[str, Sequence[str]]
"""Bundle to the measures to take of it."""


def measure_bundles(
    evaluation: Evaluation,
    wanted: Wanted,
    *,
    seeds: Sequence[int],
    workers: int,
    strict: bool,
    command: str,
    others: Sequence[str] = (),
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Measure, print the tables, and write report.json, report.html and the cards.

    What cannot be measured is told in the report, and the rest goes on.

    Args:
        evaluation: bundles, data and settings.
        wanted: what to measure.
        seeds: each trains recognizers of its own and draws anew.
        workers: seeds and bundles at a time; more than 1 run on Ray.
        strict: a measure that could not be taken is an error too, once all is written.
        command: measures it again.
        others: further tables in the same folder.
        left_out: further tables that could not be made, and why.

    Raises:
        ConfigError: Inception's weights do not fit.
        AugmentError: of a measure, if ``strict``.
    """
    started = time.monotonic()
    asked = [name for name in MEASURES if any(name in names for names in wanted.values())]
    if evaluation.settings.inception and "fidelity" in asked:
        InceptionFeatures(Path(evaluation.settings.inception))  # says so before hours have passed
    kind = choose_recognizer(evaluation)
    real_tasks = [(evaluation, kind, seed, None, asked, False) for seed in seeds]
    real = _put_together(_spread(_judge, real_tasks, workers))
    possible = {
        name: [measure for measure in names if measure in real["measures"]]
        for name, names in wanted.items()
    }
    tasks = [
        (evaluation, kind, seed, name, names, seed == seeds[0])
        for name, names in possible.items()
        for seed in seeds
    ]
    cells = _spread(_judge, tasks, workers)
    referee = open_referee(evaluation, kind, seeds[0])
    report: dict[str, Any] = {
        "data": evaluation.data.uri,
        "n_train": len(referee.train),
        "n_held_out": len(referee.held_out),
        "left_out_classes": list(referee.left_out),
        "told_apart": list(referee.classes) if referee.classes != evaluation.data.classes else [],
        "seeds": list(seeds),
        "recognizer": kind,
        "settings": vars(evaluation.settings),
        "real": real["measures"],
        "bundles": {
            name: {
                **_describe(evaluation, name),
                **_put_together([cell for cell in cells if cell["bundle"] == name]),
            }
            for name in wanted
        },
        "left_out": {**(left_out or {}), **real["left_out"]},
        "others": list(others),
        "seconds": round(time.monotonic() - started, 1),
        "device": describe_device(evaluation.settings.device),
        "command": command,
    }
    pictures = {cell["bundle"]: cell["pictures"] for cell in cells if cell["pictures"]}
    page = write_pages(evaluation.out, report, pictures)
    _write_cards(evaluation, report)
    print(f"{format_measures(report)}{page}")
    lacking = left_out_of(report)
    if strict and lacking:
        raise AugmentError(f"not all that was asked for was measured. {' '.join(lacking)}")


def choose_recognizer(evaluation: Evaluation) -> str:
    """The kind of recognizer that judges: as set, as the bundles' readers, or by image size."""
    if evaluation.settings.recognizer is not None:
        return evaluation.settings.recognizer
    for folder in evaluation.bundles.values():
        description = folder / READER_FOLDER / "config.json"
        if description.exists():
            kind = json.loads(description.read_text(encoding="utf-8")).get("kind")
            if kind in EMBEDDERS:
                return str(kind)
    return "face" if min(evaluation.data.image_size) >= FACE_SIDE else "character"


def shows_people(evaluation: Evaluation) -> bool:
    """Whether the data's classes are people: as published, or by the recognizer that was set."""
    if evaluation.settings.recognizer is not None:
        return evaluation.settings.recognizer == "face"
    if (drawn := parse_draw(evaluation.data.uri)) is not None:
        return find_scenario(drawn[0]).of_people
    return evaluation.data.uri.partition(":")[0] in OF_PEOPLE


def open_referee(evaluation: Evaluation, kind: str, seed: int) -> Referee:
    """The referee of one seed; what it has trained is kept in OUT/judges."""
    settings = evaluation.settings
    return Referee(
        evaluation.data,
        kind,
        settings.judge_budget,
        seed,
        evaluation.out / "judges",
        inception=Path(settings.inception) if settings.inception else None,
        labelled=not all(_is_unlabelled(evaluation, name) for name in evaluation.bundles),
        people=shows_people(evaluation),
        device=settings.device,
    )


def _is_unlabelled(evaluation: Evaluation, name: str) -> bool:
    return draws_unlabelled(load_bundle(evaluation.bundles[name]))


def _open(evaluation: Evaluation, referee: Referee, name: str) -> Evaluated:
    if _is_unlabelled(evaluation, name):
        sampler = load_unlabelled_sampler(
            evaluation.bundles[name], device=evaluation.settings.device
        )
        return Evaluated(sampler, referee, evaluation.settings.generated, labelled=False)
    reader = evaluation.bundles[name] / READER_FOLDER
    return Evaluated(
        evaluation.sampler(name),
        referee,
        evaluation.settings.generated,
        load_reader(reader, evaluation.settings.device) if reader.is_dir() else None,
    )


def _judge(
    evaluation: Evaluation,
    kind: str,
    seed: int,
    name: str | None,
    measures: Sequence[str],
    pictured: bool,
) -> dict[str, Any]:
    """Measure one bundle, or the real half where ``name`` is None, in one seed.

    The real half goes first: it trains the recognizers that the bundles need too. Of a bundle
    that is ``pictured`` pictures are taken of the same images; nothing else knows them later.
    """
    evaluation = _at_hand(evaluation)
    referee = open_referee(evaluation, kind, seed)
    images = evaluation.settings.generated
    try:
        evaluated = (
            Evaluated(None, referee, images, labelled=referee.labelled)
            if name is None
            else _open(evaluation, referee, name)
        )
    except AugmentError as error:
        left_out = dict.fromkeys(measures, str(error))
        return {"bundle": name, "sections": {}, "left_out": left_out, "pictures": None}
    sections, left_out = {}, {}
    for measure in measures:
        try:
            sections[measure] = MEASURES[measure](evaluated)
        except AugmentError as error:
            left_out[measure] = str(error)
    read = bool(set(measures) - {"privacy"})  # pictures alone are no reason to train a judge
    pictures = take_bundle_pictures(evaluated, with_judge=read) if pictured else None
    return {"bundle": name, "sections": sections, "left_out": left_out, "pictures": pictures}


def _at_hand(evaluation: Evaluation) -> Evaluation:
    """The evaluation with bundles that this machine has; the driver's may be on another one."""
    folders = {
        name: folder if folder.is_dir() else find_bundle(evaluation.locations[name])
        for name, folder in evaluation.bundles.items()
    }
    return replace(evaluation, bundles=folders)


def _spread(work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], workers: int) -> list[Any]:
    """Results of ``work`` for each task, on Ray if there are several workers.

    Raises:
        AugmentError: what a task raised on purpose.
    """
    if workers == 1:
        return [work(*task) for task in tasks]
    with ray_cluster():
        device = tasks[0][0].settings.device
        remote = ray.remote(num_cpus=1, num_gpus=int(device.startswith("cuda")))(work)
        shared = ray.put(tasks[0][0])  # the evaluation, with all images, travels once
        running: list[Any] = []
        done: list[Any] = [None] * len(tasks)
        waiting = list(enumerate(tasks))
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    number, task = waiting.pop(0)
                    running.append((number, remote.remote(shared, *task[1:])))
                (ready,), _ = ray.wait([result for _, result in running], num_returns=1)
                number = next(n for n, result in running if result == ready)
                running = [(n, result) for n, result in running if result != ready]
                done[number] = ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AugmentError):
                raise error.cause from None
            raise
    return done


def _put_together(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sections of all seeds; a measure that could not be taken in one is left out."""
    left_out = {measure: why for cell in cells for measure, why in cell["left_out"].items()}
    return {
        "measures": {
            measure: summarize([cell["sections"][measure] for cell in cells])
            for measure in cells[0]["sections"]
            if measure not in left_out
        },
        "left_out": left_out,
    }


def _describe(evaluation: Evaluation, name: str) -> dict[str, Any]:
    """What report.json says of a bundle besides its measures."""
    info = load_bundle(evaluation.bundles[name])
    return {
        "digest": info.digest,
        "architecture": info.architecture,
        "classes": len(info.classes),
        "image_size": list(info.image_size),
        "trained_on": info.data.get("images"),
    }


def _write_cards(evaluation: Evaluation, report: Mapping[str, Any]) -> None:
    """Update each bundle's model card, and leave a copy beside the report."""
    for name, folder in evaluation.bundles.items():
        new = {
            measure: {
                "section": section,
                "real": report["real"][measure],
                **{key: report[key] for key in ("data", "seeds", "command")},
            }
            for measure, section in report["bundles"][name]["measures"].items()
        }
        card = write_card(name, folder, evaluation.locations[name], new)
        write_whole(evaluation.out / f"{name.replace('/', '-')}-{CARD_FILE}", card)
