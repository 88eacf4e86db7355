from collections.abc import Callable

import pytest

from augment.config import with_overrides
from augment.data.datasets import LabelledImages, open_data
from recognizers.arms import Plan


@pytest.fixture(scope="session")
def tiny_plan(tiny_settings: tuple[str, ...]) -> Plan:
    """Everything that a benchmark does, in about a second a seed."""
    settings = ["budget.steps=4", "budget.batch_size=12", "reader_steps=2"]
    settings += ["generated_per_class=8", "rendered_per_class=2"]
    return with_overrides(Plan(), settings + [f"generator.{word}" for word in tiny_settings])


@pytest.fixture(scope="session")
def small_digits() -> Callable[..., LabelledImages]:
    """Some real images of 0, 1 and 2, 8×8: called with a range of rows."""
    data = open_data("digits:", image_size=(8, 8)).split("train")
    few = data.relabel({name: name for name in "012"})
    return lambda *bounds: few.subset(range(*bounds))
