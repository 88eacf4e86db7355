"""SAAE on whole lines as a generator: what it trains on, what its bundle holds."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo, open_bundle
from augment.config import to_mapping
from augment.data.layouts import Layout, load_layout
from augment.data.line_pairs import (
    LineBatch,
    LineData,
    LinePairs,
    LinePairsConfig,
    other_text,
)
from augment.data.pairs import FOLDS
from augment.data.texts import WIDTH_STEP, LineShape, open_texts
from augment.errors import RequestError
from augment.generate import Sampler
from augment.generators.base import GeneratorConfig
from augment.generators.line_sampler import LineSampler
from augment.generators.line_styles import measure_looks
from augment.images import Pixels, tile, to_tensor
from augment.models.line_saae_config import LABELMINT, PAPER, LineSAAEConfig, LineSampling
from augment.training import TrainingConfig

__all__ = [
    "CONFIGS",
    "LineSAAEGenerator",
    "folds_of_groups",
    "line_folds",
    "load_line_sampler",
    "open_lines",
    "shape_for",
]

MAX_STYLES = 4096
"""Styles kept in a bundle's bank; of larger sets every n-th line is taken."""
SHEET_ROWS, SHEET_COLUMNS = 16, 4
"""Training lines shown in samples.png, and samples beside each: its text and another one, each in
the line's own style and in one from the bank."""
PLATE_HEIGHT = 32
"""Pixels."""


