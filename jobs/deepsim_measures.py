"""DeePSiM's tables: what ``--only deepsim`` measures of autoencoders, VAEs and inversions."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augment.bundle import open_bundle
from augment.comparators import Comparator
from augment.errors import RequestError
from augment.feature_networks import open_comparator
from augment.images import tile, to_tensor, to_uint8
from augment.models.deepsim import DeePSiM
from augment.models.deepsim_config import DeePSiMConfig
from jobs.evaluation import Evaluation
from recognizers.comparators import offer_readers
from recognizers.inversion import (
    CodeRow,
    InversionRow,
    PriorConfig,
    code_accuracy,
    draw_folds,
    encode_all,
    format_code_table,
    format_inversion_table,
    invert_by_optimization,
    normalized_error,
    reencode,
    score_inversion,
)
from recognizers.tables import markdown_table

__all__ = ["measure_deepsim"]

SHOWN = 10
"""Images in a picture."""
ROUNDS = 8
"""Of iterative re-encoding."""
NOT_RUN = "VideoNet, the paper's comparator trained on videos: its weights are not at hand."


def measure_deepsim(evaluation: Evaluation) -> None:
    """Codes by linear SVM; inversions beside optimisation, in pixels and in features."""
    offer_readers()
    models = _open_models(evaluation)
    coders = {name: model for name, model in models.items() if model.encoder is not None}
    inversions = {name: model for name, model in models.items() if model.encoder is None}
    losses = {name: _describe_loss(model.config) for name, model in models.items()}
    report: dict[str, Any] = {"not_run": [NOT_RUN], "losses": losses}
    text = ""
    if coders:
        codes = _measure_codes(evaluation, coders)
        report["codes"] = [asdict(row) for row in codes]
        text += format_code_table(codes) + "\n"
        few = _few_images(evaluation)
        if few:
            report["few_images"] = few
            text += f"{few}\n\n"
    if inversions:
        rows, rounds = _measure_inversions(evaluation, inversions)
        report |= {"inversions": [asdict(row) for row in rows], "reencoding": rounds}
        text += format_inversion_table(rows) + "\n" + _format_rounds(rounds) + "\n"
    text += markdown_table(("trained by", "loss"), list(losses.items())) + "\n"
    evaluation.keep("deepsim", report, f"{text}Not run: {NOT_RUN}\n")


def _open_models(evaluation: Evaluation) -> dict[str, DeePSiM]:
    """The bundles' models, with the networks they invert.

    Raises:
        RequestError: a bundle of another architecture.
    """
    models = {}
    for name, folder in evaluation.bundles.items():
        info, model, _ = open_bundle(folder)
        if not isinstance(model, DeePSiM):
            raise RequestError(
                f"{name}: expected a deepsim bundle, got one of {info.architecture}."
            )
        if model.config.network is not None and model.encoder is None:
            model.attach(
                network=open_comparator(model.config.network, info.image_size, info.channels)
            )
        models[name] = model.eval().to(evaluation.settings.device)
    return models


def _describe_loss(config: DeePSiMConfig) -> str:
    """The terms of a loss and their weights; of a comparator its kind, not the path to it."""
    comparator = config.comparator.split(":")[0]
    terms = {
        f"features of {comparator}": config.feature_weight,
        "adversarial": config.adversarial_weight,
        f"{config.pixels} of images": config.image_weight,
        "KL": config.kl_weight if config.use == "vae" else 0.0,
    }
    return ", ".join(f"{weight:g} {term}" for term, weight in terms.items() if weight)


def _measure_codes(evaluation: Evaluation, models: Mapping[str, DeePSiM]) -> list[CodeRow]:
    """A linear SVM on the codes of each model, and on pixels."""
    settings = evaluation.settings
    train = evaluation.data.split("train")
    folds = draw_folds(train.labels, settings.code_images, settings.code_folds, evaluation.seed)
    used = np.unique(np.concatenate(folds))
    train = train.subset(used)
    folds = [np.searchsorted(used, fold) for fold in folds]
    test = evaluation.some_of(evaluation.data.split("test"))
    images, test_images = train.images(), test.images()

    def row(name: str, encode: Callable[[Tensor], Tensor]) -> CodeRow:
        codes, test_codes = (
            encode_all(encode, pixels, settings.device) for pixels in (images, test_images)
        )
        return code_accuracy(name, (codes, train.labels), (test_codes, test.labels), folds)

    rows = [row("pixels", lambda pixels: pixels)]
    for name, model in models.items():
        rows.append(row(name, partial(_code, model)))
        spread = np.linspace(0, len(test_images) - 1, SHOWN).round().astype(int)
        shown = to_tensor(test_images[spread]).to(settings.device)
        with torch.no_grad():
            decoded = torch.cat([shown, model(shown)])
        evaluation.show(f"deepsim-{name}", tile(to_uint8(decoded), len(shown)))
    return rows


def _few_images(evaluation: Evaluation) -> str:
    """That the folds have fewer images of some classes than was asked for; nothing if not so."""
    asked = evaluation.settings.code_images
    counts = np.bincount(evaluation.data.split("train").labels)
    few = np.sum((counts > 0) & (counts < 2 * asked))
    return (
        f"Of {few} of {np.sum(counts > 0)} classes, with fewer than {2 * asked} training images "
        f"each, an SVM has half of them instead of {asked}."
        if few
        else ""
    )


def _code(model: DeePSiM, images: Tensor) -> Tensor:
    return model.encode(images)[0]


def _measure_inversions(
    evaluation: Evaluation, models: Mapping[str, DeePSiM]
) -> tuple[list[InversionRow], dict[str, list[float]]]:
    """Every inversion and, of each network, the optimisation; and errors of re-encoding."""
    settings = evaluation.settings
    test = evaluation.data.split("test")
    order = np.random.default_rng(evaluation.seed).permutation(len(test))
    chosen = np.sort(order[: settings.inverted_images])
    images = to_tensor(test.images(chosen)).to(settings.device)
    rows: list[InversionRow] = []
    rounds: dict[str, list[float]] = {}
    networks: dict[str, Comparator] = {}
    found: dict[str, list[Tensor]] = {}
    for name, model in models.items():
        assert model.network is not None
        network = networks.setdefault(model.network.name, model.network)
        (inverted, *later) = reencode(model, images, ROUNDS)
        rows.append(score_inversion(name, network, inverted, images))
        rounds[name] = [normalized_error(x, images) for x in (inverted, *later)]
        found.setdefault(network.name, []).append(inverted)
        shown = torch.cat([x[:SHOWN] for x in (images, inverted, *later)])
        evaluation.show(f"deepsim-{name}-again", tile(to_uint8(shown), len(images[:SHOWN])))
    prior = PriorConfig(steps=settings.inversion_steps)
    for number, (name, network) in enumerate(networks.items()):
        with torch.no_grad():
            features = network(images)
        shape = (images.shape[1], images.shape[2], images.shape[3])
        best = invert_by_optimization(network, features, shape, prior, seed=evaluation.seed).images
        rows.append(score_inversion("optimisation", network, best, images))
        shown = torch.cat([x[:SHOWN] for x in (images, best, *found[name])])
        evaluation.show(f"deepsim-inversions-{number}", tile(to_uint8(shown), len(images[:SHOWN])))
    return rows, rounds


def _format_rounds(rounds: Mapping[str, list[float]]) -> str:
    """Image error, in %, after each round of re-encoding."""
    columns = ("re-encoded", *map(str, range(1, ROUNDS + 1)))
    cells = [(name, *(f"{100 * error:.0f}" for error in errors)) for name, errors in rounds.items()]
    return markdown_table(columns, cells)
