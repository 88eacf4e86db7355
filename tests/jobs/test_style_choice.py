import pytest

from augment.errors import AugmentError
from augment.generators.line_styles import StyleSelection
from jobs.style_choice import choose_styles


def test_conditions_are_those_of_a_request_to_the_service() -> None:
    given = ["sources=web,", "colours=yellow,white", "brightness=0.5:1", "sharpness=0:0.25"]
    assert choose_styles(given) == StyleSelection(
        ("web", ""), ("yellow", "white"), (0.5, 1.0), (0.0, 0.25)
    )
    assert choose_styles(None) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["contrast=0:1"], "--select must be sources, colours, brightness, sharpness.*contrast"),
        (["yellow"], "--select must be .* got 'yellow'"),
        (["colours=red", "colours=blue"], "each once at most"),
        (["colours=mauve"], "colours must be of black, .* got 'mauve'"),
        (["brightness=0.5"], "two shares of the bank here, .* got 'brightness=0.5'"),
        (["sharpness=low:high"], "two shares"),
        (["sharpness=0.5:0.2"], "sharpness must be two rising shares"),
    ],
    ids=str,
)
def test_conditions_that_say_nothing_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(AugmentError, match=message):
        choose_styles(given)
