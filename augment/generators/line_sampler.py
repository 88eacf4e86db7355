"""(generator, texts, seed) to lines: sampling that is the same wherever it runs.

Sample i of a text depends only on (weights, seed, text, i, style, selection). Its random numbers
are hashed from these, and lines of one width are drawn in batches of one shape, padded with
repetitions, so neither the batch around a sample nor the worker that draws it can change it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo
from augment.config import from_mapping
from augment.data.line_pairs import MIN_CORRELATION, fit_to_images, look_count, place_contents
from augment.data.line_poses import guess_polarity, keep_inside
from augment.data.lines import draw_contents
from augment.data.texts import find_size_fault
from augment.draws import Uniforms
from augment.errors import LabelError, RequestError
from augment.export import Record
from augment.generate import style_shares
from augment.generators.line_form import LineForm
from augment.generators.line_styles import COLOURS, StyleSelection
from augment.images import Pixels, encode_png, to_tensor
from augment.models.line_saae_config import LineSampling
from augment.network import sampling_network
from augment.training import is_faster_in_bf16

__all__ = ["LineSampler", "LineSamples", "LineStyle", "line_records"]

STEEPEST = 0.8
"""Half-heights that a lent pose may climb within half a width."""

_STYLE_A, _STYLE_B, _MIX, _MIXES, _LOOK = range(5)


@dataclass(frozen=True)
class LineStyle:
    """One fixed style for all lines of a request; see ``LineSampler.style``."""

    vector: tuple[float, ...]
    pose: tuple[float, ...] | None = None  # of 2 × 3, row by row; None: upright
    look: int | None = None  # None: drawn for each sample
    width: int = 0  # pixels, of the line that the pose is of
    polarity: float = 1.0  # -1: ink darker than its ground


class LineSamples(NamedTuple):
    """Generated lines and what they were made from; row j belongs to text j."""

    images: list[Pixels]  # (H, W, C) each; W follows from layout or text
    texts: tuple[str, ...]
    indices: NDArray[np.int64]  # (N,)
    seeds: NDArray[np.int64]  # (N,)
    styles: NDArray[np.int64]  # (N, 2) indices into the style bank; -1 where none was used
    mixes: NDArray[np.float32]  # (N,) share of the second style
    folds: NDArray[np.int64]  # (N,) fold of the real lines that lent the style; -1: of none alone
    confidences: NDArray[np.float32]  # (N,) of a reader, in [0, 1]; NaN where none was asked

    def subset(self, rows: NDArray[np.int64]) -> "LineSamples":
        """Some of the lines, in the order of ``rows``."""
        return LineSamples(
            [self.images[row] for row in rows],
            tuple(self.texts[row] for row in rows),
            self.indices[rows],
            self.seeds[rows],
            self.styles[rows],
            self.mixes[rows],
            self.folds[rows],
            self.confidences[rows],
        )


class LineSampler:
    """A loaded generator of lines.

    Banks, one row a training line: ``bank.styles`` (S, style_length), ``bank.poses`` (S, 2, 3),
    and (S,) each: ``bank.looks``, ``bank.polarities``, ``bank.widths``, ``bank.sources``,
    ``bank.colours``, ``bank.brightness``, ``bank.sharpness``, ``bank.folds``.

    Args:
        info: the bundle's description.
        model: its network with trained weights.
        banks: the bundle's other tensors.
        device: where to run.
        batch_size: lines of one width drawn at a time; part of what makes samples reproducible.
        half: as for ``augment.generate.Sampler``.
        compile: compile the network, once for every width.

    Raises:
        BundleError: the description lacks layout or shape.
        ConfigError: ``compile`` without a compiler on this machine.
    """

    def __init__(
        self,
        info: BundleInfo,
        model: nn.Module,
        banks: Mapping[str, Tensor],
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 32,
        half: bool | None = None,
        compile: bool = False,
    ) -> None:
        self.info, self.device, self.batch_size = info, torch.device(device), batch_size
        self.classes, self.channels, self.digest = info.classes, info.channels, info.digest
        self.image_size = info.image_size
        self.form = LineForm.of(info)
        self.layout, self.shape = self.form.layout, self.form.shape
        self.sources = self.form.sources
        self.sampling = from_mapping(LineSampling, info.sampling)
        layout = torch.channels_last
        self.model = model.eval().to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.half = is_faster_in_bf16(self.device) if half is None else half
        self.network = sampling_network(self.model, self.device, half=self.half, compiled=compile)
        self.styles = banks["bank.styles"].to(self.device)
        self.poses = banks["bank.poses"]
        names = ("looks", "polarities", "widths", "sources", "colours", "brightness", "sharpness")
        self.bank = {name: banks[f"bank.{name}"].numpy() for name in names}
        unknown = torch.full((self.num_styles,), -1)  # bundles without a reader need no folds
        self.folds = banks.get("bank.folds", unknown).numpy()

    @property
    def num_styles(self) -> int:
        """Styles in the bank."""
        return len(self.styles)

    def with_gaps(self) -> "LineSampler":
        """The same generator for plates that may lack characters; see ``Layout.with_gaps``."""
        sampler = copy(self)
        sampler.form = self.form.with_gaps()
        sampler.layout = sampler.form.layout
        return sampler

    def select(self, selection: StyleSelection) -> NDArray[np.int64]:
        """The styles of the bank, by index, that a selection leaves.

        Raises:
            RequestError: an unknown source, or nothing is left.
        """
        conditions: dict[str, NDArray[np.bool_]] = {}
        if selection.sources:
            for source in selection.sources:
                if source not in self.sources:
                    raise RequestError(
                        f"unknown source {source[:40]!r}; the styles come from: "
                        f"{', '.join(filter(None, self.sources)) or 'lines that name none'}."
                    )
            wanted = [self.sources.index(source) for source in selection.sources]
            told = f"come from {', '.join(source[:40] for source in selection.sources)}"
            conditions[told] = np.isin(self.bank["sources"], wanted)
        if selection.colours:
            numbers = [COLOURS.index(colour) for colour in selection.colours]
            conditions[f"are {' or '.join(selection.colours)}"] = np.isin(
                self.bank["colours"], numbers
            )
        for name in ("brightness", "sharpness"):
            least, most = getattr(selection, name)
            ranks = np.argsort(np.argsort(self.bank[name], kind="stable"))
            shares = (ranks + 0.5) / self.num_styles
            inside = (least <= shares) & (shares <= most)
            if not inside.all():
                conditions[f"have {name} {least:g} to {most:g}"] = inside
        every = np.ones(self.num_styles, np.bool_)
        chosen = np.flatnonzero(np.all([every, *conditions.values()], axis=0))
        if not len(chosen):
            found = ", ".join(f"{rows.sum()} {told}" for told, rows in conditions.items())
            raise RequestError(
                f"no style meets what is selected: of the bank's {self.num_styles} {found}; ask "
                "for less."
            )
        return chosen

    def style(
        self,
        *,
        ids: Sequence[int] = (),
        images: Sequence[Pixels] = (),
        texts: Sequence[str | None] = (),
        weights: Sequence[float] = (),
    ) -> LineStyle:
        """A style, or a mix of several, from the bank and from images.

        Pose, look and polarity are those of the first: of an image they are found if its text is
        told; otherwise the line stands upright, and only the polarity is guessed.

        Args:
            ids: indices into the style bank.
            images: (H, W, C) uint8 style images.
            texts: what the images say, as far as known; empty: nothing is known.
            weights: one per id, then one per image; empty for equal shares. Scaled to sum 1.

        Raises:
            RequestError: no style, an id outside the bank, an image of unusable size, a text that
                the layout does not know or that is not found in its image, or unfit weights.
        """
        shares = style_shares(ids, len(images), weights, self.num_styles)
        lines = [self._fitted(image) for image in images]
        vectors = torch.cat([self.styles[list(ids)], *map(self._encoded, lines)]).double()
        vector = shares.to(self.device) @ vectors
        values = tuple(vector.tolist())
        if not ids and not (texts and texts[0] is not None):
            guessed = guess_polarity(to_tensor(lines[0][None]))
            return LineStyle(values, polarity=float(guessed))
        if ids:
            pose = self.poses[ids[0]]
            look, width, polarity = (
                self.bank[name][ids[0]].item() for name in ("looks", "widths", "polarities")
            )
        else:
            self.form.width_of(str(texts[0]))
            try:
                fits = fit_to_images(lines[:1], [str(texts[0])], self.layout)
            except LabelError as error:
                height, width = lines[0].shape[:2]
                raise RequestError(
                    f"expected a style image wide enough for {texts[0]!r}, which it is said to "
                    f"show, got {width} × {height} pixels; send the whole line, or leave its text "
                    "out."
                ) from error
            if (found := float(fits.correlations[0])) < MIN_CORRELATION:
                raise RequestError(
                    f"expected a style image that says {texts[0]!r}, found that in it with a "
                    f"correlation of {found:.2f}, not {MIN_CORRELATION}; correct what it says, cut "
                    "out one line, or leave its text out."
                )
            pose, look, width = fits.poses[0], int(fits.looks[0]), lines[0].shape[1]
            polarity = float(fits.polarities[0])
        return LineStyle(values, tuple(pose.flatten().tolist()), look, width, polarity)

    def draw_texts(
        self,
        texts: Sequence[str],
        indices: NDArray[np.int64],
        seed: int | NDArray[np.int64],
        *,
        style: LineStyle | None = None,
        select: StyleSelection | None = None,
    ) -> LineSamples:
        """Draw sample ``indices[j]`` of text ``texts[j]`` for every j.

        Args:
            texts: N texts.
            indices: (N,) at least 0; numbered within each text.
            seed: of the request; (N,) where several requests share a batch.
            style: one style for all; None draws from the bank for each sample.
            select: which styles of the bank may be drawn; None: all.

        Raises:
            RequestError: a text that the bundle cannot write, or a selection of nothing.
        """
        widths = np.array([self.form.width_of(text) for text in texts], np.int64)
        uniforms = Uniforms(seed, _hashed(texts), indices)
        pool = np.arange(self.num_styles) if select is None else self.select(select)
        styles = np.full((len(texts), 2), -1, np.int64)
        mixes = np.zeros(len(texts), np.float32)
        if style is None:
            for column, stream in enumerate((_STYLE_A, _STYLE_B)):
                styles[:, column] = pool[(uniforms(stream) * len(pool)).astype(np.int64)]
            mixed = uniforms(_MIXES) < self.sampling.style_mix
            bright = self.bank["polarities"][styles]
            mixed &= bright[:, 0] == bright[:, 1]  # half of each could not be read
            mixes = np.where(mixed, uniforms(_MIX), 0.0).astype(np.float32)
            looks = self.bank["looks"][styles[:, 0]]
        elif style.look is None:
            looks = (uniforms(_LOOK) * look_count(self.layout)).astype(np.int64)
        else:
            looks = np.full(len(texts), style.look)
        poses = self._poses(styles[:, 0], widths, style)
        sides = self.bank["polarities"][styles[:, 0]] if style is None else style.polarity
        polarities = torch.from_numpy(np.broadcast_to(sides, len(texts)).astype(np.float32))
        images: list[Pixels] = [np.empty(0, np.uint8)] * len(texts)
        for width in np.unique(widths):
            same = np.flatnonzero(widths == width)
            for start in range(0, len(same), self.batch_size):
                part = same[start : start + self.batch_size]
                rows = np.resize(part, self.batch_size)  # repeated until full
                inks = draw_contents(
                    [texts[row] for row in rows.tolist()],
                    self.layout,
                    size=(self.shape.height, int(width)),
                    looks=looks[rows],
                )
                stands = keep_inside(poses[rows], _ink_edges(inks))
                contents = place_contents(inks, stands, polarities[rows]).to(self.device)
                vectors = self._vectors(styles[rows], mixes[rows], style)
                drawn = self.network(contents, vectors).cpu().numpy()
                for row, image in zip(part, drawn, strict=False):
                    images[row] = image
        seeds = np.broadcast_to(np.asarray(seed, np.int64), len(texts))
        folds = self._folds(styles, mixes)
        unread = np.full(len(texts), np.nan, np.float32)
        return LineSamples(images, tuple(texts), indices, seeds, styles, mixes, folds, unread)

    def _folds(self, styles: NDArray[np.int64], mixes: NDArray[np.float32]) -> NDArray[np.int64]:
        """The fold that all of a sample's style comes from; -1 where there is none."""
        first, second = self.folds[styles.T]
        alone = (styles[:, 0] >= 0) & ((mixes == 0) | (first == second))
        return np.where(alone, first, -1)

    def _poses(
        self, lenders: NDArray[np.int64], widths: NDArray[np.int64], style: LineStyle | None
    ) -> Tensor:
        """How each line stands: as the lender of its style does, at its own width."""
        upright = torch.eye(2, 3).repeat(len(widths), 1, 1)
        if not self.sampling.align:
            return upright
        if style is None:
            lent, own = self.poses[lenders], self.bank["widths"][lenders]
        elif style.pose is not None:
            lent = torch.tensor(style.pose).view(1, 2, 3).repeat(len(widths), 1, 1)
            own = np.full(len(widths), style.width)
        else:
            return upright
        stretch = torch.from_numpy(widths / own).float()
        poses = lent.clone()
        poses[:, 0, 1] /= stretch  # the same angles in pixels
        poses[:, 1, 0] = (poses[:, 1, 0] * stretch).clamp(-STEEPEST, STEEPEST)
        return poses

    def _vectors(
        self, ids: NDArray[np.int64], mixes: NDArray[np.float32], style: LineStyle | None
    ) -> Tensor:
        """(N, style_length): the style given, else the first of each row mixed with the second."""
        if style is not None:
            return torch.tensor(style.vector, device=self.device).repeat(len(ids), 1)
        first, second = self.styles[ids[:, 0]], self.styles[ids[:, 1]]
        return torch.lerp(first, second, torch.from_numpy(mixes).to(self.device)[:, None])

    def _fitted(self, image: Pixels) -> Pixels:
        """A style image at the model's height and its own width."""
        height, width, channels = image.shape
        if channels != self.channels:
            raise RequestError(
                f"a style image must have {self.channels} channels, got {channels}; convert it."
            )
        if (fault := find_size_fault(height, width)) is not None:
            raise RequestError(f"a style image must have {fault}.")
        return self.shape.fit(image)

    def _encoded(self, line: Pixels) -> Tensor:
        with torch.no_grad():
            vector: Tensor = self.model.encode_style(to_tensor(line[None]).to(self.device))
        return vector.float()


