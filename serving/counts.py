"""How many images a request asks for: of each label, or of each text."""

from collections import Counter

from augment.errors import RequestError

__all__ = ["MAX_IMAGES", "count_labels", "list_texts"]

MAX_IMAGES = 10_000
"""Most images that one request may ask for."""


def count_labels(value: object) -> dict[str, int]:
    """Return how many images of each label are asked for, from a mapping or a list of labels."""
    if isinstance(value, list):
        counts: dict[str, int] = dict(Counter(map(_label_text, value)))
    elif isinstance(value, dict):
        counts = {}
        for label, count in value.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise RequestError(
                    f"the number of images of a label must be an integer of at least 1, "
                    f"got {_short(count)} for label {_short(label)}; correct it or leave it out."
                )
            counts[_label_text(label)] = count
    else:
        raise RequestError(
            'labels must be an object such as {"3": 20} or a list such as ["3", "3", "7"], '
            f"got {_short(value)}."
        )
    total = sum(counts.values())
    if not 1 <= total <= MAX_IMAGES:
        advice = "split it into several with different seeds" if total else "name a label"
        raise RequestError(
            f"a request may ask for 1 to {MAX_IMAGES:,} images in all, got {_short(total)}; "
            f"{advice}."
        )
    return counts


def list_texts(value: object) -> object:
    """Return texts as a list, each as often as a mapping says."""
    if not isinstance(value, dict):
        return value
    return [text for text, count in count_labels(value).items() for _ in range(count)]


def _label_text(value: object) -> str:
    """Return a label as text; JSON numbers such as 3 are taken as "3"."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RequestError(f"a label must be text, got {_short(value)}; write it in quotes.")
    return str(value)


def _short(value: object) -> str:
    """Return a value as it may be quoted in an error: whatever came, a line of it."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return f"{value:,}"
    text = ascii(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
