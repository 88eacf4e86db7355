"""CVAE-GAN as a generator: its batches, its latent bank, how it is sampled, new identities.

A person held out of training is not drawn by averaging encodings of their photographs: E's code
says everything but the class. Their class vector is the mean of the training classes' vectors by
C's softmax over the photographs (``CVAEGANSampler.identity_of``). These shares are all that is used
of the person's own images: neither pixels nor E(x, c) nor f_C(x), and z is lent by training images
as for everybody. So they are drawn as a mix of the people that C takes them for, and nothing is
drawn that none of these has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from augment.bundle import BundleInfo
from augment.config import from_mapping
from augment.data.batches import ImageBatches, ImagesConfig
from augment.data.datasets import LabelledImages
from augment.data.pairs import folds_of
from augment.draws import Uniforms, to_normal
from augment.errors import DataError, RequestError
from augment.generate import Inputs, Origins, Sampler, Style
from augment.generators.base import GeneratorConfig
from augment.images import Pixels, to_tensor
from augment.models.cvae_gan import Batch
from augment.models.cvae_gan_config import (
    ABLATIONS,
    FULL,
    LABELMINT,
    PAPER,
    CVAEGANConfig,
    CVAEGANSampling,
)
from augment.training import TrainingConfig

__all__ = ["CONFIGS", "CVAEGANGenerator", "CVAEGANSampler"]

MAX_STYLES = 4096
"""Encodings kept in a bundle's bank; of larger sets every n-th image is taken."""
SETTLING = 64
"""Batches that C's batch norm statistics are taken from."""
MIXED = 3
"""Classes whose vectors make a new identity (Sec. 4.5)."""

_LENT, _STYLE_A, _STYLE_B, _MIX, _MIXES, _NOISE, _PARENTS = range(7)


