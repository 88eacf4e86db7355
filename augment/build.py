"""From labelled images to a generator bundle: the whole training of SAAE, and its settings."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo, SamplingConfig, save_bundle
from augment.config import config_digest, to_mapping
from augment.data.content import DEFAULT_FONTS, Font, book_fonts, draw_glyphs
from augment.data.datasets import LabelledImages
from augment.data.pairs import ContentStylePairs, PairsConfig, folds_of, ink_of
from augment.data.poses import fit_poses, identity_poses
from augment.generate import Sampler
from augment.images import Pixels, resize_image, tile, to_tensor
from augment.models import saae
from augment.training import Context, TrainingConfig, train

__all__ = ["CONFIGS", "GeneratorConfig", "GlyphConfig", "train_generator", "write_bundle"]

MAX_STYLES = 4096
"""Styles kept in a bundle's bank; of larger sets every n-th image is taken."""
MAX_EXAMPLES = 64
"""Real images of a class whose ink is kept as contents."""
PROBE_STEP = 2**31
"""Step whose batch, never trained on in this order, tracks the progress."""
SHEET_COLUMNS = 12
"""Samples of a class in samples.png."""


@dataclass(frozen=True)
class GlyphConfig:
    """How labels are drawn as contents."""

    font_files: tuple[str, ...] = ()  # besides OpenCV's own
    stretch: bool = False  # fill the crop, as plate characters do

    def fonts(self) -> tuple[Font, ...]:
        """OpenCV's fonts, the book fonts at hand and the files named."""
        return DEFAULT_FONTS + book_fonts() + tuple(Font(path=path) for path in self.font_files)


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that decides what a trained generator is, besides its data."""

    model: saae.SAAEConfig = field(default_factory=saae.SAAEConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    glyphs: GlyphConfig = field(default_factory=GlyphConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


CONFIGS: dict[str, GeneratorConfig] = {
    "paper": GeneratorConfig(
        model=saae.PAPER,
        training=TrainingConfig(ema_decay=0.0),
        sampling=SamplingConfig(style_mix=0.0),
    ),
    "labelmint": GeneratorConfig(
        model=saae.LABELMINT,
        training=TrainingConfig(discriminator_rate=3.0),
        pairs=PairsConfig(
            glyph_share=1.0,
            example_share=1.0,
            self_share=0.5,
            style_from="group",
            align=True,
            balance_classes=True,
        ),
        sampling=SamplingConfig(align=True, glyph_share=0.4, style_mix=0.25, warp=0.02),
    ),
}


def train_generator(
    data: LabelledImages, config: GeneratorConfig, context: Context, *, scratch: Path
) -> nn.Module:
    """Train SAAE on ``data``.

    Args:
        data: the training images, all of them used.
        config: settings.
        context: the worker this is.
        scratch: folder for checkpoints in the making.

    Returns:
        The trained model, in eval mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        model = saae.SAAE(
            config.model,
            num_classes=len(data.classes),
            image_size=data.image_size,
            channels=data.channels,
        )
    pairs = ContentStylePairs(
        data,
        _glyphs(data, config),
        config.pairs,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
    )
    probe = pairs(PROBE_STEP)

    def validate(averaged: nn.Module) -> float:
        """Reconstruction of one fixed batch of training images by the averaged weights."""
        with torch.no_grad():
            contents, styles = probe.contents.to(context.device), probe.styles.to(context.device)
            images = averaged(contents, averaged.encode_style(styles))  # type: ignore[operator]
            return float((images - probe.images.to(context.device)).abs().mean())

    identity = f"{config_digest(config)}/{data.digest()}"
    return train(
        model,
        pairs,
        config.training,
        context,
        scratch=scratch,
        validate=validate,
        identity=identity,
    )


def write_bundle(
    folder: Path,
    model: nn.Module,
    data: LabelledImages,
    config: GeneratorConfig,
    metrics: dict[str, float] | None = None,
) -> BundleInfo:
    """Write the bundle of a trained model; the banks are made from ``data``.

    A ``reader/`` already in ``folder`` becomes part of the bundle.
    """
    banks = _banks(model, data, config)
    info = BundleInfo(
        architecture="saae",
        model=to_mapping(config.model),
        sampling=config.sampling,
        classes=data.classes,
        image_size=data.image_size,
        channels=data.channels,
        data={"uri": data.uri, "digest": data.digest(), "images": len(data)},
        metrics=metrics or {},
    )
    samples = _sheet(Sampler(info, model, banks), data)
    return save_bundle(folder, info, {**model.state_dict(), **banks}, samples)


def _glyphs(data: LabelledImages, config: GeneratorConfig) -> Pixels:
    return draw_glyphs(
        data.classes, data.image_size, config.glyphs.fonts(), stretch=config.glyphs.stretch
    )


def _banks(model: nn.Module, data: LabelledImages, config: GeneratorConfig) -> dict[str, Tensor]:
    """What samples are made of.

    Contents are glyphs and, where it was trained on, the ink of real images; styles and poses
    are those of the real images, spread evenly over them.
    """
    glyphs = _glyphs(data, config)
    contents = [glyphs.reshape(-1, *glyphs.shape[2:])]
    labels = [np.repeat(np.arange(len(glyphs)), glyphs.shape[1])]
    folds = [np.full(len(contents[0]), -1)]
    poses = [identity_poses(len(contents[0]))]

    def poses_of(rows: NDArray[np.int64]) -> Tensor:
        if not config.pairs.align:
            return identity_poses(len(rows))
        return fit_poses(ink_of(data.images(rows)), data.labels[rows], glyphs)

    if config.pairs.example_share or config.pairs.self_share:
        rows = _first_of_each_class(data, MAX_EXAMPLES)
        contents.append(ink_of(data.images(rows)))
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


def _sheet(sampler: Sampler, data: LabelledImages) -> Pixels:
    """One row a class: a real image, then samples."""
    rows = []
    indices = np.arange(SHEET_COLUMNS)
    for c in range(len(data.classes)):
        drawn = sampler.draw(np.full(SHEET_COLUMNS, c), indices, seed=0).images
        real = np.flatnonzero(data.labels == c)[:1]
        blank = np.full((1, *drawn.shape[1:]), 255, np.uint8)
        rows += [data.images(real) if len(real) else blank, drawn]
    return tile(np.concatenate(rows), SHEET_COLUMNS + 1)
