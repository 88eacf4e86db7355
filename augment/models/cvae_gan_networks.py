"""The networks of CVAE-GAN: compact ones for 64×64 on two cores, and the paper's.

Whatever the size, E and C read images (N, C, H, W), G makes them from z and a class vector, and
D and C return their features f_D(x) and f_C(x) beside their answer.
"""

from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.errors import ConfigError
from augment.layers import ConvBlock, ResidualBlock, maybe_spectral
from augment.models.cvae_gan_config import CVAEGANConfig

__all__ = ["Networks", "build_networks"]

COSINE_SCALE = 20.0
"""Factor of the compact classifier's cosines before the softmax."""
DOWN = 16
"""The compact networks halve the size four times."""


class Networks(nn.Module):
    """E, G, D and C.

    Attributes:
        encoder: (images, class vectors) to (N, 2·latent_dim): μ and log σ² side by side.
        generator: (z, class vectors) to images (N, C, H, W) in [-1, 1].
        discriminator: (images, class vectors) to logits (N, 1) and features f_D (N, …).
        classifier: images to logits (N, k) and features f_C (N, num_features).
    """

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        discriminator: nn.Module,
        classifier: nn.Module,
        num_features: int,
    ) -> None:
        super().__init__()
        self.encoder, self.generator = encoder, generator
        self.discriminator, self.classifier = discriminator, classifier
        self.num_features = num_features


def build_networks(
    config: CVAEGANConfig,
    *,
    num_classes: int,
    image_size: tuple[int, int],
    channels: int,
    label_dim: int,
) -> Networks:
    """The networks of a configuration, with random weights.

    Raises:
        ConfigError: an image size that the networks cannot halve often enough.
    """
    make = _compact if config.networks == "compact" else _paper
    return make(config, num_classes, image_size, channels, label_dim)


def _compact(
    config: CVAEGANConfig,
    num_classes: int,
    image_size: tuple[int, int],
    channels: int,
    label_dim: int,
) -> Networks:
    _check_size(image_size, DOWN)
    start = (image_size[0] // DOWN, image_size[1] // DOWN)
    features = 8 * config.width
    return Networks(
        _Encoder(config, channels, start, label_dim),
        _Generator(config, channels, start, label_dim),
        _Discriminator(config, channels, start, label_dim),
        _CosineClassifier(config.width, channels, start, num_classes, features),
        features,
    )


class _Encoder(nn.Module):
    """Four strided convolutions and a fully connected layer that the label joins."""

    def __init__(
        self, config: CVAEGANConfig, channels: int, start: tuple[int, int], label_dim: int
    ) -> None:
        super().__init__()
        widths = [channels, *(config.width * factor for factor in (1, 2, 4, 8))]
        self.convolutions = nn.Sequential(*(ConvBlock(a, b, stride=2) for a, b in pairwise(widths)))
        size = widths[-1] * start[0] * start[1]
        self.head = nn.Linear(size + label_dim, 2 * config.latent_dim)

    def forward(self, images: Tensor, vectors: Tensor) -> Tensor:
        maps = self.convolutions(images).flatten(1)
        moments: Tensor = self.head(torch.cat([maps, vectors], dim=1))
        return moments


class _ConditionalNorm(nn.Module):
    """Batch norm whose scale and shift come from a vector (de Vries et al., 2017)."""

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.affine = nn.Linear(condition_dim, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.02)
        nn.init.zeros_(self.affine.bias)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        normed: Tensor = self.norm(maps) * (1 + scale) + shift
        return normed


class _UpBlock(nn.Module):
    """Twice the size: conditional norm, ReLU and convolution, twice, around a shortcut.

    A 3×3 convolution comes before the enlargement, and a transposed one of 4×4 makes it: a third of
    the work of enlarging first.
    """

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int) -> None:
        super().__init__()
        self.first_norm = _ConditionalNorm(in_channels, condition_dim)
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.second_norm = _ConditionalNorm(out_channels, condition_dim)
        self.second = nn.ConvTranspose2d(out_channels, out_channels, 4, 2, 1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        body = self.first(torch.relu(self.first_norm(maps, condition)))
        body = self.second(torch.relu(self.second_norm(body, condition)))
        enlarged: Tensor = body + _enlarge(self.shortcut(maps))
        return enlarged


class _Generator(nn.Module):
    """A fully connected layer and four residual blocks, all told z and the class vector."""

    def __init__(
        self, config: CVAEGANConfig, channels: int, start: tuple[int, int], label_dim: int
    ) -> None:
        super().__init__()
        self.start = start
        given, told = config.latent_dim + label_dim, 2 * config.latent_dim
        widths = [config.width * factor for factor in (8, 8, 4, 2, 1)]
        self.tell = nn.Sequential(nn.Linear(given, told), nn.LeakyReLU(0.2))
        self.spread = nn.Linear(given, widths[0] * start[0] * start[1])
        self.blocks = nn.ModuleList(_UpBlock(a, b, told) for a, b in pairwise(widths))
        self.to_image = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], channels, 3, padding=1)
        )

    def forward(self, z: Tensor, vectors: Tensor) -> Tensor:
        given = torch.cat([z, vectors], dim=1)
        condition = self.tell(given)
        maps = self.spread(given).view(len(z), -1, *self.start)
        for block in self.blocks:
            maps = block(maps, condition)
        return torch.tanh(self.to_image(maps))


