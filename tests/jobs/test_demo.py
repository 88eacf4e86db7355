import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from augment.errors import AugmentError, ConfigError
from jobs import demo
from jobs.alone import alone_at


def test_a_second_demo_at_one_place_is_refused_before_anything_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "ray_cluster", lambda: pytest.fail("a cluster was started"))
    checkpoints = tmp_path / "registry/.runs/digits-1"
    checkpoints.mkdir(parents=True)
    with alone_at(tmp_path), pytest.raises(ConfigError, match="one job at a time"):
        demo.main(["--out", str(tmp_path)])
    assert checkpoints.exists()


def test_a_service_that_does_not_start_in_time_is_an_error_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(words: list[str], *, timeout: float, **how: object) -> None:
        raise subprocess.TimeoutExpired(words, timeout)

    no_proxies = SimpleNamespace(proxies={})
    cluster = SimpleNamespace(gcs_address="127.0.0.1:1")
    monkeypatch.setattr(demo.serve, "status", lambda: no_proxies)
    monkeypatch.setattr(demo.serve, "start", lambda **how: None)
    monkeypatch.setattr(demo.serve, "shutdown", lambda: None)
    monkeypatch.setattr(demo.ray, "get_runtime_context", lambda: cluster)
    monkeypatch.setattr(demo.subprocess, "run", hang)
    log = tmp_path / "serve.log"
    with (
        pytest.raises(AugmentError, match=rf"within 120 s, got none; {log} says why"),
        demo.service(tmp_path / "registry", log),
    ):
        pytest.fail("there is no service")
