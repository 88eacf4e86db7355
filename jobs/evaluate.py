r"""Measure generators by themselves, one table a measure.

    python -m jobs.evaluate registry/mnist --data idx:mnist --out runs/parzen --only parzen
    python -m jobs.evaluate registry/cvae registry/cvae-gan --data lfw:lfw.zip --out runs/faces \
        --only faces

writes OUT/MEASURE.json, OUT/MEASURE.md and pictures. Measures:

| --only | of | table |
|---|---|---|
| parzen | bundles that draw labels | log-likelihood by Parzen window (SAAE) |
| faces | the same | label fidelity, realism, diversity, near-copies (CVAE-GAN, Table 1) |
| attributes | vae_gan | attribute similarity (VAE/GAN, Table 1), success of edits |
| masked | masked_vae | reconstruction with and without masks |
| deepsim | deepsim | linear SVM on codes; inversion errors beside optimisation (DeePSiM) |
| restoration | bundles that encode images | holes and small images against OpenCV |
| transfer | saae, of an attribute | content's attribute, style's identity (SAAE, Fig. 4) |
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from augment.bundle import load_bundle
from augment.data.datasets import open_data
from augment.errors import ConfigError
from jobs.cli import (
    absolute_location,
    absolute_uri,
    find_bundle,
    job_parser,
    print_plan,
    read_settings,
    run_job,
)
from jobs.evaluation import EvaluateSettings, Evaluation
from jobs.measures import MEASURES

__all__ = ["main"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = job_parser(
        "evaluate",
        "Measure generators against real images.",
        out=None,
        config="default, or a JSON file of settings",
    )
    options.add_argument(
        "bundles", nargs="+", metavar="BUNDLE", help="REGISTRY/NAME or REGISTRY/NAME/VERSION"
    )
    options.add_argument("--data", required=True, metavar="URI", help="real images")
    options.add_argument("--only", choices=sorted(MEASURES), default="parzen", help="which measure")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job."""
    arguments = parser().parse_args(argv)
    settings = read_settings({"default": EvaluateSettings()}, arguments.config, arguments.overrides)
    if settings.identity_data is not None:
        settings = replace(
            settings, identity_data=absolute_uri(settings.identity_data, "identity_data")
        )
    out = Path(absolute_location(arguments.out, "--out"))
    folders = {_short(name): find_bundle(name) for name in arguments.bundles}
    if len(folders) < len(arguments.bundles):
        raise ConfigError(f"expected different bundles, got {', '.join(arguments.bundles)}.")
    infos = {name: load_bundle(folder) for name, folder in folders.items()}
    shapes = {(info.image_size, info.channels) for info in infos.values()}
    if len(shapes) > 1:
        raise ConfigError(
            f"expected bundles of one image size and number of channels, got {sorted(shapes)}; "
            "evaluate them one by one."
        )
    image_size, channels = shapes.pop()
    data = open_data(absolute_uri(arguments.data), image_size=image_size, channels=channels)
    evaluation = Evaluation(folders, data, settings, arguments.seed, out)
    if arguments.dry_run:
        print_plan("evaluate", arguments, settings)
        return
    out.mkdir(parents=True, exist_ok=True)
    MEASURES[arguments.only](evaluation)


def _short(reference: str) -> str:
    """A bundle's name and, where it was given, its version, without the registry."""
    words = reference.rstrip("/").split("/")
    return "/".join(words[-2:]) if words[-1].isdigit() else words[-1]


if __name__ == "__main__":
    run_job(main)
