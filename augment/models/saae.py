"""SAAE: a content encoder and a style encoder without a prior, a (k+1)-class discriminator.

Zhao et al., "Stylized Adversarial AutoEncoder for Image Generation", ACM MM 2017. Symbols
follow Sec. 2: z_c = Enc_c(c), z_s = Enc_s(s), G(c, s) = Dec(z_c, z_s), D = discriminator.

The paper names a three-step training without specifying it. Our reading:
    1. reconstruct    G learns to rebuild x from (content of x's label, style of x).
    2. discriminate   G stands still, D learns the k real classes and "generated".
    3. alternate      D and G in turn; G also wants its images read as the content's class.

Departures from the paper are listed in ``saae_config``.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.comparators import Comparator, perceptual_term
from augment.data.pairs import Batch
from augment.diffaugment import diff_augment
from augment.layers import (
    AdaptiveInstanceNorm,
    AffineTransform,
    ConvBlock,
    convolve_to_blocks,
    maybe_spectral,
)
from augment.losses.adversarial import class_or_fake, gradient_penalty_r1, real_or_fake
from augment.losses.reconstruction import l1_distance, l2_distance
from augment.models.saae_config import LABELMINT, PAPER, SAAEConfig, Steps
from augment.phases import Losses, Phase, Stage

__all__ = ["LABELMINT", "PAPER", "SAAE", "ContentEncoder", "SAAEConfig", "Steps"]


class ContentEncoder(nn.Module):
    """Enc_c: three convolutions; returns the maps of all three, the last one being z_c.

    Args:
        width: channels of the first map.
        halvings: how often the size is halved, 0 to 2.
        channels: of the contents.
    """

    def __init__(self, width: int, halvings: int, channels: int = 1) -> None:
        super().__init__()
        wide = width * 2 if halvings else width
        self.blocks = nn.ModuleList(
            [
                ConvBlock(channels, width),
                ConvBlock(width, wide, stride=2 if halvings >= 1 else 1),
                ConvBlock(wide, wide, stride=2 if halvings == 2 else 1),
            ]
        )

    def forward(self, contents: Tensor) -> list[Tensor]:
        """(N, channels, H, W) to three maps."""
        maps = []
        for block in self.blocks:
            contents = block(contents)
            maps.append(contents)
        return maps


class StyleEncoder(nn.Module):
    """Enc_s: three convolutions and a fully connected layer, to the style vector z_s."""

    def __init__(self, config: SAAEConfig, channels: int, style_size: tuple[int, int]) -> None:
        super().__init__()
        width = config.width
        halves = config.style_pooling or config.halvings > 0
        strides = (1, 2, 2) if halves else (1, 1, 1)
        self.blocks = nn.Sequential(
            ConvBlock(channels, width, stride=strides[0]),
            ConvBlock(width, width, stride=strides[1]),
            ConvBlock(width, width, stride=strides[2]),
        )
        self.pooling = config.style_pooling
        cells = [-(-side // (4 if halves else 1)) for side in style_size]
        features = 2 * width if self.pooling else width * cells[0] * cells[1]
        self.to_vector = nn.Linear(features, config.style_dim)

    def forward(self, styles: Tensor) -> Tensor:
        """(N, C, Hs, Ws) to (N, style_dim)."""
        maps = self.blocks(styles)
        if self.pooling:
            deviation, mean = torch.std_mean(maps.float(), dim=(2, 3), correction=0)
            features = torch.cat([mean, deviation], dim=1)
        else:
            features = maps.flatten(1)
        z_s: Tensor = self.to_vector(features)
        return z_s


class Decoder(nn.Module):
    """Dec: three convolutions from (z_c, z_s) to an image in [-1, 1].

    With ``in_blocks`` images come as ``convolve_to_blocks`` leaves them, for faster sampling.
    """

    in_blocks = False

    def __init__(self, config: SAAEConfig, channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        width, adain = config.width, config.style_injection == "adain"
        wide = width * 2 if config.halvings else width
        half = wide if adain else wide * 2  # content and style half/half in channels
        skip = config.content_skip
        if not adain:
            factor = 2**config.halvings
            self.map_size = (-(-image_size[0] // factor), -(-image_size[1] // factor))
            self.to_map = nn.Linear(config.style_dim, wide * self.map_size[0] * self.map_size[1])
        norm = partial(AdaptiveInstanceNorm, style_dim=config.style_dim)
        self.residual = nn.ModuleList(
            nn.Conv2d(half, half, 3, 1, 1) for _ in range(config.residual_blocks)
        )
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(half, wide, 3, 1, 1),
                nn.Conv2d(wide + (wide if skip else 0), width, 3, 1, 1),
                nn.Conv2d(width + (width + 1 if skip else 0), channels, 3, 1, 1),
            ]
        )
        norms = [half] * config.residual_blocks + [wide, width]
        self.norms = nn.ModuleList(norm(n) if adain else nn.BatchNorm2d(n) for n in norms)

    def forward(self, contents: Tensor, maps: list[Tensor], z_s: Tensor) -> Tensor:
        """Decode.

        Args:
            contents: (N, 1, H, W), used by the content skip.
            maps: what Enc_c returned for them.
            z_s: (N, style_dim).

        Returns:
            (N, C, H, W) in [-1, 1].
        """
        hidden = maps[2]
        adain = self.config.style_injection == "adain"
        if not adain:
            style_map = self.to_map(z_s).unflatten(1, (-1, *self.map_size))
            hidden = torch.cat([hidden, style_map], dim=1)
        norms = iter(self.norms)

        def normalize(values: Tensor) -> Tensor:
            norm = next(norms)
            return F.leaky_relu(norm(values, z_s) if adain else norm(values), 0.2)

        for convolution in self.residual:
            hidden = hidden + normalize(convolution(hidden))
        hidden = normalize(self.convolutions[0](hidden))
        for convolution, skip_maps in zip(
            self.convolutions[1:], (maps[1:2], [maps[0], contents]), strict=True
        ):
            hidden = self._join(convolution, hidden, skip_maps)
            if convolution is not self.convolutions[-1]:
                hidden = normalize(hidden)
        return 2 * torch.sigmoid(hidden.float()) - 1  # the paper's sigmoid, at the model's edge

    def _join(self, convolution: nn.Module, hidden: Tensor, skips: list[Tensor]) -> Tensor:
        """Enlarge the maps to the size of the skips, lay those beside them and convolve."""
        size = skips[0].shape[2:]
        beside = [maps.to(hidden.dtype) for maps in skips] if self.config.content_skip else []
        if self.in_blocks and convolution is self.convolutions[-1]:
            assert isinstance(convolution, nn.Conv2d)
            return convolve_to_blocks(convolution, hidden, beside)
        if hidden.shape[2:] != size:
            hidden = F.interpolate(hidden, size=size, mode="nearest")
        joined: Tensor = convolution(torch.cat([hidden, *beside], dim=1))
        return joined


class Discriminator(nn.Module):
    """D: three convolutions, max pooling after the first, two fully connected layers."""

    def __init__(
        self, config: SAAEConfig, num_classes: int, channels: int, image_size: tuple[int, int]
    ) -> None:
        super().__init__()
        width, spectral = config.discriminator_width, config.spectral_norm
        block = partial(ConvBlock, batch_norm=not spectral, spectral=spectral)
        stride = 2 if config.halvings else 1
        self.convolutions = nn.Sequential(
            block(channels, width),
            nn.MaxPool2d(2, ceil_mode=True),
            block(width, 2 * width, stride=stride),
            block(2 * width, 2 * width, stride=stride),
        )
        with torch.no_grad():
            features = self.convolutions.eval()(torch.zeros(1, channels, *image_size)).numel()
        self.convolutions.train()
        outputs = num_classes + 1 if config.discriminator == "multi" else 1
        self.head = nn.Sequential(
            maybe_spectral(nn.Linear(features, 4 * width), spectral),
            nn.LeakyReLU(0.2),
            nn.Linear(4 * width, outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, k+1) logits, the last one for "generated"; binary: (N, 1)."""
        logits: Tensor = self.head(self.convolutions(images).flatten(1))
        return logits


