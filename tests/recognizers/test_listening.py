from dataclasses import replace

import pytest
import torch

from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.texts import LineShape, TextImages
from augment.errors import ConfigError
from augment.generators.line_saae import CONFIGS, shape_for
from augment.models.line_saae import SILENT, UNREAD, LineSAAE
from recognizers.charset import WORDS, Charset
from recognizers.line_readers import fit_line_reader, fit_listener
from recognizers.listening import listener_size, listens, numbers_of
from recognizers.scene_text import TextConfig
from recognizers.text_arms import TextPlan

PLATES = load_layout("plates-cn")


@pytest.fixture(scope="module")
def plates(some_plates: TextImages) -> LineData:
    return LineData.select(some_plates.subset(range(4)), PLATES, shape_for(PLATES))


def test_characters_are_numbered_as_the_recognizer_numbers_them() -> None:
    assert numbers_of("0aA ö", WORDS) == (1, 11, 11, SILENT, UNREAD)
    assert numbers_of("aA", Charset("Aa")) == (2, 1)


def test_a_weight_above_zero_asks_for_a_listener() -> None:
    model = CONFIGS["labelmint"].model
    assert not listens(model)
    assert listens(replace(model, recognizer_weight=0.1))
    assert not listens(object())


def test_a_listener_is_none_of_the_recognizers_that_read_back(
    plates: LineData, tiny_text_plan: TextPlan
) -> None:
    listener = fit_listener(plates, tiny_text_plan, 3)
    reader = fit_line_reader(plates, tiny_text_plan, 3)
    assert listener.recognizer.config == listener_size(tiny_text_plan.recognizer)
    assert listener.recognizer.config.head == "conv"
    assert {member.config.head for member in reader.members} == {"lstm"}
    heard = listener.recognizer.stem.convolution.weight
    for member in reader.members:
        assert not torch.equal(heard, member.stem.convolution.weight)
    assert listener.numbers == tuple(range(1, len(plates.classes) + 1))


def test_a_prepared_generator_is_moved_by_what_its_listener_reads(
    plates: LineData, tiny_text_plan: TextPlan
) -> None:
    settings = ["recognizer_weight=1.0", "adversarial_weight=0.0", "reconstruction_weight=0.0"]
    settings += ["line_weight=0.0", "ground_weight=0.0"]
    config = with_overrides(tiny_text_plan.generator, [f"model.{setting}" for setting in settings])
    model = config.build_model(plates)
    assert isinstance(model, LineSAAE)
    with pytest.raises(ConfigError, match="no recognizer"):
        model.stages()
    fit_listener(plates, tiny_text_plan, 0).prepare(model)
    [*_, last] = model.stages()
    losses = last.phases[-1].losses(config.batches(plates)(0, 0, 1), torch.Generator())
    losses.total.backward()
    moved = [p.grad for p in model.decoder.parameters() if p.grad is not None]
    assert sum(float(grad.abs().sum()) for grad in moved) > 0


def test_a_height_that_no_recognizer_has_is_refused_before_anything_is_trained(
    some_plates: TextImages, tiny_text_plan: TextPlan
) -> None:
    data = LineData.select(some_plates.subset(range(2)), PLATES, LineShape(20, 64, 64))
    with pytest.raises(ConfigError, match="multiple of 8"):
        fit_listener(data, tiny_text_plan, 0)


def test_a_listener_keeps_the_size_of_the_readers() -> None:
    assert listener_size(TextConfig(width=6)) == TextConfig(width=6, head="conv")
