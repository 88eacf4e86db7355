"""Write lines of text rendered by fonts, without a bundle: ``jobs.generate renderer:LAYOUT``."""

from argparse import Namespace
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from augment.data.layouts import Layout, load_layout
from augment.data.line_rendering import LineRenderer
from augment.data.texts import find_size_fault, open_texts
from augment.errors import ConfigError, DataError
from augment.export import Card, Record
from augment.images import Pixels, encode_png, resize_image
from jobs.cli import absolute_uri, print_plan, read_settings
from jobs.exports import writing_alone
from jobs.real_lines import allowed_lines, open_real_lines, real_line_records
from jobs.text_choice import check_texts, choose_texts
from recognizers.text_sources import check_drawable

__all__ = ["RENDERER_PREFIX", "RenderingSettings", "render_lines"]

RENDERER_PREFIX = "renderer:"
"""How a BUNDLE argument begins that names a layout instead of a bundle."""

_MOST_STYLES = 2000


@dataclass(frozen=True)
class RenderingSettings:
    """Shape of the images; their width follows from the text or the layout."""

    height: int = 32  # pixels
    channels: int = 3

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 8 <= self.height <= 256 or self.channels not in (1, 3):
            raise ConfigError(
                f"height must be in [8, 256] and channels 1 or 3, got {self.height} and "
                f"{self.channels}."
            )


def render_lines(arguments: Namespace, out: Path) -> None:
    """Run the job for a renderer.

    Args:
        arguments: of ``jobs.generate``, checked.
        out: where the export goes.

    Raises:
        ConfigError: no such layout, a faulty grammar.
        DataError: texts, style images or real lines cannot be read, or no style image has a look.
        LabelError: a text that the layout does not allow.
    """
    presets = {"default": RenderingSettings()}
    settings = read_settings(presets, arguments.config, arguments.overrides)
    layout = load_layout(arguments.bundle.removeprefix(RENDERER_PREFIX))
    check = partial(check_drawable, layout=layout, height=settings.height)
    sampler = choose_texts(
        arguments.texts, layout, arguments.seed, check, in_order=arguments.in_order
    )
    styles = _style_images(arguments.style_from, layout, settings.channels)
    real = open_real_lines(arguments.with_real, layout)
    check_texts(arguments, sampler, check, real)
    if arguments.dry_run:
        print_plan("generate", arguments, settings)
        return
    lenders = [image for image in styles if find_size_fault(*image.shape[:2]) is None]
    renderer = LineRenderer(layout, lenders, channels=settings.channels)
    looks = _describe_looks(renderer, len(styles), arguments.style_from)
    card = Card(
        title=f"Rendered lines of {layout.name}",
        made_by=f"Rendered by Labelmint from fonts with {looks}, seed {arguments.seed}. The "
        "manifest tells rendered images from real ones.",
        licence=arguments.licence,
    )
    with writing_alone(arguments.format, out, None, card) as writer:
        if real is not None:
            fit = partial(_at_height, settings.height)
            for record in real_line_records(real, fit, channels=settings.channels):
                writer.add(record)
        for index in tqdm(range(arguments.count), desc="rendering", unit="line"):
            text = sampler(index)
            image = renderer.render_line(text, arguments.seed, settings.height, index=index)
            png = encode_png(image)
            writer.add(Record(png=png, label=text, index=index, seed=arguments.seed))
        count = arguments.count
        summary = {"made": count, "kept": count, "dropped": 0, "real": len(real) if real else 0}
        writer.close(summary)
    print(f"{out}: {count} lines rendered with {looks}", end="")
    print(f", {len(real)} real ones" if real else "")


def _at_height(height: int, image: Pixels) -> Pixels:
    """(h, w, C) at another height and its own proportions."""
    return resize_image(image, (height, max(1, round(height * image.shape[1] / image.shape[0]))))


def _style_images(uri: str | None, layout: Layout, channels: int) -> list[Pixels]:
    """Lines of the layout: on a plate of another one characters would be left where it has none."""
    if uri is None:
        return []
    data = open_texts(absolute_uri(uri, "--style-from"), real_only=True).split("train")
    data = allowed_lines(data, layout)
    step = -(-len(data) // _MOST_STYLES)
    return data.images(range(0, len(data), step), channels=channels)


def _describe_looks(renderer: LineRenderer, given: int, uri: str | None) -> str:
    """Say whose looks the lines have, and of how many images none could be measured."""
    if uri is None:
        return "made-up looks"
    measured = len(renderer.real_looks)
    if not measured:
        raise DataError(
            f"expected images of single lines in {uri} on which text of {renderer.layout.name} "
            f"stands out, got none among {given}; give other images or leave out --style-from."
        )
    looks = f"the looks of {measured} real images"
    return looks if measured == given else f"{looks} ({given - measured} more have none)"