class SAAE(nn.Module):
    """The four networks, what each player moves, and the three stages of training.

    Args:
        config: architecture, losses and steps.
        num_classes: k.
        image_size: (H, W) of images and contents.
        channels: 1 or 3, of images and styles.
    """

    def __init__(
        self, config: SAAEConfig, *, num_classes: int, image_size: tuple[int, int], channels: int
    ) -> None:
        super().__init__()
        self.config = config
        self.image_size = image_size
        self.style_size = config.style_size or image_size
        self.content_encoder = ContentEncoder(config.width, config.halvings)
        self.transform = AffineTransform(config.style_dim) if config.content_transform else None
        self.style_encoder = StyleEncoder(config, channels, self.style_size)
        self.decoder = Decoder(config, channels, image_size)
        self.discriminator = Discriminator(config, num_classes, channels, image_size)
        self.comparator: Comparator | None = None  # of the perceptual term; not among the weights

    def forward(self, contents: Tensor, z_s: Tensor) -> Tensor:
        """G(c, s) with the style already encoded: (N, 1, H, W), (N, style_dim) to (N, C, H, W)."""
        if self.transform is not None:
            contents = self.transform(contents, z_s)
        images: Tensor = self.decoder(contents, self.content_encoder(contents), z_s)
        return images

    def encode_style(self, styles: Tensor) -> Tensor:
        """z_s = Enc_s(s): (N, C, Hs, Ws) in [-1, 1] to (N, style_dim)."""
        z_s: Tensor = self.style_encoder(styles)
        return z_s

    def draw_in_blocks(self) -> bool:
        """From now on return (N, 4·C, H/2, W/2) for ``unblock``, if the architecture allows it."""
        config = self.config
        even = all(side % 2 == 0 for side in self.image_size)
        self.decoder.in_blocks = config.content_skip and config.halvings > 0 and even
        return self.decoder.in_blocks

    def players(self) -> dict[str, list[nn.Module]]:
        """Which networks each player moves."""
        transform = [] if self.transform is None else [self.transform]
        return {
            "generator": [self.content_encoder, self.style_encoder, self.decoder, *transform],
            "discriminator": [self.discriminator],
        }

    def stages(self) -> list[Stage]:
        """The three-step training."""
        reconstruct = Phase(
            "reconstruct", "generator", "the distance between x and G(c, s)", self._reconstruct
        )
        discriminate = Phase(
            "discriminator",
            "discriminator",
            "cross-entropy: real images to their classes, generated ones to class k+1",
            self._discriminate,
        )
        generate = Phase(
            "generator",
            "generator",
            "reconstruction, and cross-entropy of D(G(c, s)) to the class of the content",
            self._generate,
        )
        steps = self.config.steps
        return [
            Stage("reconstruct", steps.reconstruct, (reconstruct,)),
            Stage("discriminate", steps.discriminate, (discriminate,)),
            Stage("alternate", steps.alternate, (discriminate, generate)),
        ]

    def _reconstruct(self, batch: Batch, draws: torch.Generator) -> Losses:
        x_tilde = self(batch.contents, self.encode_style(batch.styles))
        terms: dict[str, Tensor] = {}
        rec = self._distance(x_tilde, batch.images, terms)
        return Losses(rec.mean(), terms)

    def _discriminate(self, batch: Batch, draws: torch.Generator) -> Losses:
        with torch.no_grad():
            fakes = self._mix_pairs(batch, draws)[0]
        real_images = batch.images
        if self.config.r1_weight:
            real_images = real_images.detach().requires_grad_(True)
        logits = self.discriminator(self._seen(real_images, draws))
        real = self._wants_real(logits, batch.labels)
        fake = self._wants_fake(self.discriminator(self._seen(fakes, draws)))
        total, terms = real.mean() + fake.mean(), {"real": real, "fake": fake}
        if self.config.r1_weight:
            r1 = gradient_penalty_r1(logits, real_images)
            total, terms["r1"] = total + self.config.r1_weight / 2 * r1.mean(), r1
        return Losses(total, terms)

    def _generate(self, batch: Batch, draws: torch.Generator) -> Losses:
        images, z_s, unpaired = self._mix_pairs(batch, draws)
        terms: dict[str, Tensor] = {}
        rec = self._distance(images[unpaired:], batch.images[unpaired:], terms)
        adv = self._wants_real(self.discriminator(self._seen(images, draws)), batch.labels)
        total = (
            self.config.reconstruction_weight * (rec.mean() if len(rec) else images.sum() * 0)
            + self.config.adversarial_weight * adv.mean()
        )
        terms["adversarial"] = adv
        if self.config.style_weight and unpaired:
            read_back = self.encode_style(images[:unpaired])
            style = (read_back - z_s[:unpaired].detach()).square().mean(dim=1)
            total, terms["style"] = total + self.config.style_weight * style.mean(), style
        return Losses(total, terms)

    def _mix_pairs(self, batch: Batch, draws: torch.Generator) -> tuple[Tensor, Tensor, int]:
        """G on the batch, its first samples with the style of another sample.

        Returns:
            images (N, C, H, W), z_s (N, style_dim) and how many of the first are unpaired.
        """
        z_s = self.encode_style(batch.styles)
        unpaired = int(len(z_s) * self.config.unpaired_share)
        order = torch.arange(len(z_s))
        order[:unpaired] = torch.randperm(len(z_s), generator=draws)[:unpaired]
        z_s = z_s[order.to(z_s.device)]
        return self(batch.contents, z_s), z_s, unpaired

    def _distance(self, images: Tensor, targets: Tensor, terms: dict[str, Tensor]) -> Tensor:
        """Reconstruction, with the perceptual term if there is one; each noted in ``terms``."""
        measure = l1_distance if self.config.reconstruction == "l1" else l2_distance
        terms["reconstruction"] = measure(images, targets)
        perceptual = self.config.perceptual
        if perceptual is None or not len(images):
            return terms["reconstruction"]
        terms["perceptual"] = perceptual_term(perceptual, self.comparator, images, targets)
        return terms["reconstruction"] + perceptual.weight * terms["perceptual"]

    def _seen(self, images: Tensor, draws: torch.Generator) -> Tensor:
        return diff_augment(images, draws) if self.config.diff_augment else images

    def _wants_real(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.discriminator == "multi":
            return class_or_fake(logits, labels)
        return real_or_fake(logits, real=True)

    def _wants_fake(self, logits: Tensor) -> Tensor:
        if self.config.discriminator == "multi":
            return class_or_fake(logits, None)
        return real_or_fake(logits, real=False)
