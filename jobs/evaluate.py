"""Measure a generator by itself: how likely it finds real images, and whether it copies them.

    python -m jobs.evaluate registry/mnist --data idx:mnist --out runs/evaluate --only parzen

writes parzen.json (mean log-likelihood of the test images in nats, with its standard error)
and nearest.png (samples, each with the training image nearest to it).
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages, open_data
from augment.errors import ConfigError, LabelError
from augment.generate import Sampler
from augment.generators import load_sampler
from augment.images import Pixels, encode_png, tile
from jobs.cli import (
    absolute_location,
    absolute_uri,
    find_bundle,
    job_parser,
    print_plan,
    read_settings,
    run_job,
)
from recognizers.metrics import nearest_images
from recognizers.parzen import parzen_score

__all__ = ["EvaluateSettings", "main"]


@dataclass(frozen=True)
class EvaluateSettings:
    """The protocol of Goodfellow et al. 2014."""

    samples: int = 10_000  # generated images, as many of each class as the training data's share
    validation_images: int = 5_000  # of the validation split, at most; they choose sigma
    pairs: int = 40  # samples shown beside their nearest training image
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.samples, self.validation_images, self.pairs) < 1:
            raise ConfigError("samples, validation_images and pairs must be at least 1.")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = job_parser(
        "evaluate",
        "Measure a generator against real images.",
        out=None,
        config="default, or a JSON file of settings",
    )
    options.add_argument("bundle", metavar="BUNDLE", help="REGISTRY/NAME or REGISTRY/NAME/VERSION")
    options.add_argument("--data", required=True, metavar="URI", help="real images")
    options.add_argument("--only", choices=("parzen",), default="parzen", help="which measure")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job."""
    arguments = parser().parse_args(argv)
    settings = read_settings({"default": EvaluateSettings()}, arguments.config, arguments.overrides)
    out = Path(absolute_location(arguments.out, "--out"))
    sampler = load_sampler(find_bundle(arguments.bundle), device=settings.device)
    data = open_data(
        absolute_uri(arguments.data), image_size=sampler.image_size, channels=sampler.channels
    )
    if data.classes != sampler.classes:
        raise LabelError(
            f"expected the bundle's classes {', '.join(sampler.classes)}; the data have "
            f"{', '.join(data.classes)}: evaluate on data of the same classes."
        )
    train, held_back, test = data.split("train"), data.split("val"), data.split("test")
    if arguments.dry_run:
        print_plan("evaluate", arguments, settings)
        return
    rng = np.random.default_rng(arguments.seed)
    drawn = draw_like(train, sampler, settings.samples, arguments.seed)
    chosen = rng.permutation(len(held_back))[: settings.validation_images]
    validation = held_back.images(np.sort(chosen))
    result = parzen_score(test.images(), validation, drawn)
    out.mkdir(parents=True, exist_ok=True)
    shown = drawn[rng.permutation(len(drawn))[: settings.pairs]]
    picture, distances = beside_nearest(shown, train)
    (out / "nearest.png").write_bytes(encode_png(picture))
    report: dict[str, Any] = {
        **asdict(result),
        "nearest_rms": {"median": float(np.median(distances)), "least": float(distances.min())},
        "bundle": sampler.digest,
        "data": data.uri,
        "seed": arguments.seed,
    }
    (out / "parzen.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"log-likelihood {result.log_likelihood:.1f} ± {result.standard_error:.1f} nats "
        f"({result.samples} samples, sigma {result.sigma:.3f}, {result.test_images} test images)"
    )


def draw_like(real: LabelledImages, sampler: Sampler, count: int, seed: int) -> Pixels:
    """Draw ``count`` samples whose classes have the shares of the real images: (N, H, W, C)."""
    shares = np.bincount(real.labels, minlength=len(real.classes)) / len(real)
    ends = np.round(np.cumsum(shares) * count).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    labels: NDArray[np.int64] = np.repeat(np.arange(len(counts)), counts)
    indices = np.concatenate([np.arange(number) for number in counts])
    return sampler.draw(labels, indices, seed).images


def beside_nearest(samples: Pixels, train: LabelledImages) -> tuple[Pixels, NDArray[np.float64]]:
    """Lay out samples, each with its nearest training image to the right; also the distances."""
    everything = train.images()
    nearest, distances = nearest_images(samples, everything)
    pairs = np.stack([samples, everything[nearest]], axis=1)
    return tile(pairs.reshape(-1, *samples.shape[1:]), columns=10), distances


if __name__ == "__main__":
    run_job(main)
