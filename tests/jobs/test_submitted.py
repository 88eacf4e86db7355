"""Every job as ``ray job submit --working-dir . -- python -m jobs.X``, on a real local cluster."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).with_name("ray")
START_TIMEOUT_S = 120

TINY_PLAN = (
    "budget.steps=4",
    "reader_steps=2",
    "generated_per_class=3",
    "rendered_per_class=3",
    "generator.model.steps.reconstruct=2",
    "generator.model.steps.discriminate=1",
    "generator.model.steps.alternate=2",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def options(settings: tuple[str, ...], prefix: str = "") -> list[str]:
    return [word for setting in settings for word in ("--set", prefix + setting)]


@dataclass
class Cluster:
    """A Ray cluster of this machine; its dashboard asks for a token."""

    address: str
    environment: dict[str, str]

    def submit(self, *entrypoint: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RAY, "job", "submit", "--address", self.address, "--working-dir", ".", "--",
             "python", "-m", *entrypoint],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=400,
            check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # A process that ends may write its last line while the folder is being removed.
    short = tempfile.TemporaryDirectory(prefix="lm", dir="/tmp", ignore_cleanup_errors=True)
    with short as folder:
        environment = {
            **os.environ,
            "HOME": folder,  # where the token is kept
            "PATH": f"{RAY.parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }
        token = subprocess.run(
            [RAY, "get-auth-token", "--generate"],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        with Path(folder, "log").open("wb") as log:
            head = subprocess.Popen(
                [RAY, "start", "--head", "--block", "--port=0", "--num-cpus=2",
                 "--dashboard-host=127.0.0.1", f"--dashboard-port={port}",
                 f"--dashboard-agent-listen-port={free_port()}",
                 f"--ray-client-server-port={free_port()}",
                 f"--temp-dir={folder}/ray", "--disable-usage-stats"],
                env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            wait_until_up(address, token)
            yield Cluster(address, environment)
        finally:
            head.terminate()
            head.wait(timeout=60)
        assert no_process_mentions(folder), "the cluster left processes behind"


def wait_until_up(address: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(START_TIMEOUT_S):
        try:
            if httpx.get(f"{address}/api/jobs/", headers=headers).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise TimeoutError(f"no Ray dashboard at {address} after {START_TIMEOUT_S} s")


def no_process_mentions(text: str) -> bool:
    for _ in range(20):
        if subprocess.run(["pgrep", "-f", text], capture_output=True, check=False).returncode == 1:
            return True
        time.sleep(1)
    return False


@pytest.mark.ray
def test_the_cluster_refuses_requests_without_a_token(cluster: Cluster) -> None:
    assert httpx.get(f"{cluster.address}/api/jobs/").status_code == 401


@pytest.mark.ray
def test_train_generate_and_evaluate_run_as_submitted_jobs(
    cluster: Cluster, tmp_path: Path, tiny_settings: tuple[str, ...]
) -> None:
    registry = tmp_path / "registry"
    trained = cluster.submit(
        "jobs.train", "saae", "--out", f"{registry}/digits", "--no-reader", *options(tiny_settings)
    )
    assert trained.returncode == 0, trained.stdout[-3000:] + trained.stderr[-3000:]
    assert (registry / "digits/1/config.json").exists()

    drawn = cluster.submit(
        "jobs.generate", f"{registry}/digits", "--per-label", "2", "--out", str(tmp_path / "set")
    )
    assert drawn.returncode == 0, drawn.stdout[-3000:]
    assert len(list((tmp_path / "set").glob("*/*.png"))) == 20

    measured = cluster.submit(
        "jobs.evaluate", f"{registry}/digits/1", "--data", "digits:", "--out", str(tmp_path),
        "--only", "parzen", *options(("samples=20", "validation_images=20", "pairs=2")),
    )  # fmt: skip
    assert measured.returncode == 0, measured.stdout[-3000:]
    _, row = json.loads((tmp_path / "parzen.json").read_text())["rows"]
    assert (row["name"], row["samples"]) == ("digits/1", 20)


@pytest.mark.ray
def test_benchmark_runs_as_a_submitted_job(cluster: Cluster, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "digits"), "--seeds", "1"]
    done = cluster.submit("jobs.benchmark", "digits", *out, *options(TINY_PLAN))
    assert done.returncode == 0, done.stdout[-3000:]
    assert json.loads((tmp_path / "digits/report.json").read_text())["verdict"] is None


@pytest.mark.ray
def test_demo_runs_as_a_submitted_job(cluster: Cluster, tmp_path: Path) -> None:
    settings = ("images=20", *(f"plan.{setting}" for setting in TINY_PLAN))
    done = cluster.submit("jobs.demo", "--out", str(tmp_path), *options(settings))
    assert done.returncode == 0, done.stdout[-3000:]
    for name in ("report.html", "report.json", "samples.png", "registry/digits/1/config.json"):
        assert (tmp_path / name).exists(), name


@pytest.mark.ray
def test_a_relative_out_is_refused_with_the_reason(cluster: Cluster) -> None:
    failed = cluster.submit("jobs.train", "saae", "--out", "registry/digits")
    assert failed.returncode != 0
    assert "--out must be an absolute path or a URL in a submitted Ray job" in failed.stdout
    assert "temporary copy of its working directory" in failed.stdout
