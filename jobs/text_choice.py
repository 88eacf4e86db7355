"""Which texts ``jobs.generate --texts`` writes: any, given ones, or those most needed."""

from collections import Counter
from itertools import chain

from augment.data.layouts import Layout
from augment.data.text_sampling import (
    TextSampler,
    balanced,
    from_list,
    grammar,
    towards_confusions,
    uniform,
)
from augment.data.texts import open_texts
from augment.errors import ConfigError
from jobs.cli import absolute_location, absolute_uri
from recognizers.text_metrics import MISSING, report_errors
from recognizers.text_reader import CrossFittedTextReader

__all__ = ["TEXTS_HELP", "asks_reader", "choose_texts"]

TEXTS_HELP = (
    "of bundles of lines and of renderer:LAYOUT, what to write: uniform (random texts of the "
    "layout), grammar:PATTERN, rare:URI (more of the characters that are rare in the train split "
    "of these lines), confused:URI (more of those that the bundle's reader confuses in their val "
    "split) or a UTF-8 file with a text a line"
)

_GRAMMAR, _RARE, _CONFUSED = "grammar:", "rare:", "confused:"


def asks_reader(source: str) -> bool:
    """Whether ``--texts`` needs the bundle's reader."""
    return source.startswith(_CONFUSED)


def choose_texts(
    source: str, layout: Layout, seed: int, reader: CrossFittedTextReader | None = None
) -> TextSampler:
    """Read ``--texts``; see ``TEXTS_HELP``.

    Args:
        source: what the option says.
        layout: whose texts are drawn, but for given ones.
        seed: of the draws.
        reader: the bundle's, for ``confused:``.

    Raises:
        ConfigError: a faulty pattern, or no reader that could confuse anything.
        DataError: no such file or data, or without texts or split.
    """
    if source == "uniform":
        return uniform(layout, seed)
    if source.startswith(_GRAMMAR):
        return grammar(source.removeprefix(_GRAMMAR), seed)
    if source.startswith(_RARE):
        lines = open_texts(absolute_uri(source.removeprefix(_RARE), "--texts")).split("train")
        return balanced(layout, Counter("".join(lines.texts)), seed)
    if asks_reader(source):
        if reader is None:
            raise ConfigError(
                f"--texts {source} asks the reader of a bundle of lines, got none; train the "
                f"bundle with one, or take {_RARE}URI."
            )
        lines = open_texts(absolute_uri(source.removeprefix(_CONFUSED), "--texts")).split("val")
        read = reader.read(lines.shaped(reader.shape)).texts
        errors = report_errors(read, lines.texts, reader.charset)
        classes = sorted({MISSING, *errors.by_class, *chain(*errors.confusions)})
        return towards_confusions(layout, classes, errors.matrix(classes), seed)
    return from_list(absolute_location(source, "--texts"), seed)
