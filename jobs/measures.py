"""What ``python -m jobs.evaluate --only MEASURE`` does: one function a table."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.bundle import BundleInfo
from augment.data.datasets import LabelledImages
from augment.data.face_masks import open_face_masks
from augment.generators import GENERATORS
from augment.generators.unlabelled import draws_unlabelled
from augment.images import Pixels, tile
from jobs.attribute_measures import measure_attributes
from jobs.deepsim_measures import measure_deepsim
from jobs.evaluation import Evaluation
from jobs.restoration_measures import measure_restoration
from jobs.transfer_measures import measure_transfer
from recognizers.evaluation import MEASURES as BUNDLE_MEASURES
from recognizers.evaluation import draw_like
from recognizers.fidelity import format_fidelity_table, train_judge
from recognizers.inversion import LEAST_IMAGES
from recognizers.mixing import LabelledPixels
from recognizers.nearest import nearest_images
from recognizers.parzen import ParzenResult, parzen_score
from recognizers.reconstruction import find_lpips, format_masked_table, masked_table
from recognizers.referee import that_can_be_told
from recognizers.tables import markdown_table

__all__ = ["MEASURES", "draws_classes", "fitting"]

RESTORED_SIDE = 48
"""Images at least this large, in pixels, are restored unless ``--only`` asks for it."""


def measure_parzen(evaluation: Evaluation) -> None:
    """Mean log-likelihood of the test images in nats, and samples beside their nearest image.

    The first row is what real training images score, as many as are generated: a score grows
    with their number. A generator above it does not draw better than real, it draws what the
    window likes.
    """
    settings, data, samplers = evaluation.settings, evaluation.data, evaluation.samplers()
    train, held_back, test = data.split("train"), data.split("val"), data.split("test").images()
    samples = min(settings.samples, len(train))
    rng = np.random.default_rng(evaluation.seed)
    chosen = rng.permutation(len(held_back))[: settings.validation_images]
    validation = held_back.images(np.sort(chosen))
    rows, cells = [], []

    def note(name: str, result: ParzenResult, **more: Any) -> None:
        rows.append({"name": name, **asdict(result), **more})
        score = f"{result.log_likelihood:.1f} ± {result.standard_error:.1f}"
        near = [f"{value:.3f}" for value in more.get("nearest", {}).values()] or ["–", "–"]
        cells.append((name, f"{result.samples:,}", score, f"{result.sigma:.3f}", *near))

    real = train.images(np.sort(rng.permutation(len(train))[:samples]))
    note("real training images", parzen_score(test, validation, real))
    for name, sampler in samplers.items():
        drawn = draw_like(train, sampler, samples, evaluation.seed)
        result = parzen_score(test, validation, drawn)
        shown = drawn[rng.permutation(len(drawn))[: settings.pairs]]
        picture, distances = beside_nearest(shown, train)
        evaluation.show(f"nearest-{name}", picture)
        nearest = {"median": float(np.median(distances)), "least": float(distances.min())}
        note(name, result, digest=sampler.digest, nearest=nearest)
    columns = ("samples", "n", "log-likelihood, nats", "sigma", "nearest image: median", "least")
    evaluation.keep("parzen", {"rows": rows}, markdown_table(columns, cells))


def measure_faces(evaluation: Evaluation) -> None:
    """Table 1 of CVAE-GAN: label fidelity, realism, diversity and near-copies.

    Of the classes that have held-out images, each weighing the same in every row.
    """
    settings, data, samplers = evaluation.settings, evaluation.data, evaluation.samplers()
    train, held_out = data.split("train"), evaluation.held_out()
    judge = train_judge(
        train,
        held_out,
        settings.judge_budget,
        seed=evaluation.seed,
        device=settings.device,
    )
    compared = np.unique(held_out.labels)
    labels = np.repeat(compared, settings.per_class)
    indices = np.tile(np.arange(settings.per_class), len(compared))
    rows = [judge.real_row()]
    for name, sampler in samplers.items():
        drawn = sampler.draw(labels, indices, evaluation.seed).images
        rows.append(judge.row(name, LabelledPixels(drawn, labels), evaluation.seed))
        picture, _ = beside_nearest(drawn[:: max(1, len(drawn) // settings.pairs)], train)
        evaluation.show(f"nearest-{name}", picture)
    report = {"rows": [asdict(row) for row in rows]}
    evaluation.keep("faces", report, format_fidelity_table(rows))


def measure_masked(evaluation: Evaluation) -> None:
    """The masked VAE's table: reconstruction of face pixels, with and without masks."""
    settings = evaluation.settings
    test = evaluation.some_of(evaluation.data.split("test"))
    masks = open_face_masks(settings.face_masks)
    rows = masked_table(
        evaluation.bundles,
        test,
        masks.find(test),
        lpips=find_lpips(),
        device=settings.device,
    )
    report = {"rows": [asdict(row) for row in rows], "face_masks": masks.source}
    evaluation.keep("masked", report, format_masked_table(rows))


MEASURES: dict[str, Callable[[Evaluation], None]] = {
    "parzen": measure_parzen,
    "faces": measure_faces,
    "attributes": measure_attributes,
    "masked": measure_masked,
    "restoration": measure_restoration,
    "transfer": measure_transfer,
    "deepsim": measure_deepsim,
}


def draws_classes(info: BundleInfo) -> bool:
    """Whether a bundle draws images of its classes."""
    return next(iter(GENERATORS[info.architecture].values())).sampler is not None


def fitting(info: BundleInfo, data: LabelledImages) -> list[str]:
    """The measures, of the papers and of any bundle, that can be taken of a bundle on data."""
    has = set(data.splits.tolist())
    draws = draws_classes(info) and info.classes == data.classes
    found: list[str] = []
    told = that_can_be_told(data)
    if told is not None and (draws_unlabelled(info) or (draws and told is data)):
        found += BUNDLE_MEASURES
    if draws and data.channels == 1 and {"val", "test"} <= has:
        found.append("parzen")
    if "test" not in has:
        return found
    if info.architecture == "cvae_gan" and draws:
        found.append("faces")
    if info.architecture == "vae_gan" and data.attributes is not None:
        found.append("attributes")
    if info.architecture == "masked_vae" and data.channels == 3:
        found.append("masked")
    if info.architecture == "deepsim" and (
        info.model.get("use") == "inversion" or _has_folds(data)
    ):
        found.append("deepsim")
    restores = info.architecture in ("cvae_gan", "vae_gan", "masked_vae")
    if restores and info.model.get("variant") != "gan" and min(data.image_size) >= RESTORED_SIDE:
        found.append("restoration")
    if info.architecture == "saae" and len(info.classes) == 2 and not draws:
        attribute = info.classes[1]
        if attribute in data.attribute_names:
            found.append("transfer")
    return found


def _has_folds(data: LabelledImages) -> bool:
    """Whether folds of the training images have every class of the test images."""
    train, test = (data.labels[data.splits == split] for split in ("train", "test"))
    counts = np.bincount(train, minlength=len(data.classes))
    few = (counts > 0) & (counts < LEAST_IMAGES)
    return bool(counts[test].all() and np.sum(counts > 0) > 1 and not few.any())


def beside_nearest(samples: Pixels, train: LabelledImages) -> tuple[Pixels, NDArray[np.float64]]:
    """Lay out samples, each with its nearest training image to the right; also the distances."""
    everything = train.images()
    nearest, distances = nearest_images(samples, everything)
    pairs = np.stack([samples, everything[nearest]], axis=1)
    return tile(pairs.reshape(-1, *samples.shape[1:]), columns=10), distances
