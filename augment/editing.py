"""Images in, images out: reconstruction, editing, morphing and restoration with a loaded bundle.

What comes out depends on the image and the options alone: the network always sees one padded
batch shape, whatever else is asked for at the same time. Images may have any size: the face box
named for an image, or found in it, is worked on at the model's size and put back.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.attributes import MAX_CONDITIONAL_STRENGTH, MAX_STRENGTH, edit
from augment.autoencoders import ClassCoder, Coder, coder_of
from augment.bundle import BundleInfo, open_bundle
from augment.errors import RequestError
from augment.images import Pixels, to_tensor, to_uint8
from augment.models.vae_gan import VAEGAN
from augment.restoration.autoencoder import rebuild
from augment.restoration.faces import (
    FaceBox,
    FaceFinder,
    crop_hole,
    crop_image,
    find_box,
    paste_change,
    paste_enlarged,
    paste_fill,
    paste_image,
)
from augment.restoration.inpainting import Blend, check_holes, fill_by_telea, inpaint
from augment.restoration.super_resolution import SCALES, agree, check_enlargement, super_resolve, up
from augment.training import is_faster_in_bf16

__all__ = ["MAX_FRAMES", "Boxes", "Editor", "Labels"]

Labels = Sequence[int | None] | None
"""The class of each image; None: estimated, of one image or of all."""
Boxes = Sequence[FaceBox | None] | None
"""The face box of each image; None: found by the detector, or the whole image without one and
where the image is no larger than the model's."""

MAX_FRAMES = 256
"""Longest morph."""


