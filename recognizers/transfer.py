"""Attribute transfer: does an image show its content's attribute, and whose face is it?

SAAE's face experiment (Zhao et al., 2017, Sec. 3.2) combines a content, a face with an attribute or
without, and a style, another face, and shows that "the overall appearance" stays while the
attribute changes. Here a regressor that the generator never saw reads the attribute, and a face
recognizer tells to whom of the two the image is nearer. Contents and styles are real test images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.errors import DataError
from augment.images import Pixels, tile
from recognizers.attributes import AttributeRegressor, read_attributes
from recognizers.tables import markdown_table

__all__ = [
    "TransferRow",
    "format_transfer_table",
    "transfer_attribute",
    "transfer_grid",
    "transfer_rows",
]

Combine = Callable[[Pixels, Pixels], Pixels]
"""Contents (N, H, W, C) and styles (N, H, W, C), both photographs, to images (N, H, W, C)."""
Embed = Callable[[Pixels], NDArray[np.float32]]
"""Images (N, H, W, C) to unit vectors (N, D) of a face recognizer."""
LEAST = 2
"""Fewest test images with the attribute, and without."""


@dataclass(frozen=True)
class TransferRow:
    """Transfers of one kind.

    Attributes:
        name: of the bundle.
        content: whether the contents show the attribute.
        style: whether the styles do.
        images: how many transfers, each of a content and a style drawn for it.
        seen: share of them in which the regressor reads what the content shows.
        seen_in_contents: the same of the contents themselves: what the regressor can read.
        seen_in_styles: the same of the styles: what would be read if nothing were transferred.
        to_style: mean cosine of the embeddings of the image and its style.
        to_content: mean cosine of the image and its content.
        strangers: mean cosine of the styles and the contents, different people both.
    """

    name: str
    content: bool
    style: bool
    images: int
    seen: float
    seen_in_contents: float
    seen_in_styles: float
    to_style: float
    to_content: float
    strangers: float


def transfer_rows(
    name: str,
    combine: Combine,
    images: Pixels,
    has: NDArray[np.bool_],
    regressor: AttributeRegressor,
    attribute: int,
    embed: Embed,
    *,
    seed: int = 0,
) -> list[TransferRow]:
    """Transfer an attribute between test images in all four ways, and measure what comes out.

    Every test image is once the style of each kind of content, which are drawn at random.

    Args:
        name: of the bundle.
        combine: its generator.
        images: (N, H, W, C) uint8 test images.
        has: (N,) whether each shows the attribute.
        regressor: reads attributes.
        attribute: which of the regressor's it is.
        embed: tells people apart.
        seed: of the pairs.

    Returns:
        A row for content with and without, times style without and with.

    Raises:
        DataError: fewer than two images with the attribute, or without.
    """
    if min(has.sum(), (~has).sum()) < LEAST:
        raise DataError(
            f"expected {LEAST} or more test images with the attribute and without, got "
            f"{has.sum()} and {(~has).sum()}; ask for more test_images."
        )
    rng = np.random.default_rng(seed)
    reads = read_attributes(regressor, images)[:, attribute] >= 0
    vectors = embed(images)
    rows = []
    for content, style in ((True, False), (False, True), (True, True), (False, False)):
        styles = np.flatnonzero(has == style)
        contents = draw_others(np.flatnonzero(has == content), styles, rng)
        drawn = combine(images[contents], images[styles])
        embedded = embed(drawn)
        rows.append(
            TransferRow(
                name,
                content,
                style,
                images=len(drawn),
                seen=float(
                    ((read_attributes(regressor, drawn)[:, attribute] >= 0) == content).mean()
                ),
                seen_in_contents=float((reads[contents] == content).mean()),
                seen_in_styles=float((reads[styles] == content).mean()),
                to_style=_mean_cosine(embedded, vectors[styles]),
                to_content=_mean_cosine(embedded, vectors[contents]),
                strangers=_mean_cosine(vectors[styles], vectors[contents]),
            )
        )
    return rows


def transfer_attribute(classes: Sequence[str], known: Sequence[str], name: str) -> str:
    """The attribute that a bundle's two classes are told apart by.

    Args:
        classes: of the bundle.
        known: attributes of the data.
        name: of the bundle.

    Raises:
        DataError: other classes than ``LabelledImages.by_attribute`` makes of the data.
    """
    attribute = classes[-1] if classes else ""
    if tuple(classes) != (f"no {attribute}", attribute) or attribute not in known:
        raise DataError(
            f"{name}: expected a bundle of the two classes that one of the data's attributes "
            f"makes, got {', '.join(classes[:5]) or 'none'}; train it with "
            "`python -m jobs.train saae --config faces --attribute NAME`."
        )
    return attribute


def transfer_grid(combine: Combine, contents: Pixels, styles: Pixels) -> Pixels:
    """Every style (rows) with every content (columns), the originals at the edges.

    Args:
        combine: the generator.
        contents: (n, H, W, C) uint8, shown in the first row.
        styles: (m, H, W, C) uint8, shown in the first column.

    Returns:
        (H', W', C) uint8.
    """
    count = len(contents)
    drawn = combine(np.tile(contents, (len(styles), 1, 1, 1)), np.repeat(styles, count, axis=0))
    empty = np.full_like(contents[:1], 255)
    parts = [empty, contents]
    for row, style in enumerate(styles):
        parts += [style[None], drawn[row * count : (row + 1) * count]]
    return tile(np.concatenate(parts), count + 1)


def format_transfer_table(rows: Sequence[TransferRow]) -> str:
    """The rows as a Markdown table."""
    columns = (
        "bundle",
        "content",
        "style",
        "images",
        "seen",
        "in contents",
        "in styles",
        "cosine to style",
        "to content",
        "strangers",
    )
    return markdown_table(
        columns,
        [
            (
                row.name,
                _sign(row.content),
                _sign(row.style),
                row.images,
                *(f"{v:.1%}" for v in (row.seen, row.seen_in_contents, row.seen_in_styles)),
                *(f"{v:.3f}" for v in (row.to_style, row.to_content, row.strangers)),
            )
            for row in rows
        ],
    )


def draw_others(
    pool: NDArray[np.int64], rows: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """For each of ``rows`` a member of ``pool``, at random but never the row itself."""
    drawn = rng.choice(pool, len(rows))
    while (same := drawn == rows).any():
        drawn[same] = rng.choice(pool, int(same.sum()))
    return drawn


def _mean_cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float((first.astype(np.float64) * second).sum(axis=1).mean())


def _sign(shows: bool) -> str:
    return "with" if shows else "without"
