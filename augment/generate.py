"""(generator, labels, seed) to images: sampling that is the same wherever it runs.

Sample i of a label depends only on (weights, seed, label, i, style). Its random numbers are
hashed from these, and the network always sees the same batch shape, padded, so neither the
batch around a sample nor the worker that draws it can change it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo, load_bundle, load_tensors
from augment.data.poses import relative_poses, warp_to_poses
from augment.draws import ContentIndex, Uniforms
from augment.errors import ConfigError, LabelError, RequestError
from augment.images import Pixels, resize_image, to_tensor
from augment.layers import WARP_GRID, warp_smoothly
from augment.network import sampling_network
from augment.training import is_faster_in_bf16

__all__ = ["Drawn", "Reader", "Sampler", "Samples", "Style", "Tally", "draw_counts"]

_CONTENT, _SOURCE, _STYLE_A, _STYLE_B, _MIX, _MIXES, _WARP = range(7)


@dataclass(frozen=True)
class Style:
    """One fixed style for all samples of a request: a vector from ``Sampler.style``."""

    vector: tuple[float, ...]


class Samples(NamedTuple):
    """Generated images and what they were made from; row j belongs to label j."""

    images: Pixels  # (N, H, W, C)
    contents: NDArray[np.int64]  # (N,) index into the content bank
    styles: NDArray[np.int64]  # (N, 2) indices into the style bank; -1 where the style was given
    mixes: NDArray[np.float32]  # (N,) share of the second style
    folds: NDArray[np.int64]  # (N,) fold of the real image whose ink was the content; -1: a glyph


class Reader(Protocol):
    """An independent recognizer that reads generated images back."""

    def read(
        self, images: Pixels, folds: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Read (N, H, W, C) uint8 images, each without help from the fold it was drawn from.

        Returns:
            labels (N,) and confidences (N,) in [0, 1].
        """