class Editor:
    """A loaded generator bundle that works on images.

    Args:
        info: the bundle's description.
        model: its network with trained weights.
        banks: the bundle's other tensors.
        device: where to run.
        batch_size: the one batch shape.
        half: run the network in bfloat16; None: where the hardware is faster in it.
        finder: finds the face in images for which no box is given; None: an image is taken for
            an aligned face.
    """

    def __init__(
        self,
        info: BundleInfo,
        model: nn.Module,
        banks: Mapping[str, Tensor],
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 8,
        half: bool | None = None,
        finder: FaceFinder | None = None,
    ) -> None:
        self.info, self.device, self.batch_size = info, torch.device(device), batch_size
        self.classes, self.image_size, self.channels = info.classes, info.image_size, info.channels
        self.attribute_names, self.digest, self.finder = info.attributes, info.digest, finder
        layout = torch.channels_last
        self.model = model.eval().to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.half = is_faster_in_bf16(self.device) if half is None else half
        self.coder = coder_of(self.model, half=self.half)
        self.attribute_vectors = banks.get("bank.attribute_vectors")

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 8,
        half: bool | None = None,
        finder: FaceFinder | None = None,
    ) -> "Editor":
        """Load a bundle's folder; arguments as in the constructor.

        Raises:
            BundleNotFoundError, BundleError: see ``augment.bundle.open_bundle``.
        """
        info, model, banks = open_bundle(Path(folder))
        return cls(
            info, model, banks, device=device, batch_size=batch_size, half=half, finder=finder
        )

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Of "reconstruct", "morph", "inpaint", "super-resolve", "edit", what the bundle can do."""
        if self.coder is None:
            return ()
        edits = self.attribute_vectors is not None or self._is_conditional
        return ("reconstruct", "morph", "inpaint", "super-resolve") + (("edit",) if edits else ())

    def reconstruct(
        self, images: Sequence[Pixels], labels: Labels = None, *, boxes: Boxes = None
    ) -> list[Pixels]:
        """What the model keeps of images: encoded and decoded.

        Args:
            images: each (H, W, C) uint8, of any size.
            labels: see ``Labels``.
            boxes: see ``Boxes``.

        Returns:
            The images with their boxes replaced.

        Raises:
            RequestError: the bundle cannot do it, an image has other channels, a box lies outside
                its image, or the detector found no face or several.
            LabelError: a label outside the classes.
        """
        coder, boxes = self._prepare("reconstruct", images, boxes)
        crops = self._crops(images, boxes)

        def work(crops: Tensor, numbers: Tensor) -> Tensor:
            return rebuild(coder, crops, coder.condition(crops, numbers))

        rebuilt = to_uint8(self._apply(work, crops, _numbers(coder, labels, len(images))))
        return [paste_image(*parts) for parts in zip(images, boxes, rebuilt, strict=True)]

    def edit(
        self,
        images: Sequence[Pixels],
        strengths: Sequence[Mapping[str, float]],
        *,
        boxes: Boxes = None,
        keep_detail: bool = True,
    ) -> list[Pixels]:
        """Change attributes of images.

        Args:
            images: as in ``reconstruct``.
            strengths: for each image, attribute to strength; see ``augment.attributes.edit``.
            boxes: see ``Boxes``.
            keep_detail: add what changes to the image at its full size; else the box is redrawn.

        Raises:
            RequestError: as in ``reconstruct``; or an unknown attribute or unfit strength.
        """
        coder, boxes = self._prepare("edit", images, boxes)
        _check_count("strengths", len(strengths), len(images))
        crops = self._crops(images, boxes)
        edited = crops.clone()
        for key, rows in _rows_of([tuple(sorted(wanted.items())) for wanted in strengths]).items():
            work = partial(
                edit,
                coder,
                strengths=dict(key),
                names=self.attribute_names,
                vectors=None if self._is_conditional else self.attribute_vectors,
                keep_detail=keep_detail,
            )
            edited[rows] = self._apply(work, crops[rows])
        if not keep_detail:
            drawn = to_uint8(edited)
            return [paste_image(*parts) for parts in zip(images, boxes, drawn, strict=True)]
        change = (edited - crops).mul(127.5).permute(0, 2, 3, 1).numpy()  # in levels
        return [paste_change(*parts) for parts in zip(images, boxes, change, strict=True)]

    def morph(self, first: Pixels, second: Pixels, steps: int, labels: Labels = None) -> Pixels:
        """Go from one image to another, linearly in z and in the class vector.

        Args:
            first: (H, W, C) uint8, of any size; its face, if there is a detector.
            second: the same.
            steps: images wanted, both ends included, 2 to MAX_FRAMES.
            labels: of the two.

        Returns:
            (steps, H, W, C), at the model's size.

        Raises:
            RequestError: as in ``reconstruct``; too few or too many steps.
            LabelError: a label outside the classes.
        """
        coder, boxes = self._prepare("morph", [first, second], None)
        crops, numbers = self._crops([first, second], boxes), _numbers(coder, labels, 2)
        told = []
        if isinstance(coder, ClassCoder):
            told.append(self._apply(coder.condition, crops, numbers))
        z = self._apply(lambda *columns: coder.encode(*columns)[0], crops, *told)
        return self._walk(coder, steps, z, *told)

    def morph_classes(self, first: int, second: int, steps: int, *, seed: int = 0) -> Pixels:
        """Go from one class to another with everything else the same: one z ~ N(0, I).

        Args:
            first: class index.
            second: class index.
            steps: images wanted, both ends included, 2 to MAX_FRAMES.
            seed: of z.

        Returns:
            (steps, H, W, C).

        Raises:
            RequestError: the bundle has no classes to go between, or as in ``morph``.
            LabelError: a label outside the classes.
        """
        coder = self._coder("morph")
        numbers = coder.numbers([first, second])
        assert isinstance(coder, ClassCoder), "others take no labels"
        draws = torch.Generator().manual_seed(seed)
        z = torch.randn(1, coder.classes.latent_dim, generator=draws).expand(2, -1)
        return self._walk(coder, steps, z, self._apply(coder.vectors, numbers))

    def inpaint(
        self,
        images: Sequence[Pixels],
        holes: Sequence[NDArray[np.bool_]],
        labels: Labels = None,
        *,
        boxes: Boxes = None,
        blend: Blend = "poisson",
    ) -> list[Pixels]:
        """Fill holes; see ``augment.restoration.inpainting``.

        Args:
            images: as in ``reconstruct``.
            holes: (H, W) bool for each image, True where to be filled, within the box.
            labels: see ``Labels``; estimated from what is known of the image.
            boxes: see ``Boxes``.
            blend: how the fill meets the known pixels, at the box's own size.

        Returns:
            The images, unchanged but for their holes.

        Raises:
            RequestError: as in ``reconstruct``; a hole of another size than its image, empty,
                beyond the box or all of it at the model's size.
        """
        coder, boxes = self._prepare("inpaint", images, boxes)
        _check_count("holes", len(holes), len(images))
        small = [
            crop_hole(hole, image, box, self.image_size)
            for hole, image, box in zip(holes, images, boxes, strict=True)
        ]
        crops, small_holes = self._crops(images, boxes), torch.from_numpy(np.stack(small))[:, None]
        check_holes(crops, small_holes)

        def work(crops: Tensor, holes: Tensor, numbers: Tensor) -> Tensor:
            start = fill_by_telea(crops, holes)
            condition = coder.condition(start, numbers)
            return inpaint(coder, start, holes, condition, blend=blend).images

        numbers = _numbers(coder, labels, len(images))
        filled = to_uint8(self._apply(work, crops, small_holes, numbers))
        paste = paste_fill if blend == "poisson" else paste_image
        return [paste(*parts) for parts in zip(images, boxes, filled, holes, strict=True)]

    def super_resolve(
        self,
        images: Sequence[Pixels],
        scale: int,
        labels: Labels = None,
        *,
        boxes: Boxes = None,
    ) -> list[Pixels]:
        """Enlarge images; see ``augment.restoration.super_resolution``.

        Args:
            images: as in ``reconstruct``.
            scale: 2 or 4.
            labels: see ``Labels``; estimated from the bicubic enlargement.
            boxes: see ``Boxes``, in pixels of the images given.

        Returns:
            Images of ``scale`` times the size, enlarged bicubically, and within the box with the
            detail that the model expects beside; shrunk they are the images given. A box of more
            than 1 / ``scale`` of the model's size is shown to it at half that size.

        Raises:
            RequestError: as in ``reconstruct``; another scale, one that the model's size cannot
                be divided by, or a result with a side above MAX_SIDE.
        """
        coder, boxes = self._prepare("super-resolve", images, boxes)
        check_enlargement(scale, self.image_size, max(max(image.shape[:2]) for image in images))
        height, width = self.image_size

        def work(factor: int, crops: Tensor, numbers: Tensor) -> Tensor:
            start = agree(up(crops, factor), crops, factor)
            condition = coder.condition(start, numbers)
            return super_resolve(coder, crops, factor, condition).images

        small, numbers = (height // scale, width // scale), _numbers(coder, labels, len(images))
        factors = [scale if np.less_equal(box.size, small).all() else min(SCALES) for box in boxes]
        drawn = torch.empty(len(images), self.channels, height, width)
        for factor, rows in _rows_of(factors).items():
            size = (height // factor, width // factor)
            crops = self._crops([images[row] for row in rows], [boxes[row] for row in rows], size)
            drawn[rows] = self._apply(partial(work, factor), crops, numbers[rows])
        return [
            paste_enlarged(image, box, face, scale)
            for image, box, face in zip(images, boxes, to_uint8(drawn), strict=True)
        ]

    @property
    def max_strength(self) -> float | None:
        """Largest strength of an edit, either way; None: the bundle does not edit."""
        limit = MAX_CONDITIONAL_STRENGTH if self._is_conditional else MAX_STRENGTH
        return limit if "edit" in self.capabilities else None

    @property
    def _is_conditional(self) -> bool:
        return isinstance(self.model, VAEGAN) and self.model.config.conditional

    def _coder(self, task: str) -> Coder:
        """The coder, if the bundle is capable of a task."""
        if self.coder is None or task not in self.capabilities:
            raise RequestError(
                f"this bundle ({self.info.architecture}) cannot {task}; it can: "
                f"{', '.join(self.capabilities) or 'none of what takes images'}. Take another one."
            )
        return self.coder

    def _prepare(
        self, task: str, images: Sequence[Pixels], boxes: Boxes
    ) -> tuple[Coder, list[FaceBox]]:
        """Check images and find their boxes."""
        coder = self._coder(task)
        if not images:
            raise RequestError("expected at least one image, got none.")
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != self.channels:
                raise RequestError(
                    f"expected images (height, width, {self.channels}) of 8 bits, got "
                    f"{image.shape} of {image.dtype}; convert them."
                )
        boxes = [None] * len(images) if boxes is None else boxes
        _check_count("boxes", len(boxes), len(images))
        return coder, [
            find_box(image, box, self.finder, self.image_size)
            for image, box in zip(images, boxes, strict=True)
        ]

    def _crops(
        self,
        images: Sequence[Pixels],
        boxes: Sequence[FaceBox],
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Crops (N, C, H, W) of the model's size, or another."""
        crops = [
            crop_image(image, box, size or self.image_size)
            for image, box in zip(images, boxes, strict=True)
        ]
        return to_tensor(np.stack(crops))

    def _walk(self, coder: Coder, steps: int, *ends: Tensor) -> Pixels:
        """Decode ``steps`` points between the two rows of each of ``ends``."""
        if not 2 <= steps <= MAX_FRAMES:
            raise RequestError(f"expected 2 to {MAX_FRAMES} steps of a morph, got {steps}.")
        along = torch.linspace(0, 1, steps)[:, None]
        return to_uint8(self._apply(coder.decode, *(torch.lerp(e[:1], e[1:], along) for e in ends)))

    @torch.no_grad()
    def _apply(self, work: Callable[..., Tensor], *columns: Tensor) -> Tensor:
        """Run ``work`` on rows of ``columns`` (N, …), always ``batch_size`` of them; on the CPU."""
        count, parts = len(columns[0]), []
        for start in range(0, count, self.batch_size):
            rows = torch.arange(start, start + self.batch_size).clamp(max=count - 1)  # padded
            done = work(*(column[rows].to(self.device) for column in columns))
            parts.append(done[: count - start].cpu())
        return torch.cat(parts)


def _numbers(coder: Coder, labels: Labels, count: int) -> Tensor:
    labels = [None] * count if labels is None else labels
    _check_count("labels", len(labels), count)
    return coder.numbers(labels)


def _rows_of(keys: Sequence[Hashable]) -> dict[Any, list[int]]:
    """Where each key stands."""
    return {key: [row for row, other in enumerate(keys) if other == key] for key in keys}


def _check_count(what: str, got: int, expected: int) -> None:
    if got != expected:
        raise RequestError(f"expected {what} for each of {expected} images, got {got}.")
