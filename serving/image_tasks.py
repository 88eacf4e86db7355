"""Work on images sent with a request, as a plain class: repair, enlarge, edit, reconstruct, morph.

A task is what one request asks for, decoded. ``Editing.prepare`` finds its face and refuses what
would fail; prepared tasks of one kind share a batch, in which each image comes out as it would
alone. Nothing here knows Ray.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from augment.editing import Editor
from augment.errors import AugmentError, RequestError
from augment.images import Pixels
from augment.restoration.faces import FaceBox, crop_hole, find_box
from augment.restoration.inpainting import Blend, check_holes
from serving.models import Models

__all__ = [
    "Edit",
    "Editing",
    "ImageTask",
    "Inpaint",
    "Morph",
    "OneImage",
    "Reconstruct",
    "SuperResolve",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageTask(ABC):
    """What one request asks for.

    Attributes:
        bundle: NAME/VERSION.
    """

    capability: ClassVar[str]
    """The word for it in ``Editor.capabilities``."""
    bundle: str

    @property
    def cost(self) -> int:
        """Images that the network works on."""
        return 1

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for tasks that can be done together."""
        return type(self), self.bundle

    @abstractmethod
    def prepared(self, editor: Editor) -> Self:
        """The same task with its face found; raises AugmentError for one that would fail."""

    @staticmethod
    @abstractmethod
    def work(editor: Editor, tasks: Sequence[Any]) -> list[Pixels]:
        """Do tasks of one key: images (n, H, W, C) for each, n = 1 but for a morph."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OneImage(ImageTask):
    """A task with one image.

    Attributes:
        image: (H, W, C).
        box: of the face; None: as ``find_box`` says.
        label: class index; None: estimated.
    """

    image: Pixels
    box: FaceBox | None = None
    label: int | None = None

    def prepared(self, editor: Editor) -> Self:
        """As ``ImageTask.prepared``."""
        _check_labels(editor, [self.label])
        box = find_box(self.image, self.box, editor.finder, editor.image_size)
        self.check(editor, box)
        with suppress(RequestError):  # a face may reach beyond its image: then it is found again
            box.check_inside(self.image)
            return replace(self, box=box)
        return self

    def check(self, editor: Editor, box: FaceBox) -> None:
        """Refuse what would fail with the face in ``box``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reconstruct(OneImage):
    """Encode and decode."""

    capability: ClassVar[str] = "reconstruct"

    @staticmethod
    def work(editor: Editor, tasks: Sequence["Reconstruct"]) -> list[Pixels]:
        """As ``ImageTask.work``."""
        return _stacks(editor.reconstruct(_images(tasks), _labels(tasks), boxes=_boxes(tasks)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Edit(OneImage):
    """Change attributes: name to strength."""

    capability: ClassVar[str] = "edit"
    attributes: Mapping[str, float]

    @staticmethod
    def work(editor: Editor, tasks: Sequence["Edit"]) -> list[Pixels]:
        """As ``ImageTask.work``."""
        strengths = [task.attributes for task in tasks]
        return _stacks(editor.edit(_images(tasks), strengths, boxes=_boxes(tasks)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Inpaint(OneImage):
    """Fill a hole (H, W), True where to be filled."""

    capability: ClassVar[str] = "inpaint"
    hole: NDArray[np.bool_]
    blend: Blend = "poisson"

    @property
    def key(self) -> tuple[object, ...]:
        """As ``ImageTask.key``."""
        return (*super().key, self.blend)

    def check(self, editor: Editor, box: FaceBox) -> None:
        """Refuse a hole of another size than its image, beyond the box, or filling it."""
        small = crop_hole(self.hole, self.image, box, editor.image_size)
        shape = (1, 1, *editor.image_size)
        check_holes(torch.empty(shape), torch.from_numpy(small).view(shape))

    @staticmethod
    def work(editor: Editor, tasks: Sequence["Inpaint"]) -> list[Pixels]:
        """As ``ImageTask.work``."""
        holes, boxes = [task.hole for task in tasks], _boxes(tasks)
        images, labels, blend = _images(tasks), _labels(tasks), tasks[0].blend
        return _stacks(editor.inpaint(images, holes, labels, boxes=boxes, blend=blend))


@dataclass(frozen=True, eq=False, kw_only=True)
class SuperResolve(OneImage):
    """Enlarge by a scale."""

    capability: ClassVar[str] = "super-resolve"
    scale: int

    @property
    def key(self) -> tuple[object, ...]:
        """As ``ImageTask.key``."""
        return (*super().key, self.scale)

    @staticmethod
    def work(editor: Editor, tasks: Sequence["SuperResolve"]) -> list[Pixels]:
        """As ``ImageTask.work``."""
        images, labels, boxes = _images(tasks), _labels(tasks), _boxes(tasks)
        return _stacks(editor.super_resolve(images, tasks[0].scale, labels, boxes=boxes))


@dataclass(frozen=True, eq=False, kw_only=True)
class Morph(ImageTask):
    """Go from one image or class to another.

    Attributes:
        steps: images wanted, both ends included.
        images: the two; None to go between classes.
        labels: class indices of the two; of images None where they are to be estimated.
        seed: of all but the class, without images.
    """

    capability: ClassVar[str] = "morph"
    steps: int
    images: tuple[Pixels, Pixels] | None = None
    labels: tuple[int | None, int | None] = (None, None)
    seed: int = 0

    @property
    def cost(self) -> int:
        """As ``ImageTask.cost``."""
        return self.steps

    def prepared(self, editor: Editor) -> Self:
        """As ``ImageTask.prepared``."""
        _check_labels(editor, self.labels)
        for image in self.images or ():
            find_box(image, None, editor.finder, editor.image_size)
        return self

    @staticmethod
    def work(editor: Editor, tasks: Sequence["Morph"]) -> list[Pixels]:
        """As ``ImageTask.work``."""
        return [task._walk(editor) for task in tasks]

    def _walk(self, editor: Editor) -> Pixels:
        if self.images is not None:
            return editor.morph(*self.images, self.steps, self.labels)
        first, second = self.labels
        if first is None or second is None:
            raise RequestError("expected two images or two labels to go between, got neither.")
        return editor.morph_classes(first, second, self.steps, seed=self.seed)


class Editing:
    """Works on images with the models of a registry."""

    def __init__(self, models: Models) -> None:
        """Work with ``models``, a batch at a time."""
        self.models = models

    def prepare(self, task: ImageTask) -> ImageTask:
        """Find the face of a task, and refuse a task that would fail in a batch.

        Raises:
            BundleNotFoundError, BundleError: its model cannot be loaded.
            LabelError: a label outside the classes.
            RequestError: not one face, a box outside the image, an unfit hole, or a bundle that
                is not capable of it.
        """
        return task.prepared(self._editor(task))

    def work(self, tasks: Sequence[ImageTask]) -> list[Pixels | AugmentError]:
        """Do prepared tasks, those of one key in one batch.

        Returns:
            For each task, in order, its images (n, H, W, C), or why it failed.
        """
        groups: dict[object, list[int]] = {}
        for position, task in enumerate(tasks):
            groups.setdefault(task.key, []).append(position)
        results: dict[int, Pixels | AugmentError] = {}
        for positions in groups.values():
            done = self._work_together([tasks[position] for position in positions])
            results.update(zip(positions, done, strict=True))
        return [results[position] for position in range(len(tasks))]

    def _work_together(self, tasks: Sequence[ImageTask]) -> Sequence[Pixels | AugmentError]:
        try:
            editor = self._editor(tasks[0])
            with self.models.computing:
                return tasks[0].work(editor, tasks)
        except AugmentError as error:
            if len(tasks) == 1:
                return [error]
        return [result for task in tasks for result in self._work_together([task])]

    def _editor(self, task: ImageTask) -> Editor:
        editor = self.models.model(task.bundle).editor
        able = () if editor is None else editor.capabilities
        if editor is None or task.capability not in able:
            raise RequestError(
                f"bundle {task.bundle} offers no {task.capability}; of what takes images it "
                f"offers: {', '.join(able) or 'nothing'}. Take another one."
            )
        return editor


def _check_labels(editor: Editor, labels: Sequence[int | None]) -> None:
    if editor.coder is not None:
        editor.coder.numbers(labels)


def _images(tasks: Sequence[OneImage]) -> list[Pixels]:
    return [task.image for task in tasks]


def _labels(tasks: Sequence[OneImage]) -> list[int | None]:
    return [task.label for task in tasks]


def _boxes(tasks: Sequence[OneImage]) -> list[FaceBox | None]:
    return [task.box for task in tasks]


def _stacks(images: Sequence[Pixels]) -> list[Pixels]:
    return [image[None] for image in images]
