"""What restoration is worth: repaired and enlarged faces against what OpenCV makes of them.

Test images are damaged, restored by a bundle's editor and by classical methods, and compared with
what they were: by PSNR and SSIM on [0, 1], and by whether a recognizer still knows them. The
editor is never told a label, since its rivals are not: it estimates the class like anybody.

The difference to the best rival, figure by figure, comes with an interval by the bootstrap of
``gain``: each round gives every person one weight from Exp(1), for all methods alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import structural_similarity_index_measure

from augment.editing import Editor
from augment.errors import DataError
from augment.images import Pixels
from recognizers.tables import markdown_table

__all__ = [
    "Difference",
    "Judge",
    "RestorationRow",
    "RestorationTable",
    "Task",
    "default_tasks",
    "draw_holes",
    "format_restoration_table",
    "judge_labels",
    "judge_pairs",
    "peak_signal_to_noise",
    "restoration_table",
    "shrink_images",
    "structural_similarity",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Figure = Literal["psnr", "ssim", "recognized"]

FIGURES: tuple[Figure, ...] = ("psnr", "ssim", "recognized")
OURS, UNDAMAGED = "labelmint", "undamaged"
HOLE_COLOUR = 127
"""Level of the pixels in a hole, which no method looks at."""
LEAST_ERROR = 1e-10
"""Mean squared error, on [0, 1], below which pictures count as the same: 100 dB."""
CONFIDENCE = 0.95


class Judge(Protocol):
    """Says of restored test images, in their order, which are recognized."""

    def __call__(self, images: Pixels) -> Bools:
        """(N, H, W, C) uint8 to (N,)."""


@dataclass(frozen=True)
class Task:
    """One kind of damage.

    Attributes:
        name: what the table calls it.
        where: the hole is; None: the image is shrunk instead.
        hole_side: of the square hole, pixels.
        scale: by how much the image is shrunk and enlarged again.
    """

    name: str
    where: Literal["random", "centred"] | None = None
    hole_side: int = 24
    scale: int = 4


INPAINTERS = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}
ENLARGERS = {"bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}


@dataclass(frozen=True)
class RestorationRow:
    """One method at one task, means over the test images.

    Attributes:
        task: its name.
        method: "undamaged", "labelmint" or a rival.
        psnr: dB, over the whole picture; None for the undamaged.
        ssim: in [-1, 1].
        recognized: share of the images, in [0, 1].
    """

    task: str
    method: str
    psnr: float | None
    ssim: float
    recognized: float


@dataclass(frozen=True)
class Difference:
    """Ours minus the best rival's, for one figure of one task.

    Attributes:
        task: its name.
        figure: "psnr" (dB), "ssim" or "recognized" (share).
        over: the rival with the highest mean.
        value: the difference of the means.
        ci95: its 95 % interval.
    """

    task: str
    figure: Figure
    over: str
    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class RestorationTable:
    """All methods at all tasks; ``to_mapping`` gives its part of a report."""

    images: int
    people: int
    rows: list[RestorationRow]
    differences: list[Difference]

    def to_mapping(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, ready for JSON."""
        return asdict(self)


def judge_labels(
    recognizer: Callable[[Pixels], NDArray[np.int64]], labels: NDArray[np.int64]
) -> Judge:
    """Top-1, for people the recognizer was trained on: images read as their labels (N,)."""
    return lambda images: recognizer(images) == labels


def judge_pairs(
    embed: Callable[[Pixels], NDArray[np.float32]],
    partners: Pixels,
    same: Bools,
    threshold: float,
) -> Judge:
    """Verification, for anybody: test image i is compared with another photograph.

    Args:
        embed: images to unit vectors (N, D).
        partners: (N, H, W, C) undamaged photographs.
        same: (N,) whether partner i shows the person of test image i.
        threshold: cosine above which two are taken for one, chosen on other, undamaged pairs.
    """
    theirs = embed(partners)
    return lambda images: ((embed(images) * theirs).sum(axis=1) > threshold) == same


