"""The masked VAE as a generator: faces and their masks to train on; no labelled images drawn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo
from augment.data.batches import ImageBatches, ImagesConfig, mirror
from augment.data.datasets import LabelledImages
from augment.data.face_masks import open_face_masks
from augment.generate import Sampler
from augment.generators.base import GeneratorConfig
from augment.images import Pixels, tile, to_tensor, to_uint8
from augment.losses.structure import l1_within
from augment.models.masked_vae import MaskedBatch, MaskedVAE
from augment.models.masked_vae_config import (
    LABELMINT,
    PAPER,
    MaskedVAEConfig,
    MaskedVAESampling,
)
from augment.training import TrainingConfig

__all__ = ["CONFIGS", "MaskedVAEGenerator"]

SHEET_COLUMNS = 12
"""Faces in samples.png."""
CHUNK = 4096
"""Images whose masks are found at a time."""


@dataclass(frozen=True)
class MaskedVAEGenerator(GeneratorConfig):
    """Settings of the masked VAE, of its images and of their masks."""

    architecture: ClassVar[str] = "masked_vae"
    sampler: ClassVar[type[Sampler] | None] = None
    model: MaskedVAEConfig = field(default_factory=MaskedVAEConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    images: ImagesConfig = field(
        default_factory=lambda: ImagesConfig(mirror=True, towards_rare=0.0)  # they are faces
    )
    face_masks: str = "grabcut:"  # or celebamaskhq:PATH; not looked for with model.masked off
    sampling: MaskedVAESampling = field(default_factory=MaskedVAESampling)

    def classes(self, data: LabelledImages) -> tuple[str, ...]:
        """None: labels play no part."""
        return ()

    def build_model(self, data: LabelledImages) -> nn.Module:
        """The network for ``data``.

        Raises:
            ConfigError: images that are too small for the network.
            DataError: face masks that cannot be opened.
        """
        if self.model.masked:
            open_face_masks(self.face_masks)
        return super().build_model(data)

    def batches(self, data: LabelledImages) -> Callable[[int, int, int], MaskedBatch]:
        """Images with their face masks, which are found once, here; all face without masks."""
        source = ImageBatches(
            data, self.images, batch_size=self.training.batch_size, seed=self.training.seed
        )
        width = data.image_size[1]
        bits = self._find_masks(data)

        def batch(step: int, rank: int, world_size: int) -> MaskedBatch:
            choice = source.choose(step, rank, world_size)
            images = source.images(choice)
            if bits is None:
                return MaskedBatch(images, torch.ones_like(images[:, :1]))
            found = np.unpackbits(bits[choice.rows], axis=2, count=width)
            face_masks = torch.from_numpy(mirror(found, choice.mirrored)[:, None])
            return MaskedBatch(images, face_masks.float())

        return batch

    def validate(self, model: nn.Module, batch: MaskedBatch) -> float:
        """Mean absolute error over face pixels of the reconstruction from z = μ."""
        rebuilt = model.reconstruct(batch.images, batch.face_masks)  # type: ignore[operator]
        return float(l1_within(rebuilt, batch.images, batch.face_masks).mean())

    def banks(self, model: nn.Module, data: LabelledImages) -> dict[str, Tensor]:
        """Nothing: a masked VAE starts from the image it is given."""
        return {}

    @torch.no_grad()
    def samples(
        self, info: BundleInfo, model: nn.Module, banks: dict[str, Tensor], data: LabelledImages
    ) -> Pixels:
        """Training images, what is decoded of them, the masks predicted and the composites."""
        assert isinstance(model, MaskedVAE)
        chosen = np.unique(np.linspace(0, len(data) - 1, SHEET_COLUMNS).astype(int))
        images = to_tensor(data.images(chosen)).to(next(model.parameters()).device)
        mu, _ = model.encode(images)
        rows = [images, model.decode(mu)]
        if self.model.masked:
            rows += [2 * model.predict_mask(mu).expand_as(images) - 1, model.reconstruct(images)]
        return tile(to_uint8(torch.cat(rows)), len(chosen))

    def describe_data(self, data: LabelledImages) -> dict[str, Any]:
        """Also where the masks came from."""
        source = open_face_masks(self.face_masks).source if self.model.masked else "none"
        return {**super().describe_data(data), "face_masks": source}

    def _find_masks(self, data: LabelledImages) -> NDArray[np.uint8] | None:
        """Face masks of all images, eight pixels of a row a byte; None without masks."""
        if not self.model.masked:
            return None
        face_masks = open_face_masks(self.face_masks)
        found = [
            np.packbits(face_masks.find(data, range(start, min(start + CHUNK, len(data)))), axis=2)
            for start in range(0, len(data), CHUNK)
        ]
        return np.concatenate(found)


CONFIGS: dict[str, MaskedVAEGenerator] = {
    "labelmint": MaskedVAEGenerator(
        model=LABELMINT, training=TrainingConfig(learning_rate=1e-3, betas=(0.9, 0.999))
    ),
    "paper": MaskedVAEGenerator(
        model=PAPER,
        training=TrainingConfig(learning_rate=1e-4, betas=(0.9, 0.999), ema_decay=0.0),
    ),
}