class Sampler:
    """A loaded generator.

    Args:
        info: the bundle's description.
        model: its network with trained weights.
        banks: ``bank.contents`` (M, 1, H, W) uint8, ``bank.content_labels`` (M,),
            ``bank.content_folds`` (M,), -1 for glyphs, ``bank.content_poses`` (M, 2, 3),
            ``bank.styles`` (S, style_dim), ``bank.poses`` (S, 2, 3).
        device: where to run.
        batch_size: the one batch shape; part of what makes samples reproducible on a device.
        half: run the network in bfloat16; None: where the hardware is faster in it. Then images
            are the same on machines of one kind; in float32 they are within 2 of 255 levels
            of each other on every kind.
        compile: compile the network with TorchInductor at the first draw.

    Raises:
        ConfigError: ``compile`` without a compiler on this machine.
    """

    def __init__(
        self,
        info: BundleInfo,
        model: nn.Module,
        banks: Mapping[str, Tensor],
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 128,
        half: bool | None = None,
        compile: bool = False,
    ) -> None:
        self.info, self.device, self.batch_size = info, torch.device(device), batch_size
        self.classes, self.image_size, self.channels = info.classes, info.image_size, info.channels
        self.digest = info.digest
        layout = torch.channels_last
        self.model = model.eval().to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.half = is_faster_in_bf16(self.device) if half is None else half
        self.contents = banks["bank.contents"]
        self.styles = banks["bank.styles"].to(self.device)
        self.content_poses, self.poses = banks["bank.content_poses"], banks["bank.poses"]
        self.bank = ContentIndex(
            banks["bank.content_labels"].numpy(),
            banks["bank.content_folds"].numpy(),
            len(info.classes),
        )
        self.network = sampling_network(self.model, self.device, half=self.half, compiled=compile)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 128,
        half: bool | None = None,
        compile: bool = False,
    ) -> "Sampler":
        """Load a bundle's folder; arguments as in the constructor.

        Raises:
            BundleNotFoundError, BundleError: see ``augment.bundle.load_bundle``.
        """
        info = load_bundle(Path(folder))
        tensors = load_tensors(Path(folder))
        banks = {name: tensors.pop(name) for name in list(tensors) if name.startswith("bank.")}
        model = info.build_model()
        model.load_state_dict(tensors)
        return cls(
            info, model, banks, device=device, batch_size=batch_size, half=half, compile=compile
        )

    @property
    def num_styles(self) -> int:
        """Styles in the bank."""
        return len(self.styles)

    def label_index(self, name: str) -> int:
        """Class index of a class name.

        Raises:
            LabelError: unknown; lists the classes.
        """
        if name not in self.classes:
            raise LabelError(
                f"unknown label {name!r}; this bundle draws: {', '.join(self.classes)}."
            )
        return self.classes.index(name)

    def style(
        self,
        *,
        ids: Sequence[int] = (),
        images: Sequence[Pixels] = (),
        weights: Sequence[float] = (),
    ) -> Style:
        """A style, or a mix of several, from the bank and from images.

        Args:
            ids: indices into the style bank.
            images: (H, W, C) uint8 style images of any size.
            weights: one per id, then one per image; empty for equal shares. Scaled to sum 1.

        Raises:
            RequestError: no style, an id outside the bank, or unfit weights.
        """
        for index in ids:
            if not 0 <= index < self.num_styles:
                raise RequestError(f"style ids must be in [0, {self.num_styles - 1}], got {index}.")
        count = len(ids) + len(images)
        shares = np.asarray(weights or [1.0] * count, dtype=np.float64)
        if count == 0 or len(shares) != count or (shares < 0).any() or shares.sum() == 0:
            raise RequestError(
                f"expected a weight >= 0, not all 0, for each of {count} styles (at least one); "
                f"got {list(weights)}."
            )
        vectors = [self.styles[list(ids)]] + [self.encode_style(image) for image in images]
        weighted = torch.cat(vectors).double() * torch.from_numpy(shares / shares.sum())[
            :, None
        ].to(self.device)
        return Style(tuple(weighted.sum(dim=0).tolist()))

    def encode_style(self, image: Pixels) -> Tensor:
        """Style vector (1, style_dim) of one (H, W, C) uint8 image of any size."""
        if image.shape[2] != self.channels:
            raise RequestError(
                f"a style image must have {self.channels} channels, got {image.shape[2]}; "
                "convert it."
            )
        size: tuple[int, int] = self.model.style_size
        pixels = to_tensor(resize_image(image, size)[None]).to(self.device)
        with torch.no_grad():
            vector: Tensor = self.model.encode_style(pixels)
        return vector.float()

    def draw(
        self,
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
        seed: int | NDArray[np.int64],
        style: Style | None = None,
    ) -> Samples:
        """Draw sample ``indices[j]`` of label ``labels[j]`` for every j.

        Args:
            labels: (N,) in [0, k).
            indices: (N,) at least 0; numbered within each label.
            seed: of the request; (N,) where several requests share a batch.
            style: one style for all; None draws from the bank for each sample.

        Raises:
            LabelError: a label outside [0, k).
        """
        outside = np.flatnonzero((labels < 0) | (labels >= len(self.classes)))
        if len(outside):
            raise LabelError(
                f"labels must be in [0, {len(self.classes) - 1}], got {labels[outside[0]]} at "
                f"index {outside[0]}; check the classes of this bundle."
            )
        uniforms = Uniforms(seed, labels, indices)
        sampling = self.info.sampling
        contents = self.bank.choose(
            labels, uniforms(_SOURCE) < sampling.glyph_share, uniforms(_CONTENT)
        )
        lenders = (uniforms(_STYLE_A) * self.num_styles).astype(np.int64)  # of pose and style
        styles = np.full((len(labels), 2), -1, np.int64)
        mixes = np.zeros(len(labels), np.float32)
        if style is None:
            styles[:, 0] = lenders
            styles[:, 1] = (uniforms(_STYLE_B) * self.num_styles).astype(np.int64)
            mixed = uniforms(_MIXES) < sampling.style_mix
            mixes = np.where(mixed, uniforms(_MIX), 0.0).astype(np.float32)
        warps = uniforms.table(_WARP, 2 * WARP_GRID**2)
        images = np.empty((len(labels), *self.image_size, self.channels), np.uint8)
        for start in range(0, len(labels), self.batch_size):
            end = min(start + self.batch_size, len(labels))
            rows = np.arange(start, start + self.batch_size).clip(max=end - 1)  # padded
            inks = self._inks(contents[rows], lenders[rows], warps[rows])
            drawn = self.network(inks, self._style_vectors(styles[rows], mixes[rows], style))
            images[start:end] = drawn[: end - start].cpu().numpy()
        return Samples(images, contents, styles, mixes, self.bank.folds[contents])

    def _inks(
        self, contents: NDArray[np.int64], lenders: NDArray[np.int64], warps: NDArray[np.float64]
    ) -> Tensor:
        """Contents (N, 1, H, W) in [-1, 1], put in the lenders' poses and bent as asked for."""
        inks = self.contents[torch.from_numpy(contents)].float().div(127.5).sub(1)
        if self.info.sampling.align:
            own, lent = self.content_poses[contents], self.poses[lenders]
            inks = warp_to_poses(inks, relative_poses(own, lent))
        if self.info.sampling.warp:
            table = torch.from_numpy(warps).float()
            inks = warp_smoothly(inks, table, self.info.sampling.warp)
        return inks.to(self.device)

    def _style_vectors(
        self, ids: NDArray[np.int64], mixes: NDArray[np.float32], style: Style | None
    ) -> Tensor:
        if style is not None:
            return torch.tensor(style.vector, device=self.device).expand(len(ids), -1)
        first, second = self.styles[ids[:, 0]], self.styles[ids[:, 1]]
        return torch.lerp(first, second, torch.from_numpy(mixes)[:, None].to(self.device))