@dataclass(frozen=True)
class LineSAAEGenerator(GeneratorConfig[LineData]):
    """Settings of SAAE on lines, of its contents and styles."""

    architecture: ClassVar[str] = "line_saae"
    sampler: ClassVar[type[Sampler] | None] = None
    """Lines are drawn by text, not by class: see ``load_line_sampler``."""
    model: LineSAAEConfig = field(default_factory=LineSAAEConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    pairs: LinePairsConfig = field(default_factory=LinePairsConfig)
    sampling: LineSampling = field(default_factory=LineSampling)

    def batches(self, data: LineData) -> Callable[[int, int, int], LineBatch]:
        """Lines with their text rendered, and another text for each."""
        return LinePairs(
            data, self.pairs, batch_size=self.training.batch_size, seed=self.training.seed
        )

    def validate(self, model: nn.Module, batch: LineBatch) -> float:
        """Mean absolute error of the reconstruction."""
        images = model(batch.contents, model.encode_style(batch.images))  # type: ignore[operator]
        return float((images - batch.images).abs().mean())

    def banks(self, model: nn.Module, data: LineData) -> dict[str, Tensor]:
        """Styles, poses and looks of the lines whose text was found, with what to select by."""
        rows = _lenders(data, align=self.pairs.align)
        images = [data.images[row] for row in rows.tolist()]
        sources = sorted(set(data.texts.sources.tolist()))
        measured = measure_looks(images)
        fits = data.fits
        poses = fits.poses[rows] if self.pairs.align else torch.eye(2, 3).repeat(len(rows), 1, 1)
        return {
            "bank.styles": _encode_styles(model, images),
            "bank.poses": poses,
            "bank.looks": fits.looks[rows],
            "bank.polarities": fits.polarities[rows],
            "bank.widths": torch.tensor([image.shape[1] for image in images]),
            "bank.sources": torch.tensor(
                [sources.index(source) for source in data.texts.sources[rows].tolist()]
            ),
            "bank.folds": torch.from_numpy(line_folds(data)[rows]),
            **{f"bank.{name}": values for name, values in measured.items()},
        }

    def samples(
        self, info: BundleInfo, model: nn.Module, banks: dict[str, Tensor], data: LineData
    ) -> Pixels:
        """A row a training line, then its text and another one: in its style, in two others."""
        any_width = {**info.sampling, "max_width": None}  # lines trained on may be wider
        info = replace(info, sampling=any_width)
        sampler = LineSampler(info, model, banks, batch_size=SHEET_COLUMNS)
        rng = np.random.default_rng(0)
        lenders = _lenders(data, align=self.pairs.align)
        most = min(len(lenders), SHEET_ROWS)
        shown = np.unique(np.linspace(0, len(lenders) - 1, most).astype(int)).tolist()
        lines = []
        for lender in shown:
            line = int(lenders[lender])
            own, image = data.texts.texts[line], data.images[line]
            texts = [own, other_text(own, data.layout, image.shape[:2], rng)]
            zeros = np.zeros(2, np.int64)
            lent = sampler.draw_texts(texts, zeros, 0, style=sampler.style(ids=[lender])).images
            lines += [image, *lent, *sampler.draw_texts(texts, zeros, 0).images]
        width = max(line.shape[1] for line in lines)
        tiles = np.full((len(lines), data.shape.height, width, data.channels), 255, np.uint8)
        for place, picture in zip(tiles, lines, strict=True):
            place[:, : picture.shape[1]] = picture
        return tile(tiles, 1 + SHEET_COLUMNS)

    def describe_data(self, data: LineData) -> dict[str, Any]:
        """Lines, how many could not be written, layout, shape, and the sources of the styles."""
        layout = to_mapping(data.layout)
        layout.pop("allowed")
        return {
            **super().describe_data(data),
            "left_out": len(data.left_out),
            "layout": layout,
            "shape": asdict(data.shape),
            "sources": sorted(set(data.texts.sources.tolist())),
        }


CONFIGS: dict[str, LineSAAEGenerator] = {
    "labelmint": LineSAAEGenerator(
        model=LABELMINT,
        training=TrainingConfig(batch_size=16, discriminator_rate=3.0),
    ),
    "paper": LineSAAEGenerator(
        model=PAPER,
        training=TrainingConfig(ema_decay=0.0),
        pairs=LinePairsConfig(balance=0.0, align=False),
        sampling=LineSampling(style_mix=0.0, align=False),
    ),
}

LEAST_PLATE_WIDTH = 96
"""Pixels; plates are this wide, or as their layout's proportions say."""
MOST_WORD_WIDTH = 160
"""Pixels, of free text that is trained on."""


def shape_for(layout: Layout, size: tuple[int, int] | None = None, channels: int = 3) -> LineShape:
    """The shape that lines of a layout are brought to.

    Args:
        layout: of a plate, whose lines all have one width, or free text.
        size: (H, W) of plates, (H, widest W) of free text. None: 32 × 160 for free text; plates are
            32 pixels high and as wide as their layout says, to 8 pixels below, at least 96.
        channels: 1 (gray) or 3 (RGB).
    """
    if size is not None:
        height, most = size
    elif layout.size is None:
        height, most = PLATE_HEIGHT, MOST_WORD_WIDTH
    else:
        height, width = PLATE_HEIGHT, PLATE_HEIGHT * layout.size[0] / layout.size[1]
        most = max(LEAST_PLATE_WIDTH, int(width) // WIDTH_STEP * WIDTH_STEP)
    least = min(height, most) if layout.is_free else most
    return LineShape(height, least, most, channels)


def open_lines(
    uri: str,
    layout: str,
    *,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    split: str = "train",
) -> LineData:
    """Open the real lines of a data URI; those that the layout cannot write are left out.

    Args:
        uri: as for ``open_texts``.
        layout: name or file, as for ``load_layout``.
        size: as for ``shape_for``.
        channels: 1 (gray) or 3 (RGB).
        split: train, val or test.

    Raises:
        DataError, ConfigError: as these say.
    """
    known = load_layout(layout)
    texts = open_texts(uri, real_only=True).split(split)
    return LineData.select(texts, known, shape_for(known, size, channels))


def line_folds(data: LineData) -> NDArray[np.int64]:
    """(N,) fold of each line, as ``folds_of_groups`` deals them together with those left out."""
    groups = np.concatenate([data.texts.groups, data.left_out.groups])
    return folds_of_groups(groups)[: len(data)]


def folds_of_groups(groups: NDArray[np.str_]) -> NDArray[np.int64]:
    """Deal lines into FOLDS folds by turns, those of one group into the same.

    Args:
        groups: (N,) of each line.

    Returns:
        (N,) folds, 0 to FOLDS - 1.
    """
    return np.unique(groups, return_inverse=True)[1] % FOLDS


def load_line_sampler(folder: str | Path, **how: Any) -> LineSampler:
    """Load a bundle's folder; arguments as in ``LineSampler``.

    Raises:
        BundleNotFoundError, BundleError: see ``augment.bundle.open_bundle``.
        RequestError: the bundle draws no lines.
    """
    info, model, banks = open_bundle(Path(folder))
    if info.architecture != LineSAAEGenerator.architecture:
        raise RequestError(
            f"a {info.architecture} bundle draws no lines of text; take one of "
            f"{LineSAAEGenerator.architecture}."
        )
    return LineSampler(info, model, banks, **how)


def _lenders(data: LineData, *, align: bool) -> NDArray[np.int64]:
    """The lines that lend their styles, by row."""
    rows = data.found if align else np.arange(len(data))
    return rows[:: -(-len(rows) // MAX_STYLES)]


@torch.no_grad()
def _encode_styles(model: nn.Module, images: list[Pixels]) -> Tensor:
    device = next(model.parameters()).device
    vectors = [model.encode_style(to_tensor(image[None]).to(device)).float() for image in images]  # type: ignore[operator]
    return torch.cat(vectors).cpu()
