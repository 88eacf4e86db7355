"""A registry of tiny bundles, and a generator and a reader whose answers are known."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from lines_service import load_line_model, publish_lines
from numpy.typing import NDArray
from torch import Tensor

from augment.autoencoders import Coder
from augment.bundle import BundleInfo, Registry, load_bundle, save_bundle
from augment.config import to_mapping
from augment.editing import Editor
from augment.errors import RequestError
from augment.generate import Samples, Style
from augment.images import Pixels
from augment.models.saae import SAAEConfig
from augment.models.vae_gan_config import VAEGANConfig
from serving.app import create_app
from serving.catalog import Catalog
from serving.fulfilment import LocalBackend
from serving.models import LoadedModel, LoadModel, Models
from serving.schemas import ServeArguments

CLASSES = ("3", "7", "京")
SIZE = (8, 8)
BATCH = 8
ATTRIBUTES, FACE_SIDE = ("Smiling", "Eyeglasses"), 32


class KnownSampler:
    """Writes label, index and seed of a sample into its pixels."""

    def __init__(self, info: BundleInfo) -> None:
        self.classes, self.image_size, self.channels = info.classes, info.image_size, info.channels
        self.digest = info.digest
        self.num_styles = 5
        self.batches: list[int] = []

    def draw(
        self,
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
        seed: int | NDArray[np.int64],
        style: Style | None = None,
    ) -> Samples:
        self.batches.append(len(labels))
        count = len(labels)
        images = np.zeros((count, *self.image_size, self.channels), np.uint8)
        images[:, 0, 0, 0] = labels
        images[:, 0, 1, 0] = indices % 256
        images[:, 0, 2, 0] = np.broadcast_to(seed, (count,)) % 256
        images[:, 0, 3, 0] = 0 if style is None else round(style.vector[0])
        bank = np.full((count, 2), 0 if style is None else -1, np.int64)
        folds = np.full(count, -1, np.int64)
        return Samples(images, indices % 3, bank, np.zeros(count, np.float32), folds)

    def style(
        self, *, ids: Sequence[int], images: Sequence[Pixels], weights: Sequence[float]
    ) -> Style:
        for index in ids:
            if index >= self.num_styles:
                raise RequestError(f"style ids must be in [0, {self.num_styles - 1}], got {index}.")
        values = [*map(float, ids), *(float(image.mean()) for image in images)]
        shares = weights or [1.0] * len(values)
        mean = sum(v * w for v, w in zip(values, shares, strict=True)) / sum(shares)
        return Style((mean,))


class KnownReader:
    """Reads the label out of the pixels, but misreads every third sample, and never reads a 京.

    The later a sample, the surer: 0.75 + index / 1024; outside the band it reads as nothing.
    """

    band = (0.0, 1.0)

    def read(
        self,
        images: Pixels,
        folds: NDArray[np.int64] | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        labels, index = images[:, 0, 0, 0].astype(np.int64), images[:, 0, 1, 0]
        misread = (index % 3 == 2) | (labels == 2)
        sure = np.float32(0.75) + index / np.float32(1024)
        low, high = np.float32(self.band) if bands is None else bands.T
        labels = np.where(misread, (labels + 1) % 3, labels)
        return np.where((sure >= low) & (sure <= high), labels, -1), sure


def write_bundle(root: Path, scratch: Path, name: str, *, reader: bool = True) -> str:
    """Publish a bundle with sound files and no trained weights."""
    folder = scratch / f"{name}-unpublished"
    (folder / "reader").mkdir(parents=True) if reader else folder.mkdir(parents=True)
    if reader:
        (folder / "reader" / "config.json").write_text("{}")
    info = BundleInfo(
        architecture="saae",
        model=to_mapping(SAAEConfig()),
        sampling={},
        classes=CLASSES,
        image_size=SIZE,
        channels=1,
        data={"images": 60, "licence": "cc-by-4.0"} if reader else {},
        metrics={"reconstruction": 0.25},
    )
    sheet = np.full((16, 16, 1), 200, np.uint8)
    save_bundle(folder, info, {"weight": torch.zeros(1)}, sheet)
    return Registry(root).publish(name, folder)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry with ``digits`` and, without a reader, ``plain``."""
    root = tmp_path / "registry"
    write_bundle(root, tmp_path, "digits")
    write_bundle(root, tmp_path, "plain", reader=False)
    return root


