"""What the service knows about the bundles of its registry, without their weights. No Ray."""

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from augment.bundle import READER_FOLDER, SAMPLES_FILE, BundleInfo, Registry, load_bundle
from augment.errors import BundleError, LabelError, RequestError
from recognizers.reader_files import read_band
from serving.models import Abilities, abilities_of
from serving.schemas import ModelDetail, ModelSummary

__all__ = ["Catalog", "Entry"]

MAX_NAMED = 100
"""Classes named in an error."""


@dataclass(frozen=True)
class Entry:
    """One version of one bundle, its files checked once."""

    name: str
    version: int
    info: BundleInfo
    folder: Path
    abilities: Abilities

    @property
    def bundle(self) -> str:
        """NAME/VERSION."""
        return f"{self.name}/{self.version}"

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the bundle can be asked for."""
        return self.abilities.capabilities

    @property
    def samples(self) -> Path:
        """The picture of samples."""
        return self.folder / SAMPLES_FILE

    @property
    def has_reader(self) -> bool:
        """Whether images can be read back."""
        return (self.folder / READER_FOLDER).is_dir()

    def require(self, capability: str) -> None:
        """Refuse what the bundle is not capable of.

        Raises:
            RequestError: it is not; lists what it can.
        """
        if capability not in self.capabilities:
            raise RequestError(
                f"bundle {self.bundle} ({self.info.architecture}) offers no {capability}; it "
                f"offers: {', '.join(self.capabilities)}. Take another one."
            )

    def require_reader(self, option: str) -> None:
        """Refuse an option that goes with images that are read back.

        Raises:
            RequestError: the bundle has no reader.
        """
        if not self.has_reader:
            raise RequestError(
                f"{option} goes with images that are read back, and bundle {self.bundle} has no "
                f"reader; leave {option} out or take another bundle."
            )

    def class_index(self, label: str) -> int:
        """Class index of a label.

        Raises:
            LabelError: an unknown label; lists the classes.
        """
        index = self._numbers.get(label)
        if index is None:
            classes = self.info.classes
            known = ", ".join(classes[:MAX_NAMED]) or "no labels"
            more = len(classes) - MAX_NAMED
            raise LabelError(
                f"unknown label {label[:40]!r}; {self.bundle} draws: {known}"
                + (f" and {more:,} more." if more > 0 else ".")
            )
        return index

    def count_by_class(self, labels: dict[str, int]) -> dict[int, int]:
        """Return class index to number of images, ascending, from label to number of images.

        Raises:
            LabelError: an unknown label; lists the classes.
        """
        return dict(sorted((self.class_index(label), count) for label, count in labels.items()))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.info.classes)}


class Catalog:
    """Descriptions of bundles, read and checked when first asked for; safe across threads."""

    def __init__(self, root: str) -> None:
        """Look into the registry at ``root``."""
        self.registry = Registry(root)
        self._entries: dict[tuple[str, int], Entry] = {}
        self._reading = threading.Lock()

    def entry(self, name: str, version: int | None = None) -> Entry:
        """Return a bundle's description; without version the newest.

        Raises:
            BundleNotFoundError: it is not there; lists what is.
            BundleError: it was changed or damaged.
        """
        reference = name if version is None else f"{name}/{version}"
        key = self.registry.resolve(reference)
        with self._reading:
            if key not in self._entries:
                folder = self.registry.fetch("{}/{}".format(*key))
                info = load_bundle(folder)
                self._entries[key] = Entry(*key, info, folder, abilities_of(info, folder))
            return self._entries[key]

    def summaries(self) -> list[ModelSummary]:
        """Describe every bundle in its newest version, damaged ones with their error."""
        summaries = []
        for name in self.registry.names():
            _, version = self.registry.resolve(name)
            try:
                entry = self.entry(name, version)
            except BundleError as error:
                summaries.append(ModelSummary(name=name, version=version, error=str(error)))
                continue
            info = entry.info
            summaries.append(
                ModelSummary(
                    name=name,
                    version=version,
                    digest=info.digest,
                    classes=len(info.classes),
                    capabilities=list(entry.capabilities),
                    attributes=list(info.attributes),
                    error=None,
                )
            )
        return summaries

    def detail(self, name: str, version: int | None = None) -> ModelDetail:
        """Describe one bundle; errors as ``entry``."""
        entry = self.entry(name, version)
        info = entry.info
        return ModelDetail(
            name=entry.name,
            version=entry.version,
            versions=self.registry.versions(entry.name),
            digest=info.digest,
            architecture=info.architecture,
            classes=list(info.classes),
            image_size=info.image_size,
            channels=info.channels,
            capabilities=list(entry.capabilities),
            attributes=list(info.attributes),
            max_strength=entry.abilities.max_strength,
            reader=entry.has_reader,
            reader_band=read_band(entry.folder / READER_FOLDER) if entry.has_reader else None,
            published=self.registry.published(entry.bundle),
            licence=info.licence,
            data=info.data,
            metrics=info.metrics,
        )