class CVAEGANSampler(Sampler):
    """Draws G(z, c) with z lent by training images or drawn from N(0, I).

    Banks: ``bank.styles`` (S, latent_dim) are the means of q(z | x, c) of training images,
    ``bank.style_labels`` (S,) their classes and ``bank.style_folds`` (S,) their folds.
    """

    def __init__(
        self, info: BundleInfo, model: nn.Module, banks: Mapping[str, Tensor], **how: Any
    ) -> None:
        super().__init__(info, model, banks, **how)
        self.banks, self.how = banks, how
        self.sampling = from_mapping(CVAEGANSampling, info.sampling)
        self.style_labels = banks["bank.style_labels"].numpy()
        self.style_folds = banks["bank.style_folds"].numpy()
        self.vectors: Tensor = self.model.vectors.weight.detach().float()  # (k, label_dim)

    def encode_styles(self, images: Tensor) -> Tensor:
        """Mean of q(z | x, c), with c as C reads the image."""
        mu: Tensor = self.model.encode(images)[0]
        return mu

    def plan(
        self, labels: NDArray[np.int64], uniforms: Uniforms, style: Style | None
    ) -> tuple[Origins, Inputs]:
        """Choose z; the class vector is the label's."""
        sampling, count = self.sampling, len(labels)
        lends = uniforms(_LENT) < sampling.lend
        first, second = (
            (uniforms(s) * self.num_styles).astype(np.int64) for s in (_STYLE_A, _STYLE_B)
        )
        styles = np.stack([first, second], axis=1)
        mixed = uniforms(_MIXES) < sampling.style_mix
        mixes = np.where(mixed, uniforms(_MIX), 0.0).astype(np.float32)
        if style is not None:
            lends = np.ones(count, np.bool_)
        noise = to_normal(uniforms.table(_NOISE, self.styles.shape[1]))
        scales = np.where(lends, sampling.noise, sampling.spread).astype(np.float32)

        def inputs(rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
            lent = self.style_vectors(styles[rows], mixes[rows], style)
            z = lent * self.on_device(lends[rows].astype(np.float32))[:, None]
            z = z + self.on_device(noise[rows].astype(np.float32) * scales[rows][:, None])
            return z, self.vectors[self.on_device(labels[rows])]

        used = lends & (style is None)
        origins = Origins(
            contents=np.full(count, -1, np.int64),
            styles=np.where(used[:, None], styles, -1),
            mixes=np.where(used, mixes, 0).astype(np.float32),
            folds=self._folds(labels, styles[:, 0], used & (mixes == 0)),
        )
        return origins, inputs

    def new_identities(self, count: int, seed: int) -> Self:
        """Make a sampler of classes that do not exist, named ``new-0001`` and so on.

        Each is a mix, in equal shares, of the vectors of three classes, at their usual length
        where they are learned: shorter ones look like everybody, and like whoever lends z.

        Args:
            count: how many.
            seed: identity i depends on it and on i alone.

        Raises:
            RequestError: fewer than one, or a bundle of fewer than three classes.
        """
        known = len(self.info.classes)
        if count < 1 or known < MIXED:
            raise RequestError(
                f"expected at least 1 new identity from at least {MIXED} classes, got {count} "
                f"from {known}."
            )
        index = np.arange(count)
        numbers = Uniforms(seed, np.zeros(count, np.int64), index).table(_PARENTS, known)
        parents = np.argsort(numbers, axis=1)[:, :MIXED]
        names = tuple(f"new-{i + 1:04d}" for i in index)
        mixed = self.vectors[torch.from_numpy(parents)].mean(dim=1)
        return self.with_vectors(names, self._at_usual_length(mixed))

    def identity_of(self, images: Pixels) -> Tensor:
        """The class vector (label_dim,) of a person from photographs (N, H, W, C) uint8.

        The mean of all class vectors, weighed by how C reads the photographs, at their usual
        length: between those who look alike for a person held out of training.
        """
        with torch.no_grad():
            logits = self.model.classify(to_tensor(images).to(self.device)).float()
        shares = logits.softmax(dim=1).mean(dim=0, keepdim=True)
        return self._at_usual_length(shares @ self.vectors)[0]

    def _at_usual_length(self, vectors: Tensor) -> Tensor:
        """Mixed vectors (N, label_dim) at the mean length of the classes'; one-hot ones as is."""
        if self.model.config.label_dim is None:
            return vectors
        scaled: Tensor = F.normalize(vectors, dim=1) * self.vectors.norm(dim=1).mean()
        return scaled

    def of_people(self, people: LabelledImages) -> Self:
        """The same generator with the classes of ``people``, whom it was not trained on.

        Args:
            people: a few photographs of each, in the bundle's size.

        Raises:
            DataError: a class without a photograph.
        """
        rows = [np.flatnonzero(people.labels == label) for label in range(len(people.classes))]
        unseen = [people.classes[label] for label, of_one in enumerate(rows) if not len(of_one)]
        if unseen:
            raise DataError(
                f"expected a photograph or more of everybody in {people.uri}, got none of "
                f"{', '.join(unseen[:10])}; leave the class out."
            )
        vectors = torch.stack([self.identity_of(people.images(of_one)) for of_one in rows])
        return self.with_vectors(people.classes, vectors)

    def with_vectors(self, classes: tuple[str, ...], vectors: Tensor) -> Self:
        """The same generator with other classes, given by vectors (len(classes), label_dim)."""
        info = replace(self.info, classes=classes)
        sampler = type(self)(info, self.model, self.banks, **self.how)
        sampler.vectors = vectors.to(self.device)
        sampler.digest = self.digest
        sampler.style_folds = np.full_like(self.style_folds, -1)
        return sampler

    def _folds(
        self, labels: NDArray[np.int64], lenders: NDArray[np.int64], whole: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """The fold of the lender where it is of the same class: then the sample shows it again."""
        same = whole & (self.style_labels[lenders] == labels)
        return np.where(same, self.style_folds[lenders], -1)


@dataclass(frozen=True)
class CVAEGANGenerator(GeneratorConfig):
    """Settings of CVAE-GAN and of its batches."""

    architecture: ClassVar[str] = "cvae_gan"
    sampler: ClassVar[type[Sampler]] = CVAEGANSampler
    model: CVAEGANConfig = field(default_factory=CVAEGANConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    sampling: CVAEGANSampling = field(default_factory=CVAEGANSampling)

    def batches(self, data: LabelledImages) -> Callable[[int, int, int], Batch]:
        """Images with their classes, and the classes that the other workers see."""
        source = ImageBatches(
            data, self.images, batch_size=self.training.batch_size, seed=self.training.seed
        )

        def batch(step: int, rank: int, world_size: int) -> Batch:
            choices = [source.choose(step, worker, world_size) for worker in range(world_size)]
            labels = [torch.from_numpy(data.labels[choice.rows]) for choice in choices]
            return Batch(source.images(choices[rank]), labels[rank], torch.cat(labels))

        return batch

    def settle(self, model: nn.Module, batches: Callable[[int, int, int], Batch]) -> None:
        """Take C's batch norm statistics from training images, as they are.

        In training C also reads augmented and generated images, in its own turn and in G's and
        E's, and its running statistics are of all of these.
        """
        images = (batches(step, 0, 1).images for step in range(SETTLING))
        device = next(model.parameters()).device
        update_bn(images, model.networks.classifier, device)  # type: ignore[arg-type,union-attr]

    def validate(self, model: nn.Module, batch: Batch) -> float:
        """Mean absolute error of the reconstruction from the mean of q(z | x, c)."""
        mu, _ = model.encode(batch.images, batch.labels)  # type: ignore[operator]
        images = model.decode(mu, batch.labels)  # type: ignore[operator]
        return float((images - batch.images).abs().mean())

    def banks(self, model: nn.Module, data: LabelledImages) -> dict[str, Tensor]:
        """Encodings of training images."""
        rows = np.arange(0, len(data), -(-len(data) // MAX_STYLES))
        return {
            "bank.styles": _encode(model, data, rows),
            "bank.style_labels": torch.from_numpy(data.labels[rows]),
            "bank.style_folds": torch.from_numpy(folds_of(data.labels)[rows]),
        }


def _config(model: CVAEGANConfig) -> CVAEGANGenerator:
    return CVAEGANGenerator(model=model, training=TrainingConfig(batch_size=24, learning_rate=1e-3))


CONFIGS: dict[str, CVAEGANGenerator] = {
    "labelmint": _config(LABELMINT),
    "full": CVAEGANGenerator(
        model=FULL, training=TrainingConfig(batch_size=64, learning_rate=3e-4)
    ),
    "paper": CVAEGANGenerator(
        model=PAPER,
        training=TrainingConfig(ema_decay=0.0, batch_size=64),
        sampling=CVAEGANSampling(lend=0.0),
    ),
    **{name: _config(model) for name, model in ABLATIONS.items()},
}


@torch.no_grad()
def _encode(model: nn.Module, data: LabelledImages, rows: NDArray[np.int64]) -> Tensor:
    """Means (N, latent_dim) of q(z | x, c) of some images, on the CPU."""
    device = next(model.parameters()).device
    codes = []
    for start in range(0, len(rows), 256):
        some = rows[start : start + 256]
        images = to_tensor(data.images(some)).to(device)
        labels = torch.from_numpy(data.labels[some]).to(device)
        codes.append(model.encode(images, labels)[0].float().cpu())  # type: ignore[operator]
    return torch.cat(codes)