class Level(Coder):
    """Knows an image by its mean alone, and draws it flat."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.batches: list[int] = []

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mu = images.mean(dim=(1, 2, 3))[:, None]
        return mu, torch.zeros_like(mu)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.batches.append(len(z))
        return z[:, :, None, None].expand(-1, 3, FACE_SIDE, FACE_SIDE)


def _load_known(folder: Path, arguments: ServeArguments, finder: Any = None) -> LoadedModel:
    info = load_bundle(folder)
    reader = KnownReader() if (folder / "reader").is_dir() else None
    sampler: Any = KnownSampler(info)
    if not info.attributes:
        return LoadedModel(sampler, reader)
    banks = {"bank.attribute_vectors": torch.tensor([[0.24], [-0.48]])}
    size = arguments.edit_batch_size
    editor = Editor(info, info.build_model(), banks, batch_size=size, half=False, finder=finder)
    editor.coder = Level()
    return LoadedModel(sampler, reader, editor)


@pytest.fixture
def face_registry(registry: Path, tmp_path: Path) -> Path:
    """``registry`` with ``faces`` besides, a bundle that knows two attributes."""
    config = VAEGANConfig(width=4, hidden=8, latent_dim=1)
    info = BundleInfo(
        architecture="vae_gan",
        model=to_mapping(config),
        sampling={},
        classes=ATTRIBUTES,
        image_size=(FACE_SIDE, FACE_SIDE),
        channels=3,
        attributes=ATTRIBUTES,
    )
    bank = {"bank.attribute_vectors": torch.zeros(2, 1)}
    save_bundle(tmp_path / "faces", info, bank, np.zeros((4, 4, 3), np.uint8))
    Registry(registry).publish("faces", tmp_path / "faces")
    return registry


@pytest.fixture
def face_client(face_registry: Path, make_backend: Callable[[Path], LocalBackend]) -> "Client":
    """The service over ``face_registry``."""
    return Client(create_app(Catalog(str(face_registry)), make_backend(face_registry)))


@pytest.fixture
def load_known() -> LoadModel:
    """Stand in for ``load_model``: sound files, known answers."""
    return _load_known


@pytest.fixture
def make_backend() -> Callable[[Path], LocalBackend]:
    """Build a backend with known models over a registry."""

    def make(root: Path) -> LocalBackend:
        arguments = ServeArguments(registry=str(root), batch_size=BATCH)
        return LocalBackend(Models(arguments, _load_known))

    return make


@pytest.fixture
def backend(registry: Path, make_backend: Callable[[Path], LocalBackend]) -> LocalBackend:
    """The known models of ``registry``."""
    return make_backend(registry)


class Client:
    """Calls an application in process, each request in an event loop of its own."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._call(method, path, **options))

    async def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **options)


@pytest.fixture
def client(registry: Path, backend: LocalBackend) -> Client:
    """The service over ``backend``, in process, without Ray."""
    return Client(create_app(Catalog(str(registry)), backend))


@pytest.fixture
def make_client() -> type[Client]:
    """Wrap an application in a client."""
    return Client


@pytest.fixture(scope="module")
def lines_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plates and words without a reader, and plates with one."""
    root = tmp_path_factory.mktemp("registry")
    for layout, name in (("plates-cn", "plates"), ("words", "words")):
        publish_lines(root, tmp_path_factory.mktemp(name), layout, name)
    publish_lines(root, tmp_path_factory.mktemp("read"), "plates-cn", "read-plates", reads="plates")
    return root


@pytest.fixture(scope="module")
def line_models(lines_registry: Path) -> Models:
    """Those of ``lines_registry``, read by the known reader."""
    arguments = ServeArguments(registry=str(lines_registry), batch_size=4, half=False)
    return Models(arguments, load_line_model)


@pytest.fixture
def service(lines_registry: Path, line_models: Models) -> Client:
    """The service over ``lines_registry``."""
    return Client(create_app(Catalog(str(lines_registry)), LocalBackend(line_models)))
