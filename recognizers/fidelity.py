"""How good generated images of a class are: Table 1 of CVAE-GAN, and whether they are copies.

A judge, a recognizer trained on the real training images alone and no part of any generator, reads
generated images. Everything is measured of real images held out from training too: the row that
the others are compared with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from augment.data.transforms import ClassicalAugmentation, Strength
from augment.errors import DataError
from augment.images import Pixels, to_tensor
from augment.training import is_faster_in_bf16
from recognizers.character import CharacterRecognizer
from recognizers.face import FaceRecognizer
from recognizers.fit import Budget, fit
from recognizers.metrics import balanced_accuracy
from recognizers.mixing import LabelledPixels, Recipe, mixed_stream
from recognizers.nearest import NearestImages, NearestPoints
from recognizers.privacy import NEAR
from recognizers.reader import KINDS
from recognizers.tables import markdown_table

__all__ = [
    "Embedder",
    "FidelityRow",
    "Judge",
    "class_diversity",
    "format_fidelity_table",
    "inception_score",
    "read_and_embed",
    "train_embedder",
    "train_face_recognizer",
    "train_judge",
]

Embedder = CharacterRecognizer | FaceRecognizer
"""A recognizer whose ``embed`` gives unit vectors."""
STRENGTHS: dict[str, Strength] = {"character": "strong", "face": "faces"}
"""Classical augmentation that each kind of recognizer is trained with."""
PAIRS = 4000
"""Pairs of images, at most, that the diversity of all classes is measured on."""


@dataclass(frozen=True)
class FidelityRow:
    """What a judge says of images of known classes.

    Attributes:
        name: of the generator, or "real".
        images: how many were judged.
        top1: share read as their class, the mean over the classes.
        realism: exp of the mean KL(p(y|x) ‖ p(y)) in nats: the Inception Score by the judge, every
            class weighing the same.
        diversity: mean 1 − cos between the judge's embeddings of two images of one class.
        near_in_pixels: share that lies nearer to a training image, by root mean square
            difference, than NEAR of the held-out real ones do.
        near_in_features: the same by the judge's embeddings.
    """

    name: str
    images: int
    top1: float
    realism: float
    diversity: float
    near_in_pixels: float
    near_in_features: float


class Judge:
    """A trained recognizer with what it has to compare images with.

    Args:
        model: trained on ``train``.
        train: the real images that generators were trained on, (N, H, W, C).
        held_out: real images of the same classes that nobody was trained on; they say how near
            to a training image an image lies that is none.
    """

    def __init__(self, model: FaceRecognizer, train: Pixels, held_out: LabelledPixels) -> None:
        if len(held_out) < 2:
            raise DataError(f"expected at least 2 held-out images, got {len(held_out)}.")
        self.model, self.train, self.held_out = model, train, held_out
        self._nearest = NearestImages(train)
        self._nearest_features = NearestPoints(read_and_embed(model, train)[1])
        usual = self._distances(held_out.images, read_and_embed(model, held_out.images)[1])
        self.limits: NDArray[np.float64] = np.quantile(usual, NEAR, axis=1)

    def row(self, name: str, judged: LabelledPixels, seed: int = 0) -> FidelityRow:
        """Judge images.

        Args:
            name: of the generator.
            judged: its images with the labels they were made for.
            seed: of the pairs that diversity is measured on.

        Raises:
            DataError: no class has two images.
        """
        probabilities, embeddings = read_and_embed(self.model, judged.images)
        near = self._too_near(judged.images, embeddings)
        return FidelityRow(
            name=name,
            images=len(judged),
            top1=balanced_accuracy(probabilities.argmax(axis=1), judged.labels),
            realism=inception_score(probabilities, judged.labels),
            diversity=class_diversity(embeddings, judged.labels, seed),
            near_in_pixels=float(near[0].mean()),
            near_in_features=float(near[1].mean()),
        )

    def real_row(self) -> FidelityRow:
        """The held-out real images, judged like generated ones."""
        return self.row("real, held out", self.held_out)

    def _too_near(self, images: Pixels, embeddings: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(2, N) whether each is nearer than the limit, in pixels and features; a copy always."""
        distances = self._distances(images, embeddings)
        return (distances < self.limits[:, None]) | (distances <= 0)

    def _distances(self, images: Pixels, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """(2, N) distances to the nearest training image: in pixels, and 1 − cos of embeddings."""
        in_pixels = self._nearest(images)[1]
        in_features = self._nearest_features(embeddings)[1] / 2  # |a − b|² = 2 (1 − cos)
        return np.stack([in_pixels, in_features])


@torch.no_grad()
def read_and_embed(
    model: Embedder, images: Pixels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read (N, H, W, C) images: probabilities (N, k) and unit embeddings (N, D).

    Raises:
        DataError: some are not finite.
    """
    device = next(model.parameters()).device
    half = is_faster_in_bf16(device)
    probabilities, embeddings = [], []
    for start in range(0, len(images), 256):
        pixels = to_tensor(images[start : start + 256]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits, vectors = model(pixels), model.embed(pixels)
        probabilities.append(torch.softmax(logits.float(), dim=1).cpu().numpy())
        embeddings.append(vectors.float().cpu().numpy())
    read = np.concatenate(probabilities), np.concatenate(embeddings)
    if not all(np.isfinite(part).all() for part in read):
        raise DataError(
            "expected a recognizer that gives finite features, got others; its training has failed."
            " Remove what it was kept in, and train it anew with fewer steps or other images."
        )
    return read


def train_embedder(
    kind: str,
    images: LabelledPixels,
    num_classes: int,
    budget: Budget,
    *,
    seed: int = 0,
    device: str = "cpu",
) -> Embedder:
    """Train a recognizer on images, whatever made them, with classical augmentation.

    Args:
        kind: "character" or "face".
        images: to train on.
        num_classes: k.
        budget: steps, batch size, learning rate.
        seed: of everything random.
        device: where to train.
    """
    size, channels = images.images.shape[1:3], images.images.shape[3]
    strength = STRENGTHS[kind]
    stream = mixed_stream(
        Recipe(augmentation=strength),
        {"real": images},
        steps=budget.steps,
        batch_size=budget.batch_size,
        augment=ClassicalAugmentation(strength, size, channels),
        seed=seed,
    )
    model = fit(
        lambda: KINDS[kind](num_classes, size, channels), stream, budget, seed=seed, device=device
    )
    assert isinstance(model, CharacterRecognizer | FaceRecognizer)
    return model


def train_face_recognizer(
    train: LabelledImages, budget: Budget, *, seed: int = 0, device: str = "cpu"
) -> FaceRecognizer:
    """Train a face recognizer on real images with strong classical augmentation.

    Args:
        train: images of people.
        budget: steps, batch size, learning rate.
        seed: of everything random.
        device: where to train.
    """
    images = LabelledPixels(train.images(), train.labels)
    model = train_embedder("face", images, len(train.classes), budget, seed=seed, device=device)
    assert isinstance(model, FaceRecognizer)
    return model


def train_judge(
    train: LabelledImages,
    held_out: LabelledImages,
    budget: Budget,
    *,
    seed: int = 0,
    device: str = "cpu",
) -> Judge:
    """Train a judge of generators.

    Args:
        train: what the generators were trained on.
        held_out: of the same classes.
        budget: of the recognizer.
        seed: of everything random.
        device: where to train.
    """
    model = train_face_recognizer(train, budget, seed=seed, device=device)
    return Judge(model, train.images(), LabelledPixels(held_out.images(), held_out.labels))


def inception_score(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64] | None = None
) -> float:
    """Return exp E_x KL(p(y|x) ‖ p(y)) (Salimans et al., 2016), from 1 to k.

    Args:
        probabilities: (N, k).
        labels: (N,); every class of them weighs the same, however many images it has. None: every
            image weighs the same.
    """
    given = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    weights = np.full(len(given), 1 / len(given))
    if labels is not None:
        classes, label, count = np.unique(labels, return_inverse=True, return_counts=True)
        weights = 1 / (len(classes) * count[label])
    mean = weights @ given
    return float(np.exp(weights @ (given * (np.log(given) - np.log(mean))).sum(axis=1)))


def class_diversity(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], seed: int = 0
) -> float:
    """Mean 1 − cos of pairs of one class, every class with two images weighing the same.

    Args:
        embeddings: (N, D) of length 1.
        labels: (N,).
        seed: of the pairs.

    Raises:
        DataError: no class has two images.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    groups = [rows for rows in groups if len(rows) > 1]
    if not groups:
        raise DataError("expected a class with at least two images, got none; draw more of each.")
    each = max(1, PAIRS // len(groups))
    means = []
    for rows in groups:
        first = rng.integers(len(rows), size=each)
        second = (first + rng.integers(1, len(rows), size=each)) % len(rows)
        cosines = (embeddings[rows[first]] * embeddings[rows[second]]).sum(axis=1)
        means.append(1 - cosines.mean())
    return float(np.mean(means))


def format_fidelity_table(rows: Sequence[FidelityRow]) -> str:
    """The rows as a Markdown table, ending in a line break."""
    columns = ("images", "n", "top-1", "realism", "diversity", "near in pixels", "in features")
    cells = [
        (
            row.name,
            f"{row.images:,}",
            f"{row.top1:.2%}",
            f"{row.realism:.2f}",
            f"{row.diversity:.3f}",
            f"{row.near_in_pixels:.2%}",
            f"{row.near_in_features:.2%}",
        )
        for row in rows
    ]
    return markdown_table(columns, cells)
