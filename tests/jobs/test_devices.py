"""A GPU is used where there is one, and asking for one that is not there is an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augment.data.datasets import LabelledImages
from augment.errors import BundleNotFoundError, ConfigError
from jobs import cli, evaluate, generate, train
from jobs.evaluation import EvaluateSettings
from recognizers.arms import Plan


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for present, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda present=present: present)
        assert cli.choose_device("auto") == device
        assert cli.choose_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="cuda:1 needs a GPU"):
        cli.choose_device("cuda:1")


def test_a_report_names_the_gpu_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU of {device}")
    assert cli.describe_device("cuda:1") == "GPU of cuda:1"
    assert cli.describe_device("cpu").endswith("CPU cores")


@pytest.mark.parametrize(
    ("job", "words"), [(generate.main, ()), (evaluate.main, ("--data", "digits:"))]
)
def test_a_device_that_is_not_there_is_refused_before_anything_is_opened(
    job: Callable[[list[str]], None],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    command = [f"{tmp_path}/nowhere", "--out", str(tmp_path / "out"), *words]
    with pytest.raises(ConfigError, match="device cuda needs a GPU"):
        job([*command, "--set", "device=cuda"])
    with pytest.raises(BundleNotFoundError):
        job(command)


def test_jobs_take_a_gpu_unless_told_otherwise() -> None:
    assert generate.GenerateSettings().device == EvaluateSettings().device == "auto"


def test_readers_of_classes_are_trained_on_a_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class ReachedError(Exception):
        pass

    def seed_run(*arguments: Any, device: str = "cpu") -> None:
        assert device == "cuda"
        raise ReachedError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(train, "SeedRun", seed_run)
    images = np.zeros((4, 8, 8, 1), np.uint8)
    data = LabelledImages.from_arrays(images, np.arange(4) % 2, ("a", "b"))
    with pytest.raises(ReachedError):
        train.fit_reader(data, Plan(), 0, tmp_path / "reader")
