"""Restoration: what ``--only restoration`` measures of bundles that encode images."""

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages, open_data
from augment.editing import Editor
from augment.errors import DataError
from augment.images import Pixels
from jobs.evaluation import Evaluation
from recognizers.face import FaceRecognizer
from recognizers.fidelity import train_face_recognizer
from recognizers.fit import predict
from recognizers.restoration import (
    Judge,
    format_restoration_table,
    judge_labels,
    judge_pairs,
    restoration_table,
)
from recognizers.verification import best_threshold, embed, pairs_among, rows_of, similarities

__all__ = ["measure_restoration"]

Faces = tuple[Pixels, Judge, NDArray[np.str_]]
"""Photographs, who judges them, and who is on each."""


def measure_restoration(evaluation: Evaluation) -> None:
    """Holes and small images, restored by each bundle and by OpenCV, read by a recognizer.

    People of the data are read as their class; those of ``strangers`` that the data do not have
    are verified against another photograph, by a recognizer that has not seen them either.
    """
    settings, data = evaluation.settings, evaluation.data
    strangers = None if settings.strangers is None else _unknown(data, settings.strangers)
    recognizer = train_face_recognizer(
        data.split("train"),
        settings.judge_budget,
        seed=evaluation.seed,
        device=settings.device,
    )
    test = evaluation.some_of(data.split("test"))
    recognized = judge_labels(lambda pixels: predict(recognizer, pixels)[0], test.labels)
    known = test.images(), recognized, np.array(test.classes)[test.labels]
    faces: dict[str, Faces] = {"bundles": known}
    if strangers is not None:
        faces["strangers"] = _strangers(evaluation, strangers, recognizer)
    report: dict[str, dict[str, object]] = {group: {} for group in faces}
    text = ""
    for name, folder in evaluation.bundles.items():
        editor = Editor.load(folder, device=settings.device, batch_size=32)
        for group, (images, judged, people) in faces.items():
            table = restoration_table(editor, images, judged, people, seed=evaluation.seed)
            report[group][name] = table.to_mapping()
            whose = ", people it has not seen" if group == "strangers" else ""
            text += f"{name}{whose}: {format_restoration_table(table)}\n"
    evaluation.keep("restoration", dict(report), text)


def _unknown(data: LabelledImages, uri: str) -> LabelledImages:
    """The photographs of ``uri`` that show people whom the data do not have.

    Raises:
        DataError: fewer than 4 people, or as ``open_data``.
    """
    everybody = open_data(uri, image_size=data.image_size, channels=data.channels)
    unknown = {name: name for name in everybody.classes if name not in data.classes}
    if len(unknown) < 4:
        raise DataError(
            f"expected at least 4 people in {uri} that are not in {data.uri}, got {len(unknown)}; "
            "name other photographs as strangers."
        )
    return everybody.relabel(unknown)


def _strangers(evaluation: Evaluation, strangers: LabelledImages, model: FaceRecognizer) -> Faces:
    """Pairs of photographs of strangers; one of each pair is damaged.

    Half of the people choose the threshold, the others are measured.
    """
    rng = np.random.default_rng(evaluation.seed)
    chooses = rng.permutation(len(strangers.classes)) % 2 == 0
    choosing, measured = (
        strangers.subset(np.flatnonzero(chooses[strangers.labels] == side))
        for side in (True, False)
    )
    pairs = pairs_among(choosing, rng)
    threshold = best_threshold(similarities(model, choosing, pairs), pairs.same)
    pairs = pairs_among(measured, rng)
    order = rng.permutation(len(pairs.same))[: evaluation.settings.test_images]
    pairs = pairs.subset(np.sort(order))
    first, second = (_photographs(measured, names) for names in (pairs.first, pairs.second))
    judge = judge_pairs(lambda pixels: embed(model, pixels), second, pairs.same, threshold)
    return first, judge, pairs.people


def _photographs(data: LabelledImages, names: tuple[str, ...]) -> Pixels:
    """The photographs of these names, in this order."""
    return data.images(rows_of(data, names))
