"""From labelled images to a generator bundle, whatever the architecture."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, Self

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from augment.bundle import BundleInfo, save_bundle
from augment.config import config_digest, merged, to_mapping
from augment.data.content import DEFAULT_FONTS, Font, book_fonts
from augment.data.datasets import LabelledImages
from augment.data.line_pairs import LineData
from augment.feature_networks import open_comparator
from augment.generate import Sampler
from augment.images import Pixels, tile
from augment.models import MODELS
from augment.training import Context, TrainingConfig, train

__all__ = ["ANYTHING", "GeneratorConfig", "sample_sheet", "train_generator", "write_bundle"]

Data = TypeVar("Data", bound=LabelledImages | LineData, default=LabelledImages)
"""What a generator is trained on."""

ANYTHING = ("anything",)
"""The one class of what draws images without labels."""

PROBE_STEP = 2**31
"""Step whose batch, never trained on in this order, tracks the progress."""
SHEET_ROWS, SHEET_COLUMNS = 64, 12
"""Classes, at most, and samples of each in samples.png."""


class GeneratorConfig(ABC, Generic[Data]):
    """Everything that decides what a trained generator is, besides its data.

    Each architecture has a frozen dataclass of its own, whose fields are sections of settings:
    ``model``, ``training``, ``sampling`` and whatever its batches are made by.
    """

    architecture: ClassVar[str]
    sampler: ClassVar[type[Sampler] | None]
    """Draws labelled images from the bundle; None: the architecture draws none."""
    model: Any
    training: TrainingConfig
    sampling: Any

    def fonts(self) -> tuple[Font, ...]:
        """What labels are drawn with, by the generator or by its rival, the renderer."""
        return DEFAULT_FONTS + book_fonts()

    def shortened(self, factor: int) -> Self:
        """The same settings with one step for every ``factor``, at least one for each stage."""
        steps = to_mapping(self.model)["steps"]
        fewer = (
            {name: max(1, count // factor) for name, count in steps.items() if count}
            if isinstance(steps, dict)
            else max(1, steps // factor)
        )
        return merged(self, {"model": {"steps": fewer}})

    def classes(self, data: Data) -> tuple[str, ...]:
        """What the generator is told apart by."""
        return data.classes

    def attributes(self, data: Data) -> tuple[str, ...]:
        """Attributes that the bundle's images can be edited by."""
        return ()

    def build_model(self, data: Data) -> nn.Module:
        """The network for ``data``, with weights from ``training.seed``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            model = MODELS[self.architecture].model(
                self.model,
                num_classes=len(self.classes(data)),
                image_size=data.image_size,
                channels=data.channels,
            )
        perceptual = getattr(self.model, "perceptual", None)  # not every model can have the term
        if perceptual is not None:
            name = perceptual.comparator
            model.comparator = open_comparator(name, data.image_size, data.channels)
        return model

    @abstractmethod
    def batches(self, data: Data) -> Callable[[int, int, int], Any]:
        """(step, rank, world_size) to a NamedTuple of tensors; a pure function."""

    def settle(self, model: nn.Module, batches: Callable[[int, int, int], Any]) -> None:
        """Set what a trained model is to have besides what it learned; most have nothing."""

    @abstractmethod
    def validate(self, model: nn.Module, batch: Any) -> float:
        """Score a model in eval mode on a batch of training images; smaller is better."""

    @abstractmethod
    def banks(self, model: nn.Module, data: Data) -> dict[str, Tensor]:
        """What samples are made of, besides weights; names start with ``bank.``."""

    def samples(
        self, info: BundleInfo, model: nn.Module, banks: dict[str, Tensor], data: Data
    ) -> Pixels:
        """The picture of samples, (H, W, C) uint8."""
        assert self.sampler is not None, "an architecture without a sampler makes its own picture"
        assert isinstance(data, LabelledImages), "so does one that draws no classes"
        return sample_sheet(self.sampler(info, model, banks), data)

    def describe_model(self, model: nn.Module) -> dict[str, Any]:
        """The settings that the bundle builds its model by."""
        return to_mapping(self.model)

    def describe_data(self, data: Data) -> dict[str, Any]:
        """What the bundle says of its training data."""
        return {"uri": data.uri, "digest": data.digest(), "images": len(data)}


def train_generator(
    data: Data,
    config: GeneratorConfig[Data],
    context: Context,
    *,
    scratch: Path,
    prepare: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Train a generator on ``data``.

    Args:
        data: the training images, all of them used.
        config: settings.
        context: the worker this is.
        scratch: folder for checkpoints in the making.
        prepare: called with the model before it is trained, to hand it what no configuration
            holds, such as a recognizer to listen to.

    Returns:
        The trained model, in eval mode.
    """
    model = config.build_model(data)
    if prepare is not None:
        prepare(model)
    batches = config.batches(data)
    probe = batches(PROBE_STEP, 0, 1)
    probe = type(probe)(*(values.to(context.device) for values in probe))

    def validate(averaged: nn.Module) -> float:
        with torch.no_grad():
            return config.validate(averaged, probe)

    trained = train(
        model,
        batches,
        config.training,
        context,
        scratch=scratch,
        validate=validate,
        identity=f"{config_digest(config)}/{data.digest()}/{data.image_size}/{data.channels}",
    )
    config.settle(trained, batches)
    return trained


def write_bundle(
    folder: Path,
    model: nn.Module,
    data: Data,
    config: GeneratorConfig[Data],
    metrics: dict[str, float] | None = None,
    *,
    licence: str | None = None,
) -> BundleInfo:
    """Write the bundle of a trained model; the banks are made from ``data``.

    A ``reader/`` already in ``folder`` becomes part of the bundle. ``licence`` are the terms of
    the data, where they are known.
    """
    banks = config.banks(model, data)
    info = BundleInfo(
        architecture=config.architecture,
        model=config.describe_model(model),
        sampling=to_mapping(config.sampling),
        classes=config.classes(data),
        image_size=data.image_size,
        channels=data.channels,
        attributes=config.attributes(data),
        data=config.describe_data(data) | ({"licence": licence} if licence else {}),
        metrics=metrics or {},
    )
    samples = config.samples(info, model, banks, data)
    return save_bundle(folder, info, {**model.state_dict(), **banks}, samples)


def sample_sheet(sampler: Sampler, data: LabelledImages) -> Pixels:
    """One row a class, at most SHEET_ROWS of them: a real image, then samples."""
    count = len(sampler.classes)
    shown = np.unique(np.linspace(0, count - 1, min(count, SHEET_ROWS)).astype(int))
    labels = np.repeat(shown, SHEET_COLUMNS)
    drawn = sampler.draw(labels, np.tile(np.arange(SHEET_COLUMNS), len(shown)), seed=0).images
    rows = np.full((len(shown), SHEET_COLUMNS + 1, *drawn.shape[1:]), 255, np.uint8)
    rows[:, 1:] = drawn.reshape(len(shown), SHEET_COLUMNS, *drawn.shape[1:])
    for row, label in zip(rows, shown, strict=True):
        of_class = np.flatnonzero(data.labels == label)[:1]
        if len(of_class):
            row[0] = data.images(of_class)[0]
    return tile(rows.reshape(-1, *drawn.shape[1:]), SHEET_COLUMNS + 1)
