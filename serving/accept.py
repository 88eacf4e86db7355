"""Content negotiation: which media type to answer with (RFC 9110, section 12.5.1). No Ray."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException

__all__ = ["choose_type", "joined"]


def choose_type(accept: str | None, offers: Sequence[str]) -> str:
    """Return the media type that a client likes best, of those there are.

    Args:
        accept: the request's Accept header; None or empty: anything will do.
        offers: media types, the first of equally liked ones preferred.

    Raises:
        HTTPException: 406, none of them is acceptable.
    """
    ranges = [_parse(part) for part in (accept or "*/*").split(",") if part.strip()]
    liking = [_quality(offer, ranges) for offer in offers]
    if max(liking) <= 0:
        raise HTTPException(
            406, f"expected Accept to allow {' or '.join(offers)}, got {str(accept)[:80]!r}"
        )
    return offers[liking.index(max(liking))]


def joined(lines: Sequence[str] | None) -> str | None:
    """One header of the lines of a repeated one (RFC 9110, section 5.3); None if there is none."""
    return ", ".join(lines) if lines else None


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """How much an offer is liked: as its most specific range says, 0 where none fits."""
    kind = offer.partition("/")[0]
    for pattern in (offer, f"{kind}/*", "*/*"):
        matching = [quality for name, quality in ranges if name == pattern]
        if matching:
            return max(matching)
    return 0.0


def _parse(part: str) -> tuple[str, float]:
    """Media range and quality of one part of the header; an unreadable quality is 1."""
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, float(value)
            except ValueError:
                break
    return name, 1.0
