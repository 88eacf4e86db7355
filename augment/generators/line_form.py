"""What a bundle of lines can write, known from its description without its weights."""

from dataclasses import dataclass, replace
from typing import Self

from augment.bundle import BundleInfo
from augment.config import from_mapping
from augment.data.drawable import MOST_SHOWN
from augment.data.layouts import EMPTY_PLACE, Layout
from augment.data.lines import LONGEST_LINE, line_width
from augment.data.text_sampling import uniform
from augment.data.texts import LineShape
from augment.errors import BundleError, ConfigError, LabelError, RequestError
from augment.models.line_saae_config import LineSampling

__all__ = ["LineForm"]


@dataclass(frozen=True)
class LineForm:
    """Layout, shape and alphabet of a bundle's lines.

    Attributes:
        layout: of a plate, or free text.
        shape: of the training lines; H is that of all.
        classes: the alphabet.
        sources: where the styles come from.
        max_width: of free text, pixels.
    """

    layout: Layout
    shape: LineShape
    classes: tuple[str, ...]
    sources: tuple[str, ...]
    max_width: int

    @classmethod
    def of(cls, info: BundleInfo) -> Self:
        """Read it from a bundle's description.

        Raises:
            BundleError: it lacks layout, shape or sources.
        """
        try:
            shape = from_mapping(LineShape, info.data["shape"])
            return cls(
                from_mapping(Layout, info.data["layout"]),
                shape,
                info.classes,
                tuple(info.data["sources"]),
                from_mapping(LineSampling, info.sampling).max_width or LONGEST_LINE * shape.height,
            )
        except (KeyError, TypeError, ConfigError) as error:
            raise BundleError(
                f"expected layout, shape and sources in the data of a bundle of lines ({error}); "
                "it was changed or written by another version."
            ) from error

    def with_gaps(self) -> Self:
        """The same for plates that may lack characters; see ``Layout.with_gaps``."""
        if self.layout.is_free:
            return self
        classes = (*self.classes, EMPTY_PLACE)
        return replace(self, layout=self.layout.with_gaps(), classes=classes)

    def writes(self, text: str) -> bool:
        """Whether the bundle can write a text."""
        try:
            self.width_of(text)
        except RequestError:
            return False
        return True

    def width_of(self, text: str) -> int:
        """Width, in pixels, of the line that says ``text``.

        Raises:
            RequestError: the bundle cannot write it; names the character or the limit.
        """
        try:
            if self.layout.is_free:
                width = line_width(text, self.shape.height)
            else:
                width = self.shape.most_width
                self.layout.check(text)
        except LabelError as error:
            raise RequestError(str(error)) from error
        if self.layout.is_free and width > self.max_width:
            raise RequestError(
                f"a text may be {self.max_width} pixels wide, got {text[:MOST_SHOWN]!r} which "
                f"needs {width}; shorten it."
            )
        for place, character in enumerate(text, start=1):
            if character not in self.classes:
                raise RequestError(
                    f"a text must be of the characters {''.join(self.classes)}, which the bundle's "
                    f"layout and training lines have, got {character!r} at position {place} of "
                    f"{text[:MOST_SHOWN]!r}; leave the text out, or train a bundle with a layout "
                    "whose alphabet has it."
                )
        return width

    def random_texts(self, count: int, seed: int, *, first: int = 0) -> list[str]:
        """Draw random texts ``first``, … of the layout that fit; text i depends on (seed, i).

        Raises:
            RequestError: hardly any fits.
        """
        text_of = uniform(self.layout, seed, self.width_of)
        try:
            return [text_of(index) for index in range(first, first + count)]
        except LabelError as error:
            raise RequestError(str(error)) from error
