"""Generator bundles, and registries of them.

A bundle is a folder: ``model.safetensors`` (weights and banks), ``config.json``, ``samples.png``
and optionally ``reader/``. Nothing in it is pickled and nothing in it is run. ``config.json``
holds the SHA-256 of every other file, and a digest over all of them names the bundle.

What is written of a bundle later, its model card and what was measured of it, lies beside these
files and is no part of it: it may change, the digest does not.

A registry is a folder, local or on any fsspec file system, of bundles ``NAME/1``, ``NAME/2``, …
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from augment.config import from_mapping
from augment.errors import BundleError, BundleNotFoundError, ConfigError
from augment.files import write_whole
from augment.images import Pixels, encode_png
from augment.models import MODELS

__all__ = [
    "BundleInfo",
    "OpenedBundle",
    "Registry",
    "load_bundle",
    "load_tensors",
    "open_bundle",
    "save_bundle",
]

CONFIG_FILE, MODEL_FILE, SAMPLES_FILE, READER_FOLDER = (
    "config.json",
    "model.safetensors",
    "samples.png",
    "reader",
)
CARD_FILE, MEASURES_FILE = "MODEL_CARD.md", "measures.json"
_NOTES = (CARD_FILE, MEASURES_FILE)
FORMAT = 1
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class BundleInfo:
    """``config.json`` of a bundle, checked."""

    architecture: str
    model: dict[str, Any]
    sampling: dict[str, Any]
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    channels: int
    attributes: tuple[str, ...] = ()
    domain: str = "characters"
    data: dict[str, Any] = field(default_factory=dict)  # uri, digest, number of images, licence
    versions: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over the digests of all files and this description."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def licence(self) -> str | None:
        """Terms of the images that it was trained on, as given; None: not stated."""
        licence = self.data.get("licence")
        return None if licence is None else str(licence)

    def build_model(self) -> nn.Module:
        """The network of this bundle, with untrained weights."""
        kind = MODELS[self.architecture]
        return kind.model(
            from_mapping(kind.config, self.model),
            num_classes=len(self.classes),
            image_size=self.image_size,
            channels=self.channels,
        )


def save_bundle(
    folder: Path, info: BundleInfo, tensors: Mapping[str, Tensor], samples: Pixels
) -> BundleInfo:
    """Write a bundle; a ``reader/`` already in ``folder`` becomes part of it.

    Args:
        folder: where to; made if need be.
        info: its description; ``files`` and ``versions`` are filled in here.
        tensors: weights and banks.
        samples: (H, W, C) uint8 sheet for samples.png.

    Returns:
        The description as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, folder / MODEL_FILE)
    (folder / SAMPLES_FILE).write_bytes(encode_png(samples))
    files = {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in {folder / name for name in (CONFIG_FILE, *_NOTES)}
    }
    versions = {name: version(name) for name in ("torch", "numpy", "opencv-python-headless")}
    info = replace(info, files=files, versions=versions)
    write_whole(folder / CONFIG_FILE, json.dumps(asdict(info), indent=2, ensure_ascii=False) + "\n")
    return info


