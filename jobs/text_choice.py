"""Which texts ``jobs.generate --texts`` writes: any, given ones, or those most needed."""

from argparse import Namespace
from collections import Counter
from itertools import chain

from augment.data.layouts import Layout
from augment.data.text_sampling import (
    Check,
    TextSampler,
    balanced,
    from_list,
    grammar,
    read_list,
    towards_confusions,
    uniform,
)
from augment.data.texts import TextImages, open_texts
from augment.errors import ConfigError, DataError
from augment.export import WRITERS
from jobs.cli import absolute_uri, local_path
from recognizers.text_metrics import MISSING, report_errors
from recognizers.text_reader import CrossFittedTextReader

__all__ = ["TEXTS_HELP", "asks_reader", "check_texts", "choose_texts", "count_given"]

TEXTS_HELP = (
    "of bundles of lines and of renderer:LAYOUT, what to write: uniform (random texts of the "
    "layout), grammar:PATTERN, rare:URI (more of the characters that are rare in the train split "
    "of these lines), confused:URI (more of those that the bundle's reader confuses in their val "
    "split) or a UTF-8 file with a text a line"
)

_UNIFORM = "uniform"
_GRAMMAR, _RARE, _CONFUSED = "grammar:", "rare:", "confused:"


def asks_reader(source: str) -> bool:
    """Whether ``--texts`` needs the bundle's reader."""
    return source.startswith(_CONFUSED)


def count_given(source: str) -> int | None:
    """How many texts the file of ``--texts`` has; None where it says another source.

    Raises:
        ConfigError, DataError: as of ``choose_texts``.
    """
    if source == _UNIFORM or source.startswith((_GRAMMAR, _RARE, _CONFUSED)):
        return None
    return len(read_list(local_path(source, "--texts")))


def choose_texts(
    source: str,
    layout: Layout,
    seed: int,
    check: Check | None = None,
    reader: CrossFittedTextReader | None = None,
    *,
    in_order: bool = False,
) -> TextSampler:
    """Read ``--texts``; see ``TEXTS_HELP``.

    Args:
        source: what the option says.
        layout: whose texts are drawn, but for given ones.
        seed: of the draws.
        check: random texts that it refuses are drawn again; those of a file are refused.
        reader: the bundle's, for ``confused:``.
        in_order: whether the texts of a file come in its order, not at random.

    Raises:
        ConfigError: a faulty pattern, no reader that could confuse anything, or a URL of a file.
        DataError: no such file or data, or without texts or split.
        LabelError, RequestError: a text of a file that ``check`` refuses; its line is named.
    """
    if source == _UNIFORM:
        return uniform(layout, seed, check)
    if source.startswith(_GRAMMAR):
        return grammar(source.removeprefix(_GRAMMAR), seed)
    if source.startswith(_RARE):
        uri = absolute_uri(source.removeprefix(_RARE), "--texts")
        counts = Counter("".join(open_texts(uri, real_only=True).split("train").texts))
        if counts.keys().isdisjoint(layout.alphabet):
            raise DataError(
                f"expected lines with characters of layout {layout.name} in {uri}, to draw more of "
                f"the rare ones, got {''.join(sorted(counts))[:40]!r}; correct the labels or take "
                "lines of that layout."
            )
        return balanced(layout, counts, seed, check)
    if asks_reader(source):
        if reader is None:
            raise ConfigError(
                f"--texts {source} asks the reader of a bundle of lines, got none; train the "
                f"bundle with one, or take {_RARE}URI."
            )
        uri = absolute_uri(source.removeprefix(_CONFUSED), "--texts")
        lines = open_texts(uri, real_only=True).split("val")
        read = reader.read(lines.shaped(reader.shape)).texts
        errors = report_errors(read, lines.texts, reader.charset)
        classes = sorted({MISSING, *errors.by_class, *chain(*errors.confusions)})
        return towards_confusions(layout, classes, errors.matrix(classes), seed, check)
    return from_list(local_path(source, "--texts"), None if in_order else seed, check)


def check_texts(
    arguments: Namespace, text_of: TextSampler, check: Check, real: TextImages | None
) -> None:
    """Refuse, before anything is drawn, texts that cannot be written, or exported together.

    Args:
        arguments: of ``jobs.generate``.
        text_of: what ``choose_texts`` gave for them.
        check: as given to it, which saw all texts but those of a pattern.
        real: lines that go along.

    Raises:
        LabelError, RequestError: names the text.
    """
    numbers = range(arguments.count)
    if arguments.texts.startswith(_GRAMMAR):
        for text in dict.fromkeys(map(text_of, numbers)):
            check(text)
    WRITERS[arguments.format].check_texts(chain(real.texts if real else (), map(text_of, numbers)))
