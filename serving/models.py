"""The models of a registry, held in memory: what a replica draws, reads, repairs and edits with."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from augment.bundle import READER_FOLDER, BundleInfo, Registry, load_tensors, open_bundle
from augment.editing import Editor
from augment.errors import AugmentError
from augment.generate import Reader, Sampler
from augment.generators import GENERATORS
from augment.generators.cvae_gan import CVAEGANSampler
from augment.generators.line_form import LineForm
from augment.generators.line_reading import LineReader
from augment.generators.line_saae import LineSAAEGenerator
from augment.generators.line_sampler import LineSampler
from augment.images import Pixels
from augment.network import should_compile
from augment.restoration.faces import FaceBox, FaceDetector, FaceFinder
from recognizers.reader import load_reader
from recognizers.text_reader import load_text_reader
from serving.schemas import Health, ServeArguments

__all__ = ["Abilities", "LoadModel", "LoadedModel", "Models", "abilities_of", "load_model"]

logger = logging.getLogger("labelmint.serving")


@dataclass(frozen=True)
class LoadedModel:
    """What a bundle can do, over one network.

    Attributes:
        sampler: draws labelled images; None: the architecture draws none.
        reader: judges drawn images; None: the bundle has none.
        editor: works on images; None: the architecture encodes none.
        lines: writes lines of text; None: the architecture writes none.
        line_reader: judges written lines; None: the bundle has none.
        identities: samplers of new identities, by number and seed.
    """

    sampler: Sampler | None
    reader: Reader | None = None
    editor: Editor | None = None
    lines: LineSampler | None = None
    line_reader: LineReader | None = None
    identities: OrderedDict[tuple[int, int], Sampler] = field(default_factory=OrderedDict)


class Abilities(NamedTuple):
    """What a bundle can be asked for.

    Attributes:
        capabilities: of "generate", "new-identities", LINE_CAPABILITIES and those of ``Editor``.
        max_strength: see ``Editor.max_strength``.
    """

    capabilities: tuple[str, ...]
    max_strength: float | None = None


LINE_CAPABILITIES = ("texts", "stylize")
"""Of bundles that write lines: of given or random texts, and in the style of an image sent."""
LINE_BATCH = 32
"""Lines of one width drawn at a time, at most."""

LoadModel = Callable[[Path, ServeArguments, FaceFinder | None], LoadedModel]
"""Loads a bundle's folder; ``load_model``, or known answers in a test."""


def load_model(
    folder: Path, arguments: ServeArguments, finder: FaceFinder | None = None
) -> LoadedModel:
    """Load a bundle, and draw once, so that loaded means ready.

    Args:
        folder: of the bundle.
        arguments: of the service.
        finder: finds the face in images sent without a box.

    Raises:
        BundleError: the bundle is not sound.
    """
    info, model, banks = open_bundle(folder)
    device, half = arguments.device, arguments.half
    sampler: Sampler | None = None
    if (kind := _sampler_class(info)) is not None:
        compile = arguments.compile
        sampler = kind(
            info,
            model,
            banks,
            device=device,
            batch_size=arguments.batch_size,
            half=half,
            compile=should_compile(device) if compile is None else compile,
        )
        first = np.zeros(1, np.int64)
        sampler.draw(first, first, 0)
    reader = folder / READER_FOLDER
    if info.architecture == LineSAAEGenerator.architecture:
        return LoadedModel(
            None,
            lines=_load_lines(info, model, banks, arguments),
            line_reader=load_text_reader(reader, device, info=info) if reader.is_dir() else None,
        )
    editor = Editor(
        info,
        model,
        banks,
        device=device,
        batch_size=arguments.edit_batch_size,
        half=half,
        finder=finder,
    )
    return LoadedModel(
        sampler,
        load_reader(reader, device) if reader.is_dir() else None,
        editor if editor.capabilities else None,
    )


