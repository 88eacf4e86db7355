"""SAAE as a generator: what it trains on, what its bundle holds, how it is sampled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo
from augment.config import from_mapping
from augment.data.content import Font, draw_glyphs
from augment.data.datasets import LabelledImages
from augment.data.pairs import Batch, ContentStylePairs, PairsConfig, folds_of, ink_of
from augment.data.poses import fit_poses, identity_poses, relative_poses, warp_to_poses
from augment.draws import ContentIndex, Uniforms
from augment.generate import Inputs, Origins, Sampler, Style
from augment.generators.base import GeneratorConfig
from augment.images import Pixels, resize_image, to_tensor
from augment.layers import WARP_GRID, warp_smoothly
from augment.models.saae_config import LABELMINT, PAPER, SAAEConfig, SAAESampling, Steps
from augment.training import TrainingConfig

__all__ = ["CONFIGS", "GlyphConfig", "SAAEGenerator", "SAAESampler"]

MAX_STYLES = 4096
"""Styles kept in a bundle's bank; of larger sets every n-th image is taken."""
MAX_EXAMPLES = 64
"""Real images of a class that a bundle keeps as contents: their ink, or photographs in gray."""

_CONTENT, _SOURCE, _STYLE_A, _STYLE_B, _MIX, _MIXES, _WARP = range(7)


