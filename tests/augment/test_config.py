import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from augment.config import config_digest, from_mapping, to_mapping, with_overrides
from augment.errors import ConfigError


@dataclass(frozen=True)
class Optimizer:
    rate: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.9)


@dataclass(frozen=True)
class Settings:
    steps: int = 100
    name: str = "paper"
    kind: Literal["plain", "fancy"] = "plain"
    limit: float | None = None
    averaged: bool = True
    sizes: tuple[int, ...] = (8, 16)
    optimizer: Optimizer = field(default_factory=Optimizer)
    second: Optimizer | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}.")


def test_a_configuration_survives_the_way_through_json() -> None:
    settings = Settings(steps=7, limit=0.5, sizes=(1, 2, 3), optimizer=Optimizer(rate=0.1))
    assert from_mapping(Settings, json.loads(json.dumps(to_mapping(settings)))) == settings


def test_missing_fields_keep_their_defaults() -> None:
    assert from_mapping(Settings, {"steps": 3}) == Settings(steps=3)


def test_overrides_reach_nested_sections_and_leave_the_original_alone() -> None:
    settings = Settings()
    changed = with_overrides(
        settings, ["optimizer.rate=2", "name=mine", "limit=null", "sizes=[4]", "averaged=false"]
    )
    assert changed == Settings(
        name="mine", sizes=(4,), averaged=False, optimizer=Optimizer(rate=2.0)
    )
    assert isinstance(changed.optimizer.rate, float)
    assert settings == Settings()


def test_an_optional_section_can_be_put_in_and_taken_out() -> None:
    both = with_overrides(Settings(), ['second={"rate": 2}'])
    assert both == Settings(second=Optimizer(rate=2.0))
    assert with_overrides(both, ["second=null"]) == Settings()
    with pytest.raises(ConfigError, match="expected a section for optimizer, got None"):
        with_overrides(Settings(), ["optimizer=null"])


def test_an_unknown_key_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.speed; valid settings here: rate, betas"):
        from_mapping(Settings, {"optimizer": {"speed": 1}})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("steps", "expected section.field=value"),
        ("pace=3", "valid settings here: steps, name"),
        ("optimizer.speed=3", "valid settings here: rate"),
        ("engine.rate=3", "unknown section engine"),
        ("steps=many", "steps must be int"),
        ("steps=1.5", "steps must be int"),
        ("steps=true", "steps must be int"),
        ("averaged=1", "averaged must be bool"),
        ("kind=odd", "plain, fancy"),
        ("limit=high", "limit must be float"),
        ("sizes=4", "sizes must be a list"),
        ("optimizer.betas=[0.5]", "must have 2 entries"),
        ("optimizer=3", "expected a section"),
        ("steps=0", "at least 1, got 0"),
    ],
)
def test_an_unfit_override_is_refused_with_its_reason(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        with_overrides(Settings(), [assignment])


def test_digests_tell_configurations_apart_and_nothing_else() -> None:
    assert config_digest(Settings()) == config_digest(from_mapping(Settings, {}))
    assert config_digest(Settings()) != config_digest(with_overrides(Settings(), ["steps=99"]))
    assert len(config_digest(Settings())) == 64
