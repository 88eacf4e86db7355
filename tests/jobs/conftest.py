"""Small pictures in CelebA's published layout, and a registry of generators trained on them."""

import csv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from augment.bundle import Registry
from augment.config import with_overrides
from augment.data.datasets import open_data
from augment.data.layouts import load_layout
from augment.data.line_rendering import LineRenderer
from augment.generators import GENERATORS
from augment.generators.base import train_generator, write_bundle
from augment.images import encode_png
from augment.training import PlainContext

COUNT, SIDE, PEOPLE = 60, 48, 5
ATTRIBUTES = ("Smiling", "Young")
BRIEF = (
    "model.steps=2",
    "training.batch_size=6",
    "training.log_every=2",
    "training.checkpoint_every=2",
)
GENERATORS_TRAINED = {
    "cvae": ("cvae_gan", "cvae", ("model.width=4", "model.latent_dim=6", "model.label_dim=5")),
    "cvae-gan": (
        "cvae_gan",
        "labelmint",
        ("model.width=4", "model.latent_dim=6", "model.classifier_steps=2"),
    ),
    "vae-gan": ("vae_gan", "labelmint", ("model.width=4", "model.hidden=8")),
    "conditional": ("vae_gan", "labelmint", ("model.width=4", "model.conditional=true")),
    "masked": ("masked_vae", "labelmint", ("model.latent_dim=8", "model.hidden_dim=8")),
}
"""Architecture, configuration and settings by name."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs with a mouth, in the colours of five "people", laid out as CelebA."""
    root = tmp_path_factory.mktemp("celeba")
    (root / "images").mkdir()
    draws = np.random.default_rng(0)
    colours = draws.integers(80, 256, (PEOPLE, 3))
    names = [f"{number + 1:06d}.jpg" for number in range(COUNT)]
    smiles, young = np.arange(COUNT) % 2, np.arange(COUNT) // 2 % 2
    for number, name in enumerate(names):
        image = draws.integers(0, 40, (SIDE, SIDE, 3), dtype=np.uint8)
        colour = tuple(int(level) for level in colours[number % PEOPLE])
        cv2.circle(image, (24, 24), 20 if young[number] else 16, colour, cv2.FILLED)
        if smiles[number]:
            cv2.ellipse(image, (24, 30), (8, 5), 0, 0, 180, (255, 255, 255), cv2.FILLED)
        (root / "images" / name).write_bytes(encode_png(image))
    with (root / "list_attr_celeba.txt").open("w") as file:
        file.write(f"{COUNT}\n{' '.join(ATTRIBUTES)}\n")
        rows = csv.writer(file, delimiter=" ", lineterminator="\n")
        rows.writerows(
            (name, 2 * a - 1, 2 * b - 1) for name, a, b in zip(names, smiles, young, strict=True)
        )
    (root / "identity_CelebA.txt").write_text(
        "".join(f"{name} {number % PEOPLE + 1}\n" for number, name in enumerate(names))
    )
    splits = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2] * (COUNT // 10)
    draws.shuffle(splits)
    (root / "list_eval_partition.txt").write_text(
        "".join(f"{name} {split}\n" for name, split in zip(names, splits, strict=True))
    )
    return root


@pytest.fixture(scope="session")
def picture_registry(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every architecture for pictures, trained for two steps."""
    root = tmp_path_factory.mktemp("pictures")
    data = open_data(f"celeba:{pictures}", image_size=(SIDE, SIDE), channels=3).split("train")
    for name, (architecture, preset, settings) in GENERATORS_TRAINED.items():
        config = with_overrides(GENERATORS[architecture][preset], (*BRIEF, *settings))
        model = train_generator(data, config, PlainContext(), scratch=root / "scratch")
        write_bundle(root / name, model, data, config)
        Registry(root / "registry").publish(name, root / name)
    return root / "registry"


@pytest.fixture
def faces_of() -> Callable[..., Path]:
    """Called with a folder and names: makes three pictures of each person there."""

    def make(root: Path, *people: str) -> Path:
        draws = np.random.default_rng(1)
        for person in people:
            (root / person).mkdir(parents=True)
            for number in range(3):
                image = draws.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
                (root / person / f"{number}.png").write_bytes(encode_png(image))
        return root

    return make


@pytest.fixture
def text_zip(tmp_path: Path) -> Callable[[str, Sequence[str]], str]:
    """Called with a layout and texts: rendered lines of them, as the URI of a zip.

    Every third is of the test, each of a picture of its own.
    """

    def write(layout: str, texts: Sequence[str]) -> str:
        render = LineRenderer(load_layout(layout)).render_line
        rows = ["file,text,split"]
        with zipfile.ZipFile(tmp_path / f"{layout}.zip", "w") as file:
            for number, text in enumerate(texts):
                rows.append(f"{number}_1.png,{text},{'train' if number % 3 else 'test'}")
                image = render(text, 0, 32, index=number)
                file.writestr(f"{number}_1.png", encode_png(image))
            file.writestr("labels.csv", "\n".join(rows))
        return f"zip:{tmp_path / layout}.zip"

    return write