@dataclass(frozen=True)
class Drawn:
    """One generated image with its label and what read-back says of it."""

    image: Pixels  # (H, W, C)
    label: int
    index: int  # sample number within its label
    content: int
    styles: tuple[int, int]
    mix: float
    confidence: float | None  # of the read-back for the label it read; None without read-back


@dataclass
class Tally:
    """Images asked for, made, kept and dropped, and by how many each label falls short."""

    asked: int = 0
    made: int = 0
    kept: int = 0
    dropped: int = 0
    shortfall: dict[str, int] = field(default_factory=dict)


def draw_counts(
    sampler: Sampler,
    counts: Mapping[int, int],
    seed: int,
    *,
    reader: Reader | None = None,
    style: Style | None = None,
    tally: Tally | None = None,
    max_factor: int = 4,
    chunk: int = 512,
) -> Iterator[list[Drawn]]:
    """Draw the number of images asked for of each label, verified by a reader if one is given.

    Candidates of a label are its samples 0, 1, 2, … in order; one that does not read as its
    label is dropped and the next is drawn, up to ``max_factor`` times as many as were asked for.

    Args:
        sampler: the generator.
        counts: label to number wanted, each at least 1.
        seed: of the request.
        reader: reads images back; None keeps every image.
        style: one style for all.
        tally: filled in while drawing.
        max_factor: candidates at most, per image asked for.
        chunk: images drawn at a time.

    Yields:
        The kept images of one chunk, labels ascending, indices ascending.

    Raises:
        RequestError: a count below 1.
    """
    tally = Tally() if tally is None else tally
    if min(counts.values(), default=0) < 1:
        raise RequestError(f"expected a count of at least 1 for each label, got {dict(counts)}.")
    if max_factor < 1 or chunk < 1:
        raise ConfigError(f"max_factor and chunk must be at least 1; got {max_factor}, {chunk}.")
    tally.asked += sum(counts.values())
    missing = dict(sorted(counts.items()))
    drawn = dict.fromkeys(missing, 0)
    limits = {label: (max_factor if reader else 1) * count for label, count in counts.items()}
    while missing:
        labels, indices = _next_candidates(missing, drawn, limits, chunk)
        if not len(labels):
            break
        samples = sampler.draw(labels, indices, seed, style)
        confidences: NDArray[np.float32] | None = None
        keep = np.ones(len(labels), bool)
        if reader is not None:
            read, confidences = reader.read(samples.images, samples.folds)
            keep = read == labels
        tally.made += len(labels)
        tally.kept += int(keep.sum())
        tally.dropped += int((~keep).sum())
        for label in labels[keep].tolist():
            missing[label] -= 1
        missing = {label: count for label, count in missing.items() if count}
        yield [
            Drawn(
                samples.images[j],
                int(labels[j]),
                int(indices[j]),
                int(samples.contents[j]),
                (int(samples.styles[j, 0]), int(samples.styles[j, 1])),
                float(samples.mixes[j]),
                None if confidences is None else float(confidences[j]),
            )
            for j in np.flatnonzero(keep)
        ]
    for label, count in missing.items():
        tally.shortfall[sampler.classes[label]] = count


def _next_candidates(
    missing: Mapping[int, int], drawn: dict[int, int], limits: Mapping[int, int], chunk: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The next labels and sample numbers to try, at most ``chunk``; advances ``drawn``."""
    labels: list[int] = []
    indices: list[int] = []
    for label, count in missing.items():
        wanted = min(count, limits[label] - drawn[label], chunk - len(labels))
        labels += [label] * wanted
        indices += range(drawn[label], drawn[label] + wanted)
        drawn[label] += wanted
    return np.array(labels, np.int64), np.array(indices, np.int64)
