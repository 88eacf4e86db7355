"""The dataset card of an export: README.md, with Hugging Face's front matter where it is theirs."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

__all__ = ["Card"]

_NUMBERS = ("asked", "made", "kept", "dropped", "real")
_MOST_SHOWN = 10  # labels that fall short
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # such as cc-by-4.0, as the Hub spells them


@dataclass(frozen=True)
class Card:
    """What a card says that the images themselves do not.

    Attributes:
        title: name of the data set.
        made_by: how the images were made, a sentence or more.
        licence: terms of the images that went in, as given; None: nothing is known of them.
    """

    title: str = "Labelled images"
    made_by: str = ""
    licence: str | None = None

    def render(
        self,
        layout: str,
        *,
        images: int,
        labels: int,
        texts: bool,
        summary: Mapping[str, object] | None = None,
        front_matter: str | None = None,
    ) -> str:
        """Return README.md.

        Args:
            layout: how the files lie and how they are read, in Markdown.
            images: how many there are.
            labels: how many different ones.
            texts: whether a label is a text of its own, else a class.
            summary: the manifest's summary.
            front_matter: lines of YAML for the Hugging Face Hub; None: no front matter.
        """
        kind = "Different labels" if texts else "Classes"
        parts = [] if front_matter is None else [self._front_matter(front_matter)]
        parts += [f"# {self.title}", f"Images: {images:,}. {kind}: {labels:,}.", layout]
        parts += ["## How it was made", self.made_by or "Nothing was noted."]
        numbers = {name: (summary or {}).get(name) for name in _NUMBERS}
        told = {name: number for name, number in numbers.items() if number is not None}
        if told:
            parts.append(
                f"| {' | '.join(told)} |\n|{'---|' * len(told)}\n"
                f"| {' | '.join(map(str, told.values()))} |"
            )
        copies = (summary or {}).get("copies")
        if copies:
            parts.append(f"Of the dropped, {copies} were near-copies of training images.")
        shortfall = (summary or {}).get("shortfall")
        if isinstance(shortfall, Mapping) and shortfall:
            shown = dict(islice(shortfall.items(), _MOST_SHOWN))
            more = len(shortfall) - len(shown)
            parts.append(
                f"Fewer than asked for: `{json.dumps(shown, ensure_ascii=False)}`"
                + (f" and {more:,} labels more; `manifest.jsonl` ends with all." if more else ".")
            )
        parts += [
            "## Licence of the inputs",
            self.licence or "Not stated; ask whoever made this set before you pass it on.",
            "## Files",
            "`manifest.jsonl` tells of every image its true label, origin, seed, index, bundle, "
            "read-back confidence and SHA-256. `sha256sum -c SHA256SUMS` checks the files.",
        ]
        return "\n\n".join(parts) + "\n"

    def _front_matter(self, lines: str) -> str:
        licence = self.licence or "unknown"
        known = _LICENCE_ID.fullmatch(licence) is not None
        head = [f"pretty_name: {json.dumps(self.title, ensure_ascii=False)}"]
        head += [f"license: {licence if known else 'other'}"]
        return "\n".join(["---", *head, lines, "---"])
