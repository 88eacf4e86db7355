"""DeePSiM as a generator: images to train on, and the networks it compares or inverts them by."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from augment.bundle import BundleInfo
from augment.config import to_mapping
from augment.data.batches import ImageBatches, ImagesConfig
from augment.data.datasets import LabelledImages
from augment.errors import ConfigError
from augment.feature_networks import open_comparator
from augment.generate import Sampler
from augment.generators.base import GeneratorConfig
from augment.images import Pixels, tile, to_tensor, to_uint8
from augment.models.deepsim import Batch, DeePSiM
from augment.models.deepsim_config import (
    ABLATIONS,
    LABELMINT,
    PAPER,
    DeePSiMConfig,
    DeePSiMSampling,
)
from augment.training import TrainingConfig

__all__ = ["CONFIGS", "DeePSiMGenerator", "attach_networks"]

SHEET_COLUMNS = 12
"""Images in samples.png."""


@dataclass(frozen=True)
class DeePSiMGenerator(GeneratorConfig):
    """Settings of DeePSiM and of its images."""

    architecture: ClassVar[str] = "deepsim"
    sampler: ClassVar[type[Sampler] | None] = None
    model: DeePSiMConfig = field(default_factory=DeePSiMConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    images: ImagesConfig = field(default_factory=lambda: ImagesConfig(towards_rare=0.0))
    sampling: DeePSiMSampling = field(default_factory=DeePSiMSampling)

    def classes(self, data: LabelledImages) -> tuple[str, ...]:
        """None: labels play no part."""
        return ()

    def build_model(self, data: LabelledImages) -> nn.Module:
        """The network for ``data``, with the networks it is trained with attached.

        Raises:
            ConfigError: a network that cannot be opened; see ``open_comparator``.
        """
        config = self.model
        if config.use == "inversion":
            if config.network is None:
                raise ConfigError(
                    "expected model.network, the network to invert, got null; name one, such as "
                    "reader:BUNDLE:body or alexnet:fc6."
                )
            network = open_comparator(config.network, data.image_size, data.channels)
            shape = network.shape_of_features(data.image_size, data.channels)
            config = replace(config, features=shape, network_digest=network.digest)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            model = DeePSiM(
                config, num_classes=0, image_size=data.image_size, channels=data.channels
            )
        return attach_networks(model, data.image_size, data.channels)

    def describe_model(self, model: nn.Module) -> dict[str, Any]:
        """The settings, with shape and network of the features that are inverted."""
        assert isinstance(model, DeePSiM)
        return to_mapping(model.config)

    def batches(self, data: LabelledImages) -> Callable[[int, int, int], Batch]:
        """Images alone."""
        source = ImageBatches(
            data, self.images, batch_size=self.training.batch_size, seed=self.training.seed
        )

        def batch(step: int, rank: int, world_size: int) -> Batch:
            return Batch(source.images(source.choose(step, rank, world_size)))

        return batch

    def validate(self, model: nn.Module, batch: Batch) -> float:
        """Mean absolute error of the reconstruction."""
        return float((model(batch.images) - batch.images).abs().mean())

    def banks(self, model: nn.Module, data: LabelledImages) -> dict[str, Tensor]:
        """Nothing: it starts from the image it is given."""
        return {}

    @torch.no_grad()
    def samples(
        self, info: BundleInfo, model: nn.Module, banks: dict[str, Tensor], data: LabelledImages
    ) -> Pixels:
        """Images, what is decoded of them, steps between two, and draws from a VAE's prior."""
        assert isinstance(model, DeePSiM)
        chosen = np.unique(np.linspace(0, len(data) - 1, SHEET_COLUMNS).astype(int))
        columns = len(chosen)
        images = to_tensor(data.images(chosen)).to(next(model.parameters()).device)
        z, _ = model.encode(images)
        shares = torch.linspace(0, 1, columns, device=z.device)[:, None]
        rows = [images, model.decode(z), model.decode(torch.lerp(z[:1], z[-1:], shares))]
        if self.model.use == "vae":
            draws = torch.Generator().manual_seed(self.training.seed)
            rows.append(model.decode(torch.randn(z.shape, generator=draws).to(z)))
        return tile(to_uint8(torch.cat(rows)), columns)


def attach_networks(model: DeePSiM, image_size: tuple[int, int], channels: int) -> DeePSiM:
    """Open the networks that a model's settings name, and attach them.

    Args:
        model: trained or not.
        image_size: (H, W) of its images.
        channels: 1 or 3.

    Raises:
        ConfigError: a network that cannot be opened; see ``open_comparator``.
    """
    config = model.config
    if config.needs_comparator:
        model.attach(comparator=open_comparator(config.comparator, image_size, channels))
    if config.network is not None and config.use == "inversion":
        model.attach(network=open_comparator(config.network, image_size, channels))
    return model


def _config(model: DeePSiMConfig) -> DeePSiMGenerator:
    return DeePSiMGenerator(
        model=model, training=TrainingConfig(learning_rate=5e-4, betas=(0.9, 0.99))
    )


CONFIGS: dict[str, DeePSiMGenerator] = {
    "autoencoder": _config(LABELMINT),
    "vae": _config(replace(LABELMINT, use="vae")),
    "inversion": _config(replace(LABELMINT, use="inversion")),
    "paper": DeePSiMGenerator(
        model=PAPER,
        training=TrainingConfig(
            batch_size=64, learning_rate=2e-4, betas=(0.9, 0.999), ema_decay=0.0
        ),
    ),
    **{name: _config(model) for name, model in ABLATIONS.items()},
}
"""The three uses, the paper's inversion, and the ablations as autoencoders; with
``model.use=inversion`` they are those of an inversion."""