def restoration_table(
    editor: Editor,
    images: Pixels,
    judge: Judge,
    people: NDArray[Any],
    *,
    tasks: Sequence[Task] | None = None,
    bootstrap: int = 2000,
    seed: int = 0,
) -> RestorationTable:
    """Damage test images, restore them by the editor and its rivals, and compare.

    Args:
        editor: of a bundle that was trained on none of the images.
        images: (N, H, W, C) uint8, of the editor's size.
        judge: for these images; see ``judge_labels`` and ``judge_pairs``.
        people: (N,) who is on them: what the bootstrap keeps together.
        tasks: kinds of damage; None: ``default_tasks``.
        bootstrap: rounds.
        seed: of the places of holes and of the bootstrap.

    Raises:
        DataError: no images, or another count of people.
        RequestError: the bundle cannot restore, or images of an unfit size.
    """
    if not len(images) or len(images) != len(people):
        raise DataError(
            f"expected test images and a person for each, got {len(images)} and {len(people)}."
        )
    rows, differences = [], []
    known = judge(images)
    for task in default_tasks(images.shape[1:3]) if tasks is None else tasks:
        restored = _restore(editor, images, task, seed)
        scores = {name: _score(result, images, judge) for name, result in restored.items()}
        rows.append(RestorationRow(task.name, UNDAMAGED, None, 1.0, float(known.mean())))
        for name, figures in scores.items():
            means = {figure: float(values.mean()) for figure, values in figures.items()}
            rows.append(RestorationRow(task.name, name, **means))
        differences += [
            _difference(task, figure, scores, people, bootstrap, seed) for figure in FIGURES
        ]
    return RestorationTable(len(images), len(np.unique(people)), rows, differences)


def default_tasks(image_size: tuple[int, int]) -> tuple[Task, ...]:
    """Holes of 3/8 of the shorter side, at random and in the middle, and enlarging four times.

    For 64×64 images: holes of 24×24, and 16×16 inputs. Where 4 does not divide the sides, twice;
    where 2 does not either, nothing is enlarged.
    """
    height, width = image_size
    side = 3 * min(image_size) // 8
    scales = [scale for scale in (4, 2) if height % scale == width % scale == 0]
    return (
        Task(f"hole {side}×{side} at random", "random", hole_side=side),
        Task(f"hole {side}×{side} centred", "centred", hole_side=side),
        *(
            Task(f"{width // scale}×{height // scale} enlarged ×{scale}", scale=scale)
            for scale in scales[:1]
        ),
    )


def draw_holes(
    count: int, image_size: tuple[int, int], task: Task, rng: np.random.Generator
) -> Bools:
    """(N, H, W) square holes, at random places within the image or in its middle.

    Raises:
        DataError: the hole is as large as the image.
    """
    height, width = image_size
    side = task.hole_side
    if side >= min(height, width):
        raise DataError(
            f"expected images larger than the hole of {side} pixels a side, got {width}×{height}; "
            "make the hole smaller."
        )
    holes = np.zeros((count, height, width), np.bool_)
    for hole in holes:
        top, left = (height - side) // 2, (width - side) // 2
        if task.where == "random":
            top, left = (int(rng.integers(free + 1)) for free in (height - side, width - side))
        hole[top : top + side, left : left + side] = True
    return holes