def line_records(samples: LineSamples, bundle: str, rows: Sequence[int]) -> list[Record]:
    """Some rows of samples, encoded as PNG, on their way out.

    Args:
        samples: generated lines.
        bundle: the bundle's digest.
        rows: which of them.
    """
    records = []
    for row in rows:
        given = samples.styles[row, 0] < 0
        first, second = samples.styles[row].tolist()
        confidence = float(samples.confidences[row])
        records.append(
            Record(
                png=encode_png(samples.images[row]),
                label=samples.texts[row],
                index=int(samples.indices[row]),
                seed=int(samples.seeds[row]),
                bundle=bundle,
                confidence=None if np.isnan(confidence) else confidence,
                styles=None if given else (first, second),
                mix=None if given else float(samples.mixes[row]),
            )
        )
    return records


def _ink_edges(inks: Pixels) -> Tensor:
    """Left, top, right and bottom of the ink of (N, H, W, 1) pictures, in [-1, 1]: (N, 4)."""
    height, width = inks.shape[1:3]
    edges = np.empty((len(inks), 4), np.float32)
    for row, ink in enumerate(inks):
        columns, lines = ink[..., 0].any(axis=0).nonzero()[0], ink[..., 0].any(axis=1).nonzero()[0]
        edges[row] = columns[0], lines[0], columns[-1] + 1, lines[-1] + 1
    return torch.from_numpy(edges / (width, height, width, height) * 2 - 1).float()


def _hashed(texts: Sequence[str]) -> NDArray[np.int64]:
    """A number for each text, (N,)."""
    digests = (hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in texts)
    return np.array([int.from_bytes(d[:8], "little", signed=True) for d in digests], np.int64)