def load_bundle(folder: Path) -> BundleInfo:
    """Read and check a bundle's description; every byte of its files must be as written.

    Raises:
        BundleNotFoundError: no config.json there.
        BundleError: unknown key or value, a file missing or changed.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise BundleNotFoundError(
            f"expected a bundle with {CONFIG_FILE} in {folder}, found none; "
            "train one with `python -m jobs.train`."
        )
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
        info = from_mapping(BundleInfo, mapping)
        if info.format != FORMAT:
            raise ConfigError(f"format must be {FORMAT}; got {info.format}.")
        if info.architecture not in MODELS:
            raise ConfigError(
                f"architecture must be one of {', '.join(MODELS)}; got {info.architecture!r}."
            )
        kind = MODELS[info.architecture]
        from_mapping(kind.config, info.model, "model.")
        from_mapping(kind.sampling, info.sampling, "sampling.")
    except (ValueError, TypeError) as error:
        raise BundleError(f"{path}: {error} It was changed or written by another version.") from (
            error
        )
    for name, expected in info.files.items():
        if not (folder / name).is_file():
            raise BundleError(f"{folder}: expected {name}, found none; fetch the bundle again.")
        got = _sha256(folder / name)
        if got != expected:
            raise BundleError(
                f"{folder / name}: expected SHA-256 {expected[:12]}…, got {got[:12]}…; "
                "the file was changed or damaged, fetch the bundle again."
            )
    return info


def load_tensors(folder: Path) -> dict[str, Tensor]:
    """Weights and banks of a bundle, on the CPU.

    Raises:
        BundleError: not a safetensors file.
    """
    try:
        tensors: dict[str, Tensor] = load_file(folder / MODEL_FILE)
    except SafetensorError as error:
        raise BundleError(f"{folder / MODEL_FILE}: not a safetensors file ({error}).") from error
    return tensors


class OpenedBundle(NamedTuple):
    """All that is needed to work with a bundle."""

    info: BundleInfo
    model: nn.Module  # with its trained weights, on the CPU
    banks: dict[str, Tensor]  # the other tensors; their names start with ``bank.``


def open_bundle(folder: Path) -> OpenedBundle:
    """Load the description, network and banks of a bundle.

    Raises:
        BundleNotFoundError, BundleError: see ``load_bundle`` and ``load_tensors``; also weights
            that do not fit the network.
    """
    info, tensors = load_bundle(folder), load_tensors(folder)
    banks = {name: tensors.pop(name) for name in list(tensors) if name.startswith("bank.")}
    model = info.build_model()
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise BundleError(
            f"{folder}: expected the weights of a {info.architecture} as it is today; another "
            f"version wrote them: train it again. {error}"
        ) from error
    return OpenedBundle(info, model, banks)


class Registry:
    """Bundles by name and version under one root.

    Args:
        root: a folder or an fsspec URL such as s3://bucket/bundles.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self.files, self.path = fsspec.core.url_to_fs(self.root)

    def names(self) -> list[str]:
        """Names of all bundles, sorted."""
        if not self.files.isdir(self.path):
            return []
        folders = (
            p["name"]
            for p in self.files.ls(self.path, detail=True, refresh=True)
            if p["type"] == "directory"
        )
        names = (folder.rstrip("/").rsplit("/", 1)[-1] for folder in folders)
        return sorted(name for name in names if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """Finished versions of a bundle, ascending."""
        folder = f"{self.path}/{name}"
        if not NAME_PATTERN.fullmatch(name) or not self.files.isdir(folder):
            return []
        entries = (p.rstrip("/").rsplit("/", 1)[-1] for p in self.files.ls(folder, detail=False))
        numbers = sorted(int(entry) for entry in entries if entry.isdigit())
        return [n for n in numbers if self.files.exists(f"{folder}/{n}/{CONFIG_FILE}")]

    def resolve(self, reference: str) -> tuple[str, int]:
        """Name and version of ``NAME`` (the newest) or ``NAME/VERSION``.

        Raises:
            BundleNotFoundError: lists what is there.
        """
        name, _, wanted = reference.partition("/")
        versions = self.versions(name)
        if not versions:
            there = ", ".join(self.names()) or "none"
            raise BundleNotFoundError(
                f"no bundle {name!r} in registry {self.root}; bundles there: {there}."
            )
        if not wanted:
            return name, versions[-1]
        if not wanted.isdigit() or int(wanted) not in versions:
            there = ", ".join(map(str, versions))
            raise BundleNotFoundError(
                f"no version {wanted!r} of bundle {name!r} in registry {self.root}; "
                f"versions there: {there}."
            )
        return name, int(wanted)

    def published(self, reference: str) -> datetime:
        """When a bundle was published, as its file system remembers it.

        Raises:
            BundleNotFoundError: lists what is there.
        """
        name, number = self.resolve(reference)
        moment: datetime = self.files.modified(f"{self.path}/{name}/{number}/{CONFIG_FILE}")
        return moment

    def fetch(self, reference: str) -> Path:
        """Local folder of a bundle; remote ones are copied once to a cache in the temp folder."""
        name, number = self.resolve(reference)
        folder = f"{self.path}/{name}/{number}"
        if "file" in self.files.protocol:
            return Path(folder)
        key = hashlib.sha256(f"{self.root}/{name}/{number}".encode()).hexdigest()[:16]
        local = Path(tempfile.gettempdir()) / "labelmint" / key
        if not (local / CONFIG_FILE).exists():
            local.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=local.parent) as scratch:
                self.files.get(folder + "/", scratch + "/bundle/", recursive=True)
                shutil.rmtree(local, ignore_errors=True)
                Path(scratch, "bundle").rename(local)
        return local

    def publish(self, name: str, folder: Path) -> str:
        """Copy a finished local bundle in as the next version; ``config.json`` is copied last.

        Returns:
            ``NAME/VERSION``.

        Raises:
            ConfigError: a name with other characters than letters, digits, ``.``, ``_``, ``-``.
            BundleError: ``folder`` is no sound bundle.
        """
        if not NAME_PATTERN.fullmatch(name):
            raise ConfigError(
                f"a bundle name has letters, digits, '.', '_' and '-' and starts with a letter "
                f"or digit; got {name!r}."
            )
        info = load_bundle(folder)
        number = max(self.versions(name), default=0) + 1
        target = f"{self.path}/{name}/{number}"
        self.files.makedirs(target, exist_ok=True)
        notes = [name for name in _NOTES if (folder / name).is_file()]
        for file in [*info.files, *notes, CONFIG_FILE]:
            self.files.makedirs(f"{target}/{file}".rsplit("/", 1)[0], exist_ok=True)
            self.files.put_file(str(folder / file), f"{target}/{file}")
        return f"{name}/{number}"

    def annotate(self, reference: str, notes: Mapping[str, str]) -> None:
        """Write texts beside a bundle, over those of the same name; its digest stays.

        Args:
            reference: ``NAME`` or ``NAME/VERSION``.
            notes: texts by name; the names are CARD_FILE and MEASURES_FILE.

        Raises:
            BundleNotFoundError: see ``resolve``.
            OSError: the registry cannot be written to.
        """
        name, number = self.resolve(reference)
        for note in _NOTES:
            if note in notes:
                self.files.pipe_file(f"{self.path}/{name}/{number}/{note}", notes[note].encode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