def shrink_images(images: Pixels, scale: int) -> Pixels:
    """(N, H, W, C) to (N, H / scale, W / scale, C): means over blocks, rounded to levels."""
    size = (images.shape[2] // scale, images.shape[1] // scale)
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
    return _stack(small, images)


def peak_signal_to_noise(images: Pixels, targets: Pixels) -> Floats:
    """PSNR of each image over all its pixels, in dB: (N, H, W, C) twice to (N,); at most 100."""
    errors = ((images / 255.0 - targets / 255.0) ** 2).mean(axis=(1, 2, 3))
    psnr: Floats = -10 * np.log10(np.maximum(errors, LEAST_ERROR))
    return psnr


def structural_similarity(images: Pixels, targets: Pixels) -> Floats:
    """SSIM of each image on [0, 1] (11×11 windows, σ = 1.5): (N, H, W, C) twice to (N,)."""
    first, second = (
        torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float() / 255 for pixels in (images, targets)
    )
    similarity = structural_similarity_index_measure(
        first, second, data_range=1.0, reduction="none"
    )
    values: Floats = similarity.reshape(-1).double().numpy()  # type: ignore[union-attr]
    return values


def format_restoration_table(table: RestorationTable) -> str:
    """The table in Markdown, and the differences below it; ends in a line break."""
    methods = [
        (
            row.task,
            row.method,
            "–" if row.psnr is None else f"{row.psnr:.2f}",
            f"{row.ssim:.3f}",
            f"{100 * row.recognized:.1f}",
        )
        for row in table.rows
    ]
    differences = []
    for found in table.differences:
        scale = 100 if found.figure == "recognized" else 1
        value, low, high = (f"{scale * number:+.3g}" for number in (found.value, *found.ci95))
        differences.append((found.task, found.figure, found.over, value, f"{low} to {high}"))
    return "\n".join(
        [
            f"{table.images} test images of {table.people} people.\n",
            markdown_table(("task", "method", "PSNR, dB", "SSIM", "recognized, %"), methods),
            markdown_table(
                ("task", "figure", "against", "difference", "95 % interval"), differences
            ),
        ]
    )


def _restore(editor: Editor, images: Pixels, task: Task, seed: int) -> dict[str, Pixels]:
    """What every method makes of the damaged images; ours comes first."""
    if task.where is None:
        small = shrink_images(images, task.scale)
        size = (images.shape[2], images.shape[1])
        enlarged = {
            name: _stack([cv2.resize(i, size, interpolation=how) for i in small], images)
            for name, how in ENLARGERS.items()
        }
        return {OURS: np.stack(editor.super_resolve(list(small), task.scale))} | enlarged
    holes = draw_holes(len(images), images.shape[1:3], task, np.random.default_rng(seed))
    damaged = np.where(holes[..., None], np.uint8(HOLE_COLOUR), images)
    filled = {
        name: _stack(
            [
                cv2.inpaint(image, hole.view(np.uint8), 3, how)
                for image, hole in zip(damaged, holes, strict=True)
            ],
            images,
        )
        for name, how in INPAINTERS.items()
    }
    return {OURS: np.stack(editor.inpaint(list(damaged), list(holes)))} | filled


def _score(restored: Pixels, images: Pixels, judge: Judge) -> dict[Figure, Floats]:
    """Every figure of every image, each (N,)."""
    return {
        "psnr": peak_signal_to_noise(restored, images),
        "ssim": structural_similarity(restored, images),
        "recognized": judge(restored).astype(np.float64),
    }


def _difference(
    task: Task,
    figure: Figure,
    scores: Mapping[str, Mapping[Figure, Floats]],
    people: NDArray[Any],
    rounds: int,
    seed: int,
) -> Difference:
    """Ours minus the best rival's, with its interval."""
    rivals = [name for name in scores if name != OURS]
    best = max(rivals, key=lambda name: float(scores[name][figure].mean()))
    difference = scores[OURS][figure] - scores[best][figure]
    persons, person_of = np.unique(people, return_inverse=True)
    weights = np.random.default_rng(seed).standard_exponential((rounds, len(persons)))
    sums = np.bincount(person_of, difference)
    resampled = weights @ sums / (weights @ np.bincount(person_of))
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(task.name, figure, best, float(difference.mean()), (float(low), float(high)))


def _stack(restored: Sequence[Pixels], images: Pixels) -> Pixels:
    """Stack what OpenCV returns, which drops the channel axis of gray images."""
    return np.stack([image.reshape(*image.shape[:2], images.shape[3]) for image in restored])
