from pathlib import Path

import pytest
import torch

from augment.bundle import Registry
from augment.config import with_overrides
from augment.data.datasets import LabelledImages, open_data
from augment.generators.base import train_generator, write_bundle
from augment.generators.saae import CONFIGS
from augment.training import PlainContext

TINY = (
    "model.width=8",
    "model.style_dim=8",
    "model.discriminator_width=8",
    "model.steps.reconstruct=2",
    "model.steps.discriminate=1",
    "model.steps.alternate=2",
    "training.batch_size=8",
    "training.log_every=2",
    "training.checkpoint_every=2",
)
"""Settings of a generator that trains within a second; as ``--set`` takes them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def tiny_settings() -> tuple[str, ...]:
    return TINY


@pytest.fixture(scope="session")
def some_digits() -> LabelledImages:
    data = open_data("digits:").split("train")
    return data.subset(range(60))


@pytest.fixture(scope="session")
def demo_registry(tmp_path_factory: pytest.TempPathFactory, some_digits: LabelledImages) -> Path:
    """What ``make demo`` leaves in runs/demo/registry, trained for five steps."""
    root = tmp_path_factory.mktemp("demo")
    config = with_overrides(CONFIGS["labelmint"], TINY)
    model = train_generator(some_digits, config, PlainContext(), scratch=root / "scratch")
    write_bundle(root / "bundle", model, some_digits, config, licence="cc-by-4.0")
    Registry(root / "registry").publish("digits", root / "bundle")
    return root / "registry"
