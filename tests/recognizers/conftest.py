from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from augment.config import with_overrides
from augment.data.datasets import LabelledImages, open_data
from augment.data.layouts import load_layout
from augment.data.line_rendering import LineRenderer
from augment.data.texts import TextImages
from recognizers.arms import Plan
from recognizers.text_arms import TextPlan
from recognizers.text_scenarios import TEXT_SCENARIOS, TextScenario


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


@pytest.fixture(scope="session")
def tiny_text_plan() -> TextPlan:
    """Everything that a benchmark of text does, in a few seconds a seed."""
    settings = ["budget.steps=4", "budget.batch_size=8", "reader_steps=2", "read_back=false"]
    settings += ["recognizer.width=4", "recognizer.hidden=4"]
    settings += ["generated_lines=6", "rendered_lines=6"]
    settings += ["generator.model.width=4", "generator.model.style_dim=6"]
    settings += ["generator.model.discriminator_width=4", "generator.training.batch_size=4"]
    settings += ['generator.model.steps={"reconstruct": 1, "discriminate": 1, "alternate": 1}']
    return with_overrides(TextPlan(), settings)


@pytest.fixture(scope="session")
def some_plates() -> TextImages:
    """Forty rendered plates, in place of photographed ones: 20 of train, 8 of val, 12 of test."""
    layout = load_layout("plates-cn")
    rng = np.random.default_rng(0)
    texts = [layout.random_text(rng) for _ in range(40)]
    images = LineRenderer(layout)(texts, 0, (32, 96))
    splits = ["train"] * 20 + ["val"] * 8 + ["test"] * 12
    return TextImages.from_images(list(images), texts, splits=splits)


@pytest.fixture
def plates_scenario(some_plates: TextImages, monkeypatch: pytest.MonkeyPatch) -> TextScenario:
    """The scenario of plates, 12 real ones a draw, on ``some_plates``."""
    module = "recognizers.text_scenarios"
    monkeypatch.setattr(f"{module}.open_texts", lambda uri, **how: some_plates)
    return replace(TEXT_SCENARIOS["plates"], uri="memory:", shots=12)