class _Discriminator(nn.Module):
    """DCGAN's, with the class projected onto its pooled features if asked for."""

    def __init__(
        self, config: CVAEGANConfig, channels: int, start: tuple[int, int], label_dim: int
    ) -> None:
        super().__init__()
        widths = [channels, *(config.width * factor for factor in (1, 2, 4, 8))]
        spectral = config.spectral_norm
        self.convolutions = nn.Sequential(
            *(
                ConvBlock(
                    a, b, stride=2, batch_norm=not spectral and a > channels, spectral=spectral
                )
                for a, b in pairwise(widths)
            )
        )
        self.head = nn.Linear(widths[-1] * start[0] * start[1], 1)
        self.project = (
            maybe_spectral(nn.Linear(label_dim, widths[-1], bias=False), spectral)
            if config.projection
            else None
        )

    def forward(self, images: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.convolutions(images)
        logits = self.head(maps.flatten(1))
        if self.project is not None:
            pooled = maps.mean(dim=(2, 3))
            logits = logits + (pooled * self.project(vectors)).sum(dim=1, keepdim=True)
        return logits, maps


class _CosineClassifier(nn.Module):
    """A residual network onto the unit sphere; logits are scaled cosines to class directions."""

    def __init__(
        self, width: int, channels: int, start: tuple[int, int], num_classes: int, num_features: int
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 4 * width, stride=2),
            ResidualBlock(4 * width, 8 * width, stride=2),
            nn.Flatten(),
            nn.Linear(8 * width * start[0] * start[1], num_features),
        )
        self.directions = nn.Parameter(torch.randn(num_classes, num_features))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = F.normalize(self.body(images).float(), dim=1)
        cosines = features @ F.normalize(self.directions.float(), dim=1).T
        return COSINE_SCALE * cosines, features


def _enlarge(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")


def _check_size(image_size: tuple[int, int], multiple: int) -> None:
    if any(side % multiple or side < 2 * multiple for side in image_size):
        raise ConfigError(
            f"expected image sides that are multiples of {multiple}, from {2 * multiple} pixels "
            f"on; got {image_size}: give another image size."
        )


class _PaperEncoder(nn.Module):
    """GoogLeNet; the label joins its pooled features at the last fully connected layer."""

    def __init__(self, latent_dim: int, label_dim: int) -> None:
        super().__init__()
        # torchvision is slow to import and only this configuration needs it
        from torchvision.models import googlenet

        self.body = googlenet(weights=None, aux_logits=False, init_weights=True)
        self.body.fc = nn.Identity()
        self.head = nn.Linear(1024 + label_dim, 2 * latent_dim)

    def forward(self, images: Tensor, vectors: Tensor) -> Tensor:
        moments: Tensor = self.head(torch.cat([self.body(_in_colour(images)), vectors], dim=1))
        return moments


class _PaperGenerator(nn.Module):
    """Two fully connected layers and six convolutions with five doublings between them."""

    WIDTHS = (256, 256, 128, 92, 64)
    KERNELS = (3, 3, 5, 5, 5, 5)

    def __init__(
        self, latent_dim: int, label_dim: int, image_size: tuple[int, int], channels: int
    ) -> None:
        super().__init__()
        self.start = (image_size[0] // 32, image_size[1] // 32)
        wide = self.WIDTHS[0] * self.start[0] * self.start[1]
        self.spread = nn.Sequential(
            nn.Linear(latent_dim + label_dim, 1024),
            nn.BatchNorm1d(1024),
            nn.ReLU(),
            nn.Linear(1024, wide),
            nn.BatchNorm1d(wide),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        before = self.WIDTHS[0]
        for width, kernel in zip(self.WIDTHS, self.KERNELS, strict=False):
            layers += [
                nn.ConvTranspose2d(before, width, kernel, 2, kernel // 2, output_padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        last = nn.Conv2d(before, channels, self.KERNELS[-1], padding=self.KERNELS[-1] // 2)
        self.body = nn.Sequential(*layers, last, nn.Tanh())

    def forward(self, z: Tensor, vectors: Tensor) -> Tensor:
        maps = self.spread(torch.cat([z, vectors], dim=1)).view(len(z), -1, *self.start)
        images: Tensor = self.body(maps)
        return images


class _PaperClassifier(nn.Module):
    """AlexNet; f_C is the input of its last fully connected layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        from torchvision.models import alexnet

        self.body = alexnet(weights=None)
        self.body.classifier[-1] = nn.Identity()
        self.head = nn.Linear(4096, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(_in_colour(images))
        return self.head(features), features


def _paper(
    config: CVAEGANConfig,
    num_classes: int,
    image_size: tuple[int, int],
    channels: int,
    label_dim: int,
) -> Networks:
    _check_size(image_size, 32)
    start = (image_size[0] // DOWN, image_size[1] // DOWN)
    dcgan = replace(config, width=64)
    return Networks(
        _PaperEncoder(config.latent_dim, label_dim),
        _PaperGenerator(config.latent_dim, label_dim, image_size, channels),
        _Discriminator(dcgan, channels, start, label_dim),
        _PaperClassifier(num_classes),
        4096,
    )


def _in_colour(images: Tensor) -> Tensor:
    return images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)
