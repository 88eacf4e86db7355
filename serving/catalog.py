"""What the service knows about the bundles of its registry, without their weights. No Ray."""

import threading
from dataclasses import dataclass
from pathlib import Path

from augment.bundle import READER_FOLDER, SAMPLES_FILE, BundleInfo, Registry, load_bundle
from augment.errors import BundleError, LabelError
from serving.schemas import ModelDetail, ModelSummary

__all__ = ["Catalog", "Entry"]


@dataclass(frozen=True)
class Entry:
    """One version of one bundle, its files checked once."""

    name: str
    version: int
    info: BundleInfo
    folder: Path

    @property
    def bundle(self) -> str:
        """NAME/VERSION."""
        return f"{self.name}/{self.version}"

    @property
    def samples(self) -> Path:
        """The picture of samples."""
        return self.folder / SAMPLES_FILE

    @property
    def has_reader(self) -> bool:
        """Whether images can be read back."""
        return (self.folder / READER_FOLDER).is_dir()

    def count_by_class(self, labels: dict[str, int]) -> dict[int, int]:
        """Return class index to number of images, ascending, from label to number of images.

        Raises:
            LabelError: an unknown label; lists the classes.
        """
        index = {name: position for position, name in enumerate(self.info.classes)}
        for label in labels:
            if label not in index:
                raise LabelError(
                    f"unknown label {label[:40]!r}; {self.bundle} draws: "
                    f"{', '.join(self.info.classes)}."
                )
        return dict(sorted((index[label], count) for label, count in labels.items()))


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
                self._entries[key] = Entry(*key, load_bundle(folder), folder)
            return self._entries[key]

    def summaries(self) -> list[ModelSummary]:
        """Describe every bundle in its newest version, damaged ones with their error."""
        summaries = []
        for name in self.registry.names():
            _, version = self.registry.resolve(name)
            try:
                info = self.entry(name, version).info
            except BundleError as error:
                summaries.append(ModelSummary(name=name, version=version, error=str(error)))
            else:
                summaries.append(
                    ModelSummary(
                        name=name,
                        version=version,
                        digest=info.digest,
                        classes=len(info.classes),
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
            domain=info.domain,
            classes=list(info.classes),
            image_size=info.image_size,
            channels=info.channels,
            reader=entry.has_reader,
            data=info.data,
            metrics=info.metrics,
        )
