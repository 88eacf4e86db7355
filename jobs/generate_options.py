"""The command line of ``jobs.generate``, and which options take part in which kind of set."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import dataclass

from augment.candidates import MAX_FACTOR
from augment.errors import ConfigError
from jobs.cli import at_least, job_parser
from jobs.exports import add_export_options
from jobs.reading import add_reader_band
from jobs.style_choice import SELECT_HELP
from jobs.text_choice import TEXTS_HELP, count_given

__all__ = [
    "CHARACTERS",
    "CLASSES",
    "LINES",
    "RENDERER",
    "GenerateSettings",
    "check_options",
    "parser",
]

CLASSES, LINES = "a bundle of classes", "a bundle of lines"
RENDERER, CHARACTERS = "a renderer of lines", "a renderer of characters"

_TAKES_PART = {
    "--labels": (CLASSES, CHARACTERS),
    "--new-identities": (CLASSES,),
    "--people-from": (CLASSES,),
    "--per-label": (CLASSES, CHARACTERS),
    "--drop-copies": (CLASSES,),
    "--texts": (LINES, RENDERER),
    "--count": (LINES, RENDERER),
    "--style-from": (RENDERER, CHARACTERS),
    "--select": (LINES,),
    "--read-back": (CLASSES, LINES),
    "--reader-band": (CLASSES, LINES),
    "--resume": (CLASSES, LINES),
}
"""Which kinds of sets an option changes; those not named change all."""
_LABELS, _PER_LABEL, _COUNT = "all", 100, 100


@dataclass(frozen=True)
class GenerateSettings:
    """How images are drawn; precision and compiling change pixels by a few levels at most."""

    device: str = "auto"  # a GPU where there is one
    half: bool | None = None  # bfloat16; None: where that is faster
    compile: bool | None = None  # None: of classes, where there are images and a compiler for it
    max_factor: int = MAX_FACTOR  # candidates at most, per image asked for


def parser() -> ArgumentParser:
    """The command line; options that take part in some sets alone are None unless given."""
    options = job_parser(
        "generate",
        "Write labelled images drawn by a bundle.",
        out=None,
        config="default, or a JSON file of settings",
        out_help="folder or file of the export, which must not be there yet",
    )
    options.add_argument(
        "bundle",
        metavar="BUNDLE",
        help="REGISTRY/NAME or REGISTRY/NAME/VERSION; or renderer:LAYOUT for lines and "
        "renderer:chars for characters drawn by fonts",
    )
    options.add_argument(
        "--labels", help=f"all, A,B,… or a text file with a label a line (default: {_LABELS})"
    )
    options.add_argument(
        "--new-identities",
        type=at_least(1),
        metavar="K",
        help="instead of --labels, K people who do not exist, new-0001, …; CVAE-GAN bundles",
    )
    options.add_argument(
        "--people-from",
        metavar="URI",
        help="instead of the bundle's classes those of this data, which it was not trained on, "
        "as it sees them in a few photographs; CVAE-GAN bundles",
    )
    options.add_argument(
        "--per-label", type=at_least(1), help=f"images of each label (default: {_PER_LABEL})"
    )
    options.add_argument("--texts", metavar="TEXTS", help=TEXTS_HELP)
    options.add_argument(
        "--count",
        type=at_least(1),
        help=f"lines for --texts, those of a file in random order (default: {_COUNT}; of a file "
        "each text once, in its order)",
    )
    options.add_argument(
        "--style-from",
        metavar="URI",
        help="of a renderer, images of text, or of classes, whose train split lends its looks",
    )
    options.add_argument("--select", action="append", metavar="NAME=VALUE", help=SELECT_HELP)
    add_export_options(options)
    options.add_argument(
        "--with-real", metavar="URI", help="add the real images of this data's train split"
    )
    options.add_argument(
        "--read-back",
        action=BooleanOptionalAction,
        help="keep only images that the bundle's reader reads as what they are to show (default: "
        "if it has a reader that knows them)",
    )
    add_reader_band(options, unless="that of the reader")
    options.add_argument(
        "--resume",
        action="store_const",
        const=True,
        help="keep what is drawn beside OUT until that is finished, as much again on the disk, and "
        "go on from there where an earlier job with this option was killed",
    )
    options.add_argument(
        "--drop-copies",
        metavar="URI",
        help="drop near-copies of the images the bundle was trained on: this data's train split",
    )
    return options


def check_options(arguments: Namespace, kind: str) -> Namespace:
    """Refuse options that would change nothing.

    Args:
        arguments: of the command line.
        kind: CLASSES, LINES, RENDERER or CHARACTERS.

    Returns:
        The arguments, with the defaults of those that take part.

    Raises:
        ConfigError: names the options, or says that a bundle of lines needs --texts.
        DataError: --texts cannot be read.
    """
    told = {option: getattr(arguments, option[2:].replace("-", "_")) for option in _TAKES_PART}
    _refuse(
        [
            "--no-read-back" if option == "--read-back" and value is False else option
            for option, value in told.items()
            if value is not None and kind not in _TAKES_PART[option]
        ],
        f"{kind} such as {arguments.bundle}",
    )
    if arguments.new_identities:
        idle = ("--labels", "--read-back")  # new people have no labels, and no reader knows them
        _refuse([option for option in idle if told[option]], "--new-identities")
    if arguments.people_from and arguments.read_back:
        _refuse(["--read-back"], "--people-from, whose people no reader knows")
    if kind == LINES and arguments.texts is None:
        raise ConfigError(
            f"expected --texts for {arguments.bundle}, which writes lines, got no --texts; take "
            "uniform, a file with a text a line, or another source."
        )
    defaults: dict[str, object]
    if kind in (CLASSES, CHARACTERS):
        defaults = {"labels": _LABELS, "per_label": _PER_LABEL}
    else:
        texts = arguments.texts or "uniform"
        every = count_given(texts) if arguments.count is None else None
        defaults = {"texts": texts, "count": every or _COUNT, "in_order": every is not None}
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    return Namespace(**{**vars(arguments), **defaults, **given})


def _refuse(options: list[str], where: str) -> None:
    if options:
        verb, them = ("does", "it") if len(options) == 1 else ("do", "them")
        raise ConfigError(f"{' and '.join(options)} {verb} not go with {where}; leave {them} out.")
