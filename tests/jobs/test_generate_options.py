import pytest

from augment.errors import ConfigError
from jobs.generate_options import CLASSES, LINES, RENDERER, check_options, parser


def checked(kind: str, *options: str) -> dict[str, object]:
    arguments = parser().parse_args(["BUNDLE", "--out", "set", *options])
    return vars(check_options(arguments, kind))


TEXTS = ("--texts", "uniform")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (CLASSES, ("--count", "7"), "--count does not go with a bundle of classes such as BUNDLE"),
        (CLASSES, TEXTS, "--texts does not go with a bundle of classes"),
        (CLASSES, ("--style-from", "zip:a"), "--style-from does not go with a bundle of classes"),
        (CLASSES, ("--new-identities", "2", "--labels", "3"), "--labels does not go with --new-id"),
        (CLASSES, ("--new-identities", "2", "--read-back"), "--read-back does not go with --new-i"),
        (CLASSES, ("--people-from", "a:b", "--read-back"), "whose people no reader knows"),
        (LINES, (), "expected --texts for BUNDLE, which writes lines, got no --texts"),
        (LINES, (*TEXTS, "--style-from", "zip:a"), "--style-from does not go with a bundle of li"),
        (
            LINES,
            (*TEXTS, "--labels", "A", "--per-label", "7"),
            "--labels and --per-label do not go with a bundle of lines .*; leave them out",
        ),
        (RENDERER, ("--read-back",), "--read-back does not go with a renderer"),
        (RENDERER, ("--no-read-back",), "--no-read-back does not go with a renderer"),
        (RENDERER, ("--drop-copies", "a:b"), "--drop-copies does not go with a renderer"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    kind: str, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(kind, *options)


def test_defaults_are_those_of_the_options_that_take_part() -> None:
    names = ("labels", "per_label", "texts", "count", "read_back")
    assert [checked(CLASSES)[name] for name in names] == ["all", 100, None, None, None]
    assert [checked(RENDERER)[name] for name in names] == [None, None, "uniform", 100, None]
    assert checked(LINES, "--texts", r"grammar:\d{3}")["count"] == 100
    lines = checked(LINES, *TEXTS, "--count", "7", "--no-read-back")
    assert [lines[name] for name in names] == [None, None, "uniform", 7, False]
