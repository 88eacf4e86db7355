"""The whole line on real handwritten digits, in a few minutes on two cores.

Ray Train trains SAAE on 5 real digits a class, Ray Serve serves the bundle, 2,000 labelled
images are asked for over HTTP, and a recognizer is trained in every arm. Leaves
OUT/report.html, OUT/report.json, OUT/samples.png and the bundle in OUT/registry.
"""

import argparse
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import ray
from ray import serve

from augment.bundle import SAMPLES_FILE, Registry
from augment.config import with_overrides
from augment.errors import AugmentError, ConfigError
from augment.generate import Tally
from augment.generators.saae import CONFIGS
from augment.images import decode_image
from jobs.alone import alone_at
from jobs.cli import describe_device, job_parser, local_path, print_plan, read_settings, run_job
from jobs.ray_context import ray_cluster
from jobs.train import RUNS, find_run, train_and_publish
from recognizers.arms import Plan, SeedRun
from recognizers.class_report import build_class_report
from recognizers.fit import Budget
from recognizers.mixing import LabelledPixels
from recognizers.pictures import take_pictures
from recognizers.report import format_table, write_report
from recognizers.scenarios import find_scenario

__all__ = ["main"]

NAME = "digits"
START_TIMEOUT_S = 120


def demo_plan() -> Plan:
    """The usual plan with fewer steps."""
    generator = with_overrides(
        CONFIGS["labelmint"],
        [
            "model.steps.reconstruct=200",
            "model.steps.discriminate=50",
            "model.steps.alternate=1000",
        ],
    )
    return Plan(generator=generator, budget=Budget(steps=500), reader_steps=300)


@dataclass(frozen=True)
class DemoSettings:
    """What fits into five minutes on two cores."""

    images: int = 2000  # asked for over HTTP
    plan: Plan = field(default_factory=demo_plan)


class ServedRun(SeedRun):
    """A seed whose generator is asked over HTTP; ``archive`` is what the service sent."""

    archive: Path

    def generated(self) -> LabelledPixels:
        """The images of the zip."""
        return self._unpacked[0]

    @property
    def tally(self) -> Tally:
        """What the service says of the zip."""
        return self._unpacked[1]

    @cached_property
    def _unpacked(self) -> tuple[LabelledPixels, Tally]:
        return unpack(self.archive, self.real.classes, self.channels)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return job_parser(
        "demo",
        "Real digits to a measured gain: train, serve, ask over HTTP, compare.",
        out="runs/demo",
        config="default, or a JSON file of settings",
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job."""
    arguments = parser().parse_args(argv)
    settings = read_settings({"default": DemoSettings()}, arguments.config, arguments.overrides)
    out = local_path(arguments.out, "--out")
    if arguments.dry_run:
        print_plan("demo", arguments, settings)
        return
    with alone_at(out):
        demonstrate(settings, arguments.seed, out)


def demonstrate(settings: DemoSettings, seed: int, out: Path) -> None:
    """Train, serve, ask and compare; everything is left in ``out``."""
    started = time.monotonic()
    scenario = find_scenario("digits")
    draw = scenario.draw(seed)
    root = out / "registry"
    shutil.rmtree(root / RUNS, ignore_errors=True)  # checkpoints of earlier demos
    with ray_cluster():
        say(started, f"Ray Train: SAAE on {len(draw.train)} real digits")
        run = find_run(str(root), NAME, resume=False)
        reference = train_and_publish(
            draw.train, settings.plan.generator, root=str(root), run=run, readers=settings.plan
        )
        with service(root, out / "serve.log") as address:
            say(started, f"asking {address} for {settings.images:,} labelled images")
            archive = out / "generated.zip"
            each = -(-settings.images // len(draw.train.classes))
            download(address, dict.fromkeys(draw.train.classes, each), seed, archive)
    bundle = Registry(root).fetch(reference)
    say(started, "service stopped; training a recognizer in every arm")
    with tempfile.TemporaryDirectory() as scratch:
        seed_run = ServedRun(draw, seed, settings.plan, Path(scratch))
        seed_run.archive, seed_run.bundle_folder = archive, bundle
        report = build_class_report(
            [seed_run],
            scenario,
            device=describe_device(seed_run.device),
            command="make demo",
            out=out,
        )
        report["seconds"] = round(time.monotonic() - started, 1)
        page = write_report(out, report, take_pictures(seed_run))
    shutil.copyfile(bundle / SAMPLES_FILE, out / SAMPLES_FILE)
    print(f"\n{format_table(report)}\n\n{page}")


def say(started: float, text: str) -> None:
    """Print what happens next, and when."""
    print(f"[{time.monotonic() - started:4.0f} s] {text}", flush=True)


@contextmanager
def service(registry: Path, log: Path) -> Iterator[str]:
    """Run the service on a free port of this machine; yields its address.

    It is started as a user would, with the command ``serve run``. It stops at the end of the
    block, or with the cluster if that was started for the demo.

    Raises:
        ConfigError: the cluster runs a Serve instance already.
        AugmentError: it did not start; the log says why.
    """
    if serve.status().proxies:
        raise ConfigError("this cluster runs Ray Serve already; the demo starts its own.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    try:
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
        command = "from ray.serve.scripts import cli; cli()"
        options = [f"registry={registry}", "compile=false"]  # too few images to pay for it
        words = ["run", "--non-blocking", "serving.app:build", *options]
        cluster = ray.get_runtime_context().gcs_address
        with log.open("wb") as output, suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [sys.executable, "-c", command, *words],
                env={**os.environ, "RAY_ADDRESS": cluster},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=START_TIMEOUT_S,
                check=False,
            )
        if not is_ready(address):
            raise AugmentError(
                f"expected a service at {address} within {START_TIMEOUT_S} s, got none; {log} says "
                "why."
            )
        yield address
    finally:
        if os.environ.get("RAY_ADDRESS"):  # a cluster that outlives the demo
            serve.shutdown()


def is_ready(address: str) -> bool:
    """Whether the service has loaded its models."""
    try:
        return httpx.get(f"{address}/healthz", timeout=30).is_success
    except httpx.TransportError:
        return False


def download(address: str, labels: Mapping[str, int], seed: int, archive: Path) -> None:
    """Ask for labelled images and stream the zip to a file.

    Raises:
        AugmentError: the service refused; its own words.
    """
    body: dict[str, Any] = {"labels": dict(labels), "seed": seed}
    url = f"{address}/v1/models/{NAME}/generate"
    with httpx.stream("POST", url, json=body, timeout=300) as response:
        if response.is_error:
            raise AugmentError(f"{url} answered {response.status_code}: {response.read()!r}")
        with archive.open("wb") as file:
            for part in response.iter_bytes():
                file.write(part)


def unpack(archive: Path, classes: Sequence[str], channels: int) -> tuple[LabelledPixels, Tally]:
    """Read a zip of the service: its images, and how many were made and kept."""
    with zipfile.ZipFile(archive) as files:
        rows = [json.loads(line) for line in files.read("manifest.jsonl").splitlines()]
        images = [row for row in rows if "file" in row]
        pixels = [decode_image(files.read(row["file"]), channels=channels) for row in images]
    summary: dict[str, Any] = next((row["summary"] for row in rows if "summary" in row), {})
    counts = {key: summary[key] for key in ("asked", "made", "kept", "dropped") if key in summary}
    labels = np.array([classes.index(row["label"]) for row in images], np.int64)
    return LabelledPixels(np.stack(pixels), labels), Tally(**counts)


if __name__ == "__main__":
    run_job(main)
