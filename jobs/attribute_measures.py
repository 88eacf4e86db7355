"""Attribute similarity and edits: what ``--only attributes`` measures of VAE/GANs."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages, open_data
from augment.editing import Editor
from augment.errors import LabelError, RequestError
from augment.generators import load_sampler
from augment.generators.vae_gan import VAEGANSampler
from augment.images import Pixels, tile
from jobs.evaluation import Evaluation
from recognizers.attributes import (
    AttributeRegressor,
    attribute_similarity,
    balanced_accuracies,
    edit_success,
    read_attributes,
    train_regressor,
)
from recognizers.face import FaceRecognizer
from recognizers.fidelity import train_face_recognizer
from recognizers.tables import markdown_table
from recognizers.verification import embed

__all__ = ["NOBODY", "find_people", "measure_attributes", "train_identity_judge"]

EDITS: tuple[tuple[str, bool], ...] = (
    ("Eyeglasses", True),
    ("Smiling", True),
    ("Smiling", False),
    ("Male", True),
    ("Blond_Hair", True),
    ("Bangs", True),
    ("Mustache", True),
    ("Young", False),
)
"""Edits that are tried, of those that the data have: attribute, and whether it is added."""
SHOWN = 10
"""Images shown before and after each edit."""
COSINES = ("identity", "strangers")
"""What a face recognizer says of an edit."""
NOBODY = (
    "expected two people with two training images each to tell identities by; name other data, "
    "say --set identity_data=lfw:lfw.zip."
)
"""What to do where ``find_people`` finds nobody."""


def measure_attributes(evaluation: Evaluation) -> None:
    """Attribute similarity of conditional models; of the others, what their edits change.

    Where nobody is known twice, the edits' identity is left out.
    """
    settings, data = evaluation.settings, evaluation.data
    people = find_people(evaluation)
    regressor = train_regressor(
        data.split("train"), settings.judge_budget, seed=evaluation.seed, device=settings.device
    )
    test = evaluation.some_of(data.split("test"))
    images, attributes = test.images(), test.attributes
    assert attributes is not None, "the regressor was trained on attributes"
    accuracies = balanced_accuracies(read_attributes(regressor, images), attributes)
    rows = {"real test images": attribute_similarity(regressor, images, attributes)}
    edits: list[dict[str, Any]] = []
    judge: FaceRecognizer | None = None
    for name, folder in evaluation.bundles.items():
        sampler = load_sampler(folder, device=settings.device)
        if not isinstance(sampler, VAEGANSampler):
            architecture = sampler.info.architecture
            raise RequestError(f"{name}: expected a vae_gan bundle, got one of {architecture}.")
        if sampler.conditional:
            told = attributes[:, _places(sampler.info.attributes, test.attribute_names)]
            drawn = sampler.draw_for(told, evaluation.seed)
            rows[name] = attribute_similarity(regressor, drawn, attributes)
        editor = Editor.load(folder, device=settings.device, batch_size=32)
        if "edit" in editor.capabilities:
            if people is not None:
                judge = judge or train_identity_judge(evaluation, people)
            edits += _measure_edits(evaluation, name, editor, regressor, judge, test)
    table = markdown_table(
        ("images", "cosine", "squared error", "n"),
        [(n, f"{r.cosine:.4f}", f"{r.squared_error:.2f}", r.images) for n, r in rows.items()],
    )
    if edits:
        table += "\n" + markdown_table(
            ("bundle", "edit", "images", "seen", "identity", "strangers"),
            [
                (
                    edit["bundle"],
                    edit["edit"],
                    edit["edits"],
                    f"{edit['seen']:.1%}",
                    *("–" if edit[v] is None else f"{edit[v]:.3f}" for v in COSINES),
                )
                for edit in edits
            ],
        )
        if people is None:
            table += f"\nIdentity was not measured: {NOBODY}\n"
    accuracy = float(np.nanmean(accuracies))
    table += f"\nBalanced accuracy of the regressor on {len(test)} test images: {accuracy:.1%}.\n"
    similarities = [{"name": name, **asdict(row)} for name, row in rows.items()]
    report = {"similarity": similarities, "edits": edits, "regressor_accuracy": accuracy}
    evaluation.keep("attributes", report, table)


def find_people(evaluation: Evaluation) -> LabelledImages | None:
    """Faces to learn identities from: ``identity_data``, or the people with two training images.

    None where fewer than two have.

    Raises:
        DataError: ``identity_data`` cannot be opened.
    """
    given, data = evaluation.settings.identity_data, evaluation.data
    if given is not None:
        found = open_data(given, image_size=data.image_size, channels=data.channels)
        return found.split("train")
    train = data.split("train")
    counts = np.bincount(train.labels, minlength=len(train.classes))
    kept = [name for name, count in zip(train.classes, counts, strict=True) if count > 1]
    return train.relabel({name: name for name in kept}) if len(kept) > 1 else None


def train_identity_judge(evaluation: Evaluation, people: LabelledImages) -> FaceRecognizer:
    """A face recognizer of ``people``, to tell by whether two images show one person."""
    settings = evaluation.settings
    return train_face_recognizer(
        people, settings.judge_budget, seed=evaluation.seed, device=settings.device
    )


def _measure_edits(
    evaluation: Evaluation,
    name: str,
    editor: Editor,
    regressor: AttributeRegressor,
    judge: FaceRecognizer | None,
    test: LabelledImages,
) -> list[dict[str, Any]]:
    """Each edit of every test image, seen by the regressor, identity by the face recognizer."""
    images, rows = test.images(), []
    embed_faces = None if judge is None else partial(_embed, judge)
    for attribute, on in EDITS:
        if attribute not in test.attribute_names:
            continue
        number = test.attribute_names.index(attribute)
        lacking = np.flatnonzero((read_attributes(regressor, images)[:, number] >= 0) != on)
        sign = "+" if on else "−"
        if len(lacking) < 2:
            print(f"left out {sign}{attribute}: {len(lacking)} test images lack it, 2 are needed")
            continue
        strength = {attribute: 1.0 if on else -1.0}
        after = np.stack(editor.edit(list(images), [strength] * len(images)))
        found = edit_success(
            regressor, embed_faces, images, after, number, on=on, seed=evaluation.seed
        )
        rows.append({"bundle": name, "edit": f"{sign}{attribute}", **asdict(found)})
        shown = lacking[:SHOWN]
        picture = tile(np.concatenate([images[shown], after[shown]]), len(shown))
        evaluation.show(f"edit-{name}-{attribute}-{'on' if on else 'off'}", picture)
    return rows


def _embed(judge: FaceRecognizer, pixels: Pixels) -> NDArray[np.float32]:
    return embed(judge, pixels).astype(np.float32)


def _places(wanted: Sequence[str], there: Sequence[str]) -> list[int]:
    """Where the attributes that a model was trained on stand among those of the data.

    Raises:
        LabelError: the data lack some.
    """
    missing = [name for name in wanted if name not in there]
    if missing:
        raise LabelError(
            f"expected data with the attributes that the model was trained on, got none called "
            f"{', '.join(missing)}; evaluate on data that tell them."
        )
    return [there.index(name) for name in wanted]
