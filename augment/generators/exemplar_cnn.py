"""Exemplar-CNN as something to train: its exemplars; it draws nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo
from augment.config import to_mapping
from augment.data.batches import looks_alike_mirrored
from augment.data.datasets import LabelledImages
from augment.generate import Sampler
from augment.generators.base import GeneratorConfig
from augment.images import Pixels, tile, to_tensor, to_uint8
from augment.models.exemplar_cnn import (
    ExemplarBatch,
    ExemplarCNN,
    ExemplarConfig,
    ExemplarSampling,
    transform,
)
from augment.training import TrainingConfig

__all__ = ["CONFIGS", "ExemplarGenerator"]

SHEET_ROWS, SHEET_COLUMNS = 6, 10
"""Exemplars, and changes of each, in samples.png."""


@dataclass(frozen=True)
class ExemplarGenerator(GeneratorConfig):
    """Settings of an Exemplar-CNN."""

    architecture: ClassVar[str] = "exemplar_cnn"
    sampler: ClassVar[type[Sampler] | None] = None
    model: ExemplarConfig = field(default_factory=ExemplarConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: ExemplarSampling = field(default_factory=ExemplarSampling)

    def classes(self, data: LabelledImages) -> tuple[str, ...]:
        """None: every exemplar is a class of its own."""
        return ()

    def build_model(self, data: LabelledImages) -> nn.Module:
        """The network for ``data``, which may settle whether images are mirrored."""
        if self.model.mirror is None:
            known = replace(self.model, mirror=looks_alike_mirrored(data.uri))
            return replace(self, model=known).build_model(data)
        return super().build_model(data)

    def describe_model(self, model: nn.Module) -> dict[str, Any]:
        """The settings, with whether images are mirrored."""
        assert isinstance(model, ExemplarCNN)
        return to_mapping(model.config)

    def batches(self, data: LabelledImages) -> Callable[[int, int, int], ExemplarBatch]:
        """Exemplars with their numbers, unchanged: the model changes them."""
        images = data.images(_exemplars(data, self.model.exemplars))

        def batch(step: int, rank: int, world_size: int) -> ExemplarBatch:
            rng = np.random.default_rng((self.training.seed, step, rank))
            chosen = rng.integers(len(images), size=self.training.batch_size // world_size)
            return ExemplarBatch(to_tensor(images[chosen]), torch.from_numpy(chosen))

        return batch

    def validate(self, model: nn.Module, batch: ExemplarBatch) -> float:
        """Share of changed exemplars that are not recognized."""
        assert isinstance(model, ExemplarCNN)
        draws = torch.Generator().manual_seed(0)
        logits = model(transform(batch.images, model.config, draws))
        return float((logits.argmax(dim=1) != batch.exemplars).float().mean())

    def banks(self, model: nn.Module, data: LabelledImages) -> dict[str, Tensor]:
        """Nothing: weights are all there is."""
        return {}

    def samples(
        self, info: BundleInfo, model: nn.Module, banks: dict[str, Tensor], data: LabelledImages
    ) -> Pixels:
        """A row an exemplar: as it is, then changed."""
        assert isinstance(model, ExemplarCNN)
        rows = np.repeat(_exemplars(data, SHEET_ROWS), SHEET_COLUMNS + 1)
        images = to_tensor(data.images(rows))
        draws = torch.Generator().manual_seed(self.training.seed)
        changed = transform(images, model.config, draws)
        changed[:: SHEET_COLUMNS + 1] = images[:: SHEET_COLUMNS + 1]
        return tile(to_uint8(changed), SHEET_COLUMNS + 1)


def _exemplars(data: LabelledImages, count: int) -> NDArray[np.int64]:
    """Rows of ``count`` images, or all, evenly spread."""
    rows: NDArray[np.int64] = np.unique(np.linspace(0, len(data) - 1, count).astype(np.int64))
    return rows


CONFIGS: dict[str, ExemplarGenerator] = {
    "labelmint": ExemplarGenerator(
        training=TrainingConfig(batch_size=64, learning_rate=1e-3, betas=(0.9, 0.99))
    )
}
