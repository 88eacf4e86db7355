"""Attribute transfer by SAAE: what ``--only transfer`` measures."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from augment.data.pairs import gray_of
from augment.errors import DataError, RequestError
from augment.generators import load_sampler
from augment.generators.saae import SAAESampler
from augment.images import Pixels
from jobs.attribute_measures import NOBODY, find_people, train_identity_judge
from jobs.evaluation import Evaluation
from recognizers.attributes import train_regressor
from recognizers.transfer import (
    format_transfer_table,
    transfer_attribute,
    transfer_grid,
    transfer_rows,
)
from recognizers.verification import embed

__all__ = ["measure_transfer"]

SHOWN = 5
"""Contents, and styles, with the attribute and without that a grid shows."""


def measure_transfer(evaluation: Evaluation) -> None:
    """Contents and styles of two test faces: attribute seen, identity kept, and a grid.

    Raises:
        DataError: nobody is known by whom to tell identities.
    """
    settings, data = evaluation.settings, evaluation.data
    attributes = {}
    samplers = {}
    for name, folder in evaluation.bundles.items():
        sampler = load_sampler(folder, device=settings.device)
        if not isinstance(sampler, SAAESampler):
            architecture = sampler.info.architecture
            raise RequestError(f"{name}: expected a saae bundle, got one of {architecture}.")
        attributes[name] = transfer_attribute(sampler.classes, data.attribute_names, name)
        samplers[name] = sampler
    people = find_people(evaluation)
    if people is None:
        raise DataError(f"{data.uri}: {NOBODY}")
    regressor = train_regressor(
        data.split("train"), settings.judge_budget, seed=evaluation.seed, device=settings.device
    )
    judge = train_identity_judge(evaluation, people)

    def embed_faces(pixels: Pixels) -> NDArray[np.float32]:
        return embed(judge, pixels).astype(np.float32)

    test = evaluation.some_of(data.split("test"))
    images, rows = test.images(), []
    for name, sampler in samplers.items():

        def combine(contents: Pixels, styles: Pixels, by: SAAESampler = sampler) -> Pixels:
            return by.combine(gray_of(contents), styles)

        number = test.attribute_names.index(attributes[name])
        has = test.by_attribute(attributes[name]).labels == 1
        rows += transfer_rows(
            name, combine, images, has, regressor, number, embed_faces, seed=evaluation.seed
        )
        on, off = (np.flatnonzero(has == shows)[: 2 * SHOWN] for shows in (True, False))
        contents, styles = np.r_[on[::2], off[::2]], np.r_[off[1::2], on[1::2]]
        picture = transfer_grid(combine, images[contents], images[styles])
        evaluation.show(f"transfer-{name}", picture)
    report = {"rows": [asdict(row) for row in rows], "attributes": attributes}
    evaluation.keep("transfer", report, format_transfer_table(rows))
