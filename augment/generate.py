"""(generator, labels, seed) to images: sampling that is the same wherever it runs.

Sample i of a label depends only on (weights, seed, label, i, style). Its random numbers are
hashed from these, and the network always sees the same batch shape, padded, so neither the
batch around a sample nor the worker that draws it can change it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo
from augment.candidates import MAX_FACTOR, Tally, try_candidates
from augment.draws import Uniforms
from augment.errors import LabelError, RequestError
from augment.images import Pixels, resize_image, to_tensor
from augment.network import sampling_network
from augment.training import is_faster_in_bf16

__all__ = [
    "Drawn",
    "Inputs",
    "Origins",
    "Reader",
    "Sampler",
    "Samples",
    "Style",
    "Tally",
    "draw_counts",
    "style_shares",
]

Inputs = Callable[[NDArray[np.int64]], tuple[Tensor, ...]]
"""Rows of a request to what the network takes for them."""


@dataclass(frozen=True)
class Style:
    """One fixed style for all samples of a request: a vector from ``Sampler.style``."""

    vector: tuple[float, ...]


class Origins(NamedTuple):
    """What samples are made of; row j belongs to label j."""

    contents: NDArray[np.int64]  # (N,) index into the content bank; -1 where there is none
    styles: NDArray[np.int64]  # (N, 2) indices into the style bank; -1 where none was used
    mixes: NDArray[np.float32]  # (N,) share of the second style
    folds: NDArray[np.int64]  # (N,) fold of the real image it shows again; -1: of none


class Samples(NamedTuple):
    """Generated images and what they were made from; row j belongs to label j."""

    images: Pixels  # (N, H, W, C)
    contents: NDArray[np.int64]  # the rest as in ``Origins``
    styles: NDArray[np.int64]
    mixes: NDArray[np.float32]
    folds: NDArray[np.int64]

    def drawn(self, row: int, label: int, index: int, confidence: float | None) -> "Drawn":
        """One of the images, with its label and what read-back says of it."""
        first, second = self.styles[row].tolist()
        return Drawn(
            image=self.images[row],
            label=label,
            index=index,
            content=int(self.contents[row]),
            styles=(first, second),
            mix=float(self.mixes[row]),
            confidence=confidence,
        )


class Reader(Protocol):
    """An independent recognizer that reads generated images back.

    Attributes:
        band: least and greatest confidence of an image that is read as a class.
    """

    band: tuple[float, float]

    def read(
        self,
        images: Pixels,
        folds: NDArray[np.int64] | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Read (N, H, W, C) uint8 images, each without help from the fold it was drawn from.

        ``bands`` (N, 2) stand in for ``band``, one for each image.

        Returns:
            labels (N,) and confidences (N,) in [0, 1].
        """


def style_shares(
    ids: Sequence[int], num_images: int, weights: Sequence[float], num_styles: int
) -> Tensor:
    """Shares, of sum 1, of the styles that are mixed.

    Args:
        ids: indices into a bank.
        num_images: style images besides.
        weights: one per id, then one per image; empty for equal shares.
        num_styles: styles in the bank.

    Returns:
        (len(ids) + num_images,) float64.

    Raises:
        RequestError: no style, an id outside the bank, or unfit weights.
    """
    for index in ids:
        if not 0 <= index < num_styles:
            raise RequestError(f"style ids must be in [0, {num_styles - 1}], got {index}.")
    count = len(ids) + num_images
    shares = np.asarray(weights or [1.0] * count, dtype=np.float64)
    if count == 0 or len(shares) != count or (shares < 0).any() or shares.sum() == 0:
        raise RequestError(
            f"expected a weight >= 0, not all 0, for each of {count} styles (at least one); "
            f"got {list(weights)}."
        )
    return torch.from_numpy(shares / shares.sum())