class SAAESampler(Sampler):
    """Draws contents from the bundle's glyphs and examples, in the styles of its real images.

    Banks: ``bank.contents`` (M, 1, H, W) uint8, ``bank.content_labels`` (M,),
    ``bank.content_folds`` (M,), -1 for glyphs, ``bank.content_poses`` (M, 2, 3),
    ``bank.styles`` (S, style_dim), ``bank.poses`` (S, 2, 3).
    """

    def __init__(
        self, info: BundleInfo, model: nn.Module, banks: Mapping[str, Tensor], **how: Any
    ) -> None:
        super().__init__(info, model, banks, **how)
        self.sampling = from_mapping(SAAESampling, info.sampling)
        self.contents = banks["bank.contents"]
        self.content_poses, self.poses = banks["bank.content_poses"], banks["bank.poses"]
        self.bank = ContentIndex(
            banks["bank.content_labels"].numpy(),
            banks["bank.content_folds"].numpy(),
            len(info.classes),
        )

    @property
    def style_size(self) -> tuple[int, int]:
        """(H, W) of style images."""
        size: tuple[int, int] = self.model.style_size
        return size

    def encode_styles(self, images: Tensor) -> Tensor:
        """z_s of style images."""
        vectors: Tensor = self.model.encode_style(images)
        return vectors

    @torch.no_grad()
    def combine(self, contents: Pixels, styles: Pixels) -> Pixels:
        """G(c, s) of contents and styles that are given, pair by pair.

        Args:
            contents: (N, H, W, 1) uint8, of the bundle's image size.
            styles: (N, Hs, Ws, C) uint8, of ``style_size``.

        Returns:
            (N, H, W, C) uint8.
        """
        images = np.empty((len(contents), *self.image_size, self.channels), np.uint8)
        for start in range(0, len(contents), self.batch_size):
            rows = np.arange(start, start + self.batch_size).clip(max=len(contents) - 1)  # padded
            inks = to_tensor(contents[rows]).to(self.device)
            drawn = self.network(inks, self.encode_styles(to_tensor(styles[rows]).to(self.device)))
            images[start : start + self.batch_size] = drawn[: len(contents) - start].cpu().numpy()
        return images

    def plan(
        self, labels: NDArray[np.int64], uniforms: Uniforms, style: Style | None
    ) -> tuple[Origins, Inputs]:
        """Choose a content of each label, and two real images that lend it pose and style."""
        wants_glyph = uniforms(_SOURCE) < self.sampling.glyph_share
        contents = self.bank.choose(labels, wants_glyph, uniforms(_CONTENT))
        lenders = (uniforms(_STYLE_A) * self.num_styles).astype(np.int64)  # of pose and style
        styles = np.full((len(labels), 2), -1, np.int64)
        mixes = np.zeros(len(labels), np.float32)
        if style is None:
            styles[:, 0] = lenders
            styles[:, 1] = (uniforms(_STYLE_B) * self.num_styles).astype(np.int64)
            mixed = uniforms(_MIXES) < self.sampling.style_mix
            mixes = np.where(mixed, uniforms(_MIX), 0.0).astype(np.float32)
        warps = uniforms.table(_WARP, 2 * WARP_GRID**2)

        def inputs(rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
            inks = self._inks(contents[rows], lenders[rows], warps[rows])
            return inks, self.style_vectors(styles[rows], mixes[rows], style)

        return Origins(contents, styles, mixes, self.bank.folds[contents]), inputs

    def _inks(
        self, contents: NDArray[np.int64], lenders: NDArray[np.int64], warps: NDArray[np.float64]
    ) -> Tensor:
        """Contents (N, 1, H, W) in [-1, 1], put in the lenders' poses and bent as asked for."""
        inks = self.contents[torch.from_numpy(contents)].float().div(127.5).sub(1)
        if self.sampling.align:
            own, lent = self.content_poses[contents], self.poses[lenders]
            inks = warp_to_poses(inks, relative_poses(own, lent))
        if self.sampling.warp:
            table = torch.from_numpy(warps).float()
            inks = warp_smoothly(inks, table, self.sampling.warp)
        return inks.to(self.device)


@dataclass(frozen=True)
class GlyphConfig:
    """How labels are drawn as contents."""

    font_files: tuple[str, ...] = ()  # besides OpenCV's own
    stretch: bool = False  # fill the crop, as plate characters do


@dataclass(frozen=True)
class SAAEGenerator(GeneratorConfig):
    """Settings of SAAE, of its contents and styles."""

    architecture: ClassVar[str] = "saae"
    sampler: ClassVar[type[Sampler]] = SAAESampler
    model: SAAEConfig = field(default_factory=SAAEConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    glyphs: GlyphConfig = field(default_factory=GlyphConfig)
    sampling: SAAESampling = field(default_factory=SAAESampling)

    def fonts(self) -> tuple[Font, ...]:
        """OpenCV's fonts, the book fonts at hand and the files named."""
        return super().fonts() + tuple(Font(path=path) for path in self.glyphs.font_files)

    def batches(self, data: LabelledImages) -> Callable[[int, int, int], Batch]:
        """Images with a content picture of their label and a style picture."""
        return ContentStylePairs(
            data,
            self._draw_glyphs(data),
            self.pairs,
            batch_size=self.training.batch_size,
            seed=self.training.seed,
        )

    def validate(self, model: nn.Module, batch: Batch) -> float:
        """Mean absolute error of the reconstruction."""
        images = model(batch.contents, model.encode_style(batch.styles))  # type: ignore[operator]
        return float((images - batch.images).abs().mean())

    def banks(self, model: nn.Module, data: LabelledImages) -> dict[str, Tensor]:
        """Contents, styles and poses.

        Contents are glyphs and, where it was trained on them, real images reduced to contents;
        styles and poses are those of the real images, spread evenly over them.
        """
        glyphs = self._draw_glyphs(data)
        contents = [glyphs.reshape(-1, *glyphs.shape[2:])]
        labels = [np.repeat(np.arange(len(glyphs)), glyphs.shape[1])]
        folds = [np.full(len(contents[0]), -1)]
        poses = [identity_poses(len(contents[0]))]

        def poses_of(rows: NDArray[np.int64]) -> Tensor:
            if not self.pairs.align:
                return identity_poses(len(rows))
            return fit_poses(ink_of(data.images(rows)), data.labels[rows], glyphs)

        if self.pairs.example_share or self.pairs.self_share:
            rows = _first_of_each_class(data, MAX_EXAMPLES)
            contents.append(self.pairs.reduce(data.images(rows)))
            labels.append(data.labels[rows])
            folds.append(folds_of(data.labels)[rows])
            poses.append(poses_of(rows))
        inks = np.concatenate(contents)
        lenders = np.arange(0, len(data), -(-len(data) // MAX_STYLES))
        return {
            "bank.contents": torch.from_numpy(inks.transpose(0, 3, 1, 2)),
            "bank.content_labels": torch.from_numpy(np.concatenate(labels)),
            "bank.content_folds": torch.from_numpy(np.concatenate(folds)),
            "bank.content_poses": torch.cat(poses),
            "bank.styles": _encode_styles(model, data, lenders),
            "bank.poses": poses_of(lenders),
        }

    def _draw_glyphs(self, data: LabelledImages) -> Pixels:
        """(k, F, H, W, 1); F is 0 where contents are photographs."""
        if self.pairs.examples == "photograph":
            return np.empty((len(data.classes), 0, *data.image_size, 1), np.uint8)
        return draw_glyphs(data.classes, data.image_size, self.fonts(), stretch=self.glyphs.stretch)


FACES = SAAEConfig(
    reconstruction="l1",
    steps=Steps(reconstruct=300, discriminate=100, alternate=1200),
    style_dim=256,
    halvings=2,
    residual_blocks=2,
    discriminator_width=64,
    diff_augment=True,
    style_weight=1.0,
)
"""Attribute transfer at 64×64, 15 minutes on one core.

The style is a full map, for it has to carry who is shown, and how; the content says the attribute.
Contents are other images than the one to be rebuilt, so that nothing else can be learned of them.
"""

CONFIGS: dict[str, SAAEGenerator] = {
    "labelmint": SAAEGenerator(
        model=LABELMINT,
        training=TrainingConfig(discriminator_rate=3.0),
        pairs=PairsConfig(
            glyph_share=1.0,
            example_share=1.0,
            self_share=0.5,
            style_from="group",
            align=True,
            balance_classes=True,
        ),
        sampling=SAAESampling(align=True, glyph_share=0.4, style_mix=0.25, warp=0.02),
    ),
    "paper": SAAEGenerator(
        model=PAPER,
        training=TrainingConfig(ema_decay=0.0),
        sampling=SAAESampling(style_mix=0.0),
    ),
    "faces": SAAEGenerator(
        model=FACES,
        training=TrainingConfig(discriminator_rate=3.0),
        pairs=PairsConfig(
            glyph_share=0.0, example_share=1.0, examples="photograph", balance_classes=True
        ),
        sampling=SAAESampling(glyph_share=0.0, style_mix=0.0),
    ),
}


def _first_of_each_class(data: LabelledImages, count: int) -> NDArray[np.int64]:
    classes = range(len(data.classes))
    return np.concatenate([np.flatnonzero(data.labels == c)[:count] for c in classes])


@torch.no_grad()
def _encode_styles(model: nn.Module, data: LabelledImages, rows: NDArray[np.int64]) -> Tensor:
    size: tuple[int, int] = model.style_size  # type: ignore[assignment]
    device = next(model.parameters()).device
    vectors = []
    for start in range(0, len(rows), 256):
        pixels = data.images(rows[start : start + 256])
        if size != data.image_size:
            pixels = np.stack([resize_image(image, size) for image in pixels])
        vectors.append(model.encode_style(to_tensor(pixels).to(device)).float().cpu())  # type: ignore[operator]
    return torch.cat(vectors)
