"""Write characters rendered by fonts, without a bundle: ``jobs.generate renderer:chars``.

They are the images of the ``rendered`` arm of a benchmark of characters, which its best mix mostly
holds beside real and generated ones.
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from augment.data.content import DEFAULT_FONTS, Font, book_fonts
from augment.data.rendering import CharacterRenderer
from augment.errors import ConfigError
from augment.export import Card, Record
from augment.images import encode_png
from augment.training import derive_seed
from jobs.class_images import check_labels, choose_labels, open_train_split, real_records
from jobs.cli import absolute_location, print_plan, read_settings
from jobs.exports import writing_alone

__all__ = ["CHARACTERS_RENDERER", "CharacterSettings", "render_characters"]

CHARACTERS_RENDERER = "renderer:chars"
"""The BUNDLE argument that asks for characters drawn by fonts."""

_AT_ONCE = 100  # images of one label that share their random draws


@dataclass(frozen=True)
class CharacterSettings:
    """Shape of the images, and with what they are drawn."""

    image_size: tuple[int, int] | None = None  # (H, W), pixels; None: chosen from the real images
    channels: int | None = None  # 1 or 3; None: as the real images
    font_files: tuple[str, ...] = ()  # besides OpenCV's fonts and the book fonts at hand

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.channels not in (None, 1, 3) or min(self.image_size or (8,)) < 8:
            raise ConfigError(
                f"channels must be 1 or 3 and image_size at least 8 × 8, got {self.channels} and "
                f"{self.image_size}."
            )


def render_characters(arguments: Namespace, out: Path) -> None:
    """Run the job for a renderer of characters.

    Args:
        arguments: of ``jobs.generate``, checked.
        out: where the export goes.

    Raises:
        ConfigError: no images that lend their looks, or no label.
        DataError: these or real images cannot be read.
        GlyphError: a label that cannot be drawn.
    """
    presets = {"default": CharacterSettings()}
    settings = read_settings(presets, arguments.config, arguments.overrides)
    if arguments.style_from is None:
        raise ConfigError(
            f"expected --style-from URI beside {CHARACTERS_RENDERER}, got none; name the images of "
            "classes that lend their looks."
        )
    style = open_train_split(
        arguments.style_from, "--style-from", settings.image_size, settings.channels
    )
    labels = choose_labels(arguments.labels, style.classes)
    real = None
    if arguments.with_real is not None:
        real = open_train_split(
            arguments.with_real, "--with-real", style.image_size, style.channels
        )
    check_labels(arguments.format, labels, real)
    if arguments.dry_run:
        print_plan("generate", arguments, settings)
        return
    files = (absolute_location(file, "font_files") for file in settings.font_files)
    renderer = CharacterRenderer(
        list(dict.fromkeys([*style.classes, *labels])),  # what it fits must not depend on labels
        style.image_size,
        style.channels,
        style.images(),
        fonts=(*DEFAULT_FONTS, *book_fonts(), *(Font(path=file) for file in files)),
    )
    card = Card(
        title=f"Rendered characters of {len(labels)} classes",
        made_by=f"Rendered by Labelmint from fonts with the looks of {len(style)} real images, "
        f"seed {arguments.seed}. The manifest tells rendered images from real ones.",
        licence=arguments.licence,
    )
    classes = sorted({*labels, *(real.classes if real else ())})
    made = len(labels) * arguments.per_label
    with writing_alone(arguments.format, out, classes, card) as writer:
        for record in real_records(real) if real else ():
            writer.add(record)
        drawn = _records(renderer, labels, arguments.per_label, arguments.seed)
        for record in tqdm(drawn, total=made, desc="rendering", unit="image"):
            writer.add(record)
        kept = {"made": made, "kept": made, "dropped": 0}
        writer.close({**kept, "real": len(real) if real else 0})
    print(f"{out}: {made} characters rendered with the looks of {len(style)} real images", end="")
    print(f", {len(real)} real ones" if real else "")


def _records(
    renderer: CharacterRenderer, labels: Sequence[str], per_label: int, seed: int
) -> Iterator[Record]:
    """Rendered images, label by label; image i of a label is the same for any larger number."""
    for label in labels:
        number = renderer.classes.index(label)
        for start in range(0, per_label, _AT_ONCE):
            own_seed = derive_seed(seed, *label.encode(), start) % 2**31
            images = renderer(np.full(min(_AT_ONCE, per_label - start), number), own_seed)
            for index, image in enumerate(images, start):
                yield Record(png=encode_png(image), label=label, index=index, seed=seed)