class Sampler(ABC):
    """A loaded generator; ``augment.generators.load_sampler`` loads the right one for a bundle.

    Args:
        info: the bundle's description.
        model: its network with trained weights.
        banks: the bundle's other tensors; ``bank.styles`` (S, style_dim) are the style vectors
            of training images.
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
        self.styles = banks["bank.styles"].to(self.device)
        self.network = sampling_network(self.model, self.device, half=self.half, compiled=compile)

    @property
    def style_size(self) -> tuple[int, int]:
        """(H, W) of the images that styles are read from."""
        return self.image_size

    @property
    def takes_styles(self) -> bool:
        """Whether labels still tell images apart in one given style."""
        return True

    @abstractmethod
    def encode_styles(self, images: Tensor) -> Tensor:
        """Style vectors (N, style_dim) of (N, C, *style_size) images in [-1, 1]."""

    @abstractmethod
    def plan(
        self, labels: NDArray[np.int64], uniforms: Uniforms, style: Style | None
    ) -> tuple[Origins, Inputs]:
        """Choose what samples are made of, from their own random numbers alone.

        Args:
            labels: (N,) in [0, k).
            uniforms: the numbers of each sample, in the streams from 0 on.
            style: one style for all, or None.
        """

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
            RequestError: no style, an id outside the bank, or unfit weights; or the bundle takes
                no styles.
        """
        self._require_styles()
        shares = style_shares(ids, len(images), weights, self.num_styles)
        vectors = [self.styles[list(ids)]] + [self._encode_style(image) for image in images]
        weighted = torch.cat(vectors).double() * shares[:, None].to(self.device)
        return Style(tuple(weighted.sum(dim=0).tolist()))

    def _require_styles(self) -> None:
        if not self.takes_styles:
            raise RequestError(
                f"expected no style: this bundle ({self.info.architecture}) knows its "
                f"{len(self.classes)} labels by their images alone, and in one style all of them "
                "would be the same; got one. Leave the style out, or take another bundle."
            )

    def _encode_style(self, image: Pixels) -> Tensor:
        """Style vector (1, style_dim) of one (H, W, C) uint8 image of any size."""
        if image.shape[2] != self.channels:
            raise RequestError(
                f"a style image must have {self.channels} channels, got {image.shape[2]}; "
                "convert it."
            )
        pixels = to_tensor(resize_image(image, self.style_size)[None]).to(self.device)
        with torch.no_grad():
            return self.encode_styles(pixels).float()

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
            RequestError: a style, of a bundle that takes none.
        """
        if style is not None:
            self._require_styles()
        outside = np.flatnonzero((labels < 0) | (labels >= len(self.classes)))
        if len(outside):
            raise LabelError(
                f"labels must be in [0, {len(self.classes) - 1}], got {labels[outside[0]]} at "
                f"index {outside[0]}; check the classes of this bundle."
            )
        origins, inputs = self.plan(labels, Uniforms(seed, labels, indices), style)
        images = np.empty((len(labels), *self.image_size, self.channels), np.uint8)
        for start in range(0, len(labels), self.batch_size):
            end = min(start + self.batch_size, len(labels))
            rows = np.arange(start, start + self.batch_size).clip(max=end - 1)  # padded
            drawn = self.network(*inputs(rows))
            images[start:end] = drawn[: end - start].cpu().numpy()
        return Samples(images, *origins)

    def style_vectors(
        self, ids: NDArray[np.int64], mixes: NDArray[np.float32], style: Style | None
    ) -> Tensor:
        """(N, style_dim): the style given, else the first of each row mixed with the second."""
        if style is not None:
            return torch.tensor(style.vector, device=self.device).expand(len(ids), -1)
        first, second = self.styles[ids[:, 0]], self.styles[ids[:, 1]]
        return torch.lerp(first, second, self.on_device(mixes)[:, None])

    def on_device(self, values: NDArray[Any]) -> Tensor:
        """An array as a tensor where the network is."""
        return torch.from_numpy(values).to(self.device)


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


def draw_counts(
    sampler: Sampler,
    counts: Mapping[int, int],
    seed: int,
    *,
    reader: Reader | None = None,
    is_copy: Callable[[Pixels], NDArray[np.bool_]] | None = None,
    style: Style | None = None,
    tally: Tally | None = None,
    max_factor: int = MAX_FACTOR,
    chunk: int = 512,
) -> Iterator[list[Drawn]]:
    """Draw the number of images asked for of each label, verified by a reader if one is given.

    Candidates of a label are its samples 0, 1, 2, … in order; one that does not read as its
    label, or copies a training image, is dropped and the next is drawn, up to ``max_factor``
    times as many as were asked for.

    Args:
        sampler: the generator.
        counts: label to number wanted, each at least 1.
        seed: of the request.
        reader: reads images back; None keeps every image.
        is_copy: (N, H, W, C) images to (N,) whether each is a near-copy of a training image;
            None keeps copies.
        style: one style for all.
        tally: filled in while drawing.
        max_factor: candidates at most, per image asked for.
        chunk: images drawn at a time.

    Yields:
        The kept images of one chunk, labels ascending, indices ascending.

    Raises:
        ConfigError: ``max_factor`` or ``chunk`` below 1.
        RequestError: a count below 1.
    """
    tally = Tally() if tally is None else tally

    def attempt(
        labels: NDArray[np.int64], indices: NDArray[np.int64]
    ) -> tuple[list[Drawn], NDArray[np.bool_]]:
        samples = sampler.draw(labels, indices, seed, style)
        confidences: NDArray[np.float32] | None = None
        keep = np.ones(len(labels), np.bool_)
        if reader is not None:
            read, confidences = reader.read(samples.images, samples.folds)
            keep = read == labels
        if is_copy is not None:
            copies = is_copy(samples.images)
            tally.copies += int(copies.sum())
            keep &= ~copies
        drawn = [
            samples.drawn(
                row,
                int(labels[row]),
                int(indices[row]),
                None if confidences is None else float(confidences[row]),
            )
            for row in range(len(labels))
        ]
        return drawn, keep

    for drawn, rows in try_candidates(
        counts,
        attempt,
        sampler.classes.__getitem__,
        tally,
        max_factor=max_factor,
        chunk=chunk,
    ):
        yield [drawn[row] for row in rows]