def _load_lines(
    info: BundleInfo, model: nn.Module, banks: dict[str, Tensor], arguments: ServeArguments
) -> LineSampler:
    """A sampler of lines that has written one; never compiled, for each width would be anew."""
    size = min(arguments.batch_size, LINE_BATCH)
    lines = LineSampler(
        info, model, banks, device=arguments.device, batch_size=size, half=arguments.half
    )
    lines.draw_texts(lines.form.random_texts(1, 0), np.zeros(1, np.int64), 0)
    return lines


def abilities_of(info: BundleInfo, folder: Path) -> Abilities:
    """What a bundle can be asked for, read from its description without its weights.

    Args:
        info: the bundle's description.
        folder: of the bundle.

    Raises:
        BundleError: the bundle is not sound.
    """
    if info.architecture == LineSAAEGenerator.architecture:
        LineForm.of(info)
        return Abilities(LINE_CAPABILITIES)
    kind = _sampler_class(info)
    able = [] if kind is None else ["generate"]
    if kind is CVAEGANSampler:
        able.append("new-identities")
    banks = {name: bank.to("meta") for name, bank in load_tensors(folder).items()}
    with torch.device("meta"):  # shapes alone, no memory
        editor = Editor(info, info.build_model(), banks, device="meta", half=False)
    return Abilities((*able, *editor.capabilities), editor.max_strength)


def _sampler_class(info: BundleInfo) -> type[Sampler] | None:
    return next(iter(GENERATORS[info.architecture].values())).sampler


class _SharedFinder:
    """A FaceFinder for several threads: OpenCV's holds the size of the image it is looking at."""

    def __init__(self, finder: FaceFinder) -> None:
        self._finder, self._looking = finder, threading.Lock()

    def find(self, image: Pixels) -> FaceBox:
        """As ``FaceFinder.find``."""
        with self._looking:
            return self._finder.find(image)


@dataclass
class Models:
    """The models of a registry.

    The newest version of every bundle is loaded at the start; other versions, and bundles
    published later, when they are first asked for. A bundle that cannot be loaded is left out
    and named in ``failed``. Whoever runs a network holds ``computing``.

    Raises:
        ConfigError: the face detector cannot be loaded.
    """

    arguments: ServeArguments
    load: LoadModel = load_model
    failed: dict[str, str] = field(default_factory=dict, init=False)
    computing: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        """Load the newest version of every bundle."""
        if self.arguments.threads is not None:
            torch.set_num_threads(self.arguments.threads)
        detector = self.arguments.face_detector
        self.finder = None if detector is None else _SharedFinder(FaceDetector.load(detector))
        self.registry = Registry(self.arguments.registry)
        self._newest: dict[str, LoadedModel] = {}
        self._spare: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading = threading.Lock()
        for name in self.registry.names():
            bundle = "{}/{}".format(*self.registry.resolve(name))
            try:
                self._newest[bundle] = self._load(bundle)
            except AugmentError as error:
                logger.exception("left out bundle %s", bundle)
                self.failed[bundle] = str(error)

    def health(self) -> Health:
        """Return what was loaded at the start, and what could not be."""
        return Health(
            status="ready" if self._newest else "failed",
            models=list(self._newest),
            failed=self.failed,
        )

    def model(self, bundle: str) -> LoadedModel:
        """Return a model, loading it if need be.

        Raises:
            BundleNotFoundError, BundleError: it is not there or not sound.
        """
        if bundle in self._newest:
            return self._newest[bundle]
        with self._loading:
            if bundle not in self._spare:
                self._spare[bundle] = self._load(bundle)
                while len(self._spare) > self.arguments.spare_models:
                    self._spare.popitem(last=False)
            self._spare.move_to_end(bundle)
            return self._spare[bundle]

    def _load(self, bundle: str) -> LoadedModel:
        return self.load(self.registry.fetch(bundle), self.arguments, self.finder)
