"""Recognizers of ours as feature networks: ``reader:PATH:LAYER``.

PATH is a bundle with a reader, or a reader's own folder; of a cross-fitted reader its first member
serves. ``LAYER`` is a submodule's name, ``output`` or ``probabilities``.
"""

from augment.bundle import READER_FOLDER
from augment.comparators import FrozenNetwork
from augment.errors import ConfigError
from augment.feature_networks import OPENERS, local_folder, split_layer
from recognizers.reader import load_reader

__all__ = ["offer_readers", "open_reader"]


def offer_readers() -> None:
    """Let ``augment.feature_networks.open_comparator`` open readers, in this process."""
    OPENERS["reader"] = open_reader


def open_reader(rest: str) -> FrozenNetwork:
    """Open ``PATH:LAYER``.

    Raises:
        BundleError: no reader there, or a damaged one.
        ConfigError: no such layer, none named, or a URL.
    """
    path, layer = split_layer(rest)
    if not layer:
        raise ConfigError(f"expected reader:PATH:LAYER, got reader:{rest}; say which layer.")
    folder = local_folder(path, f"reader:{rest}")
    if (folder / READER_FOLDER).is_dir():
        folder = folder / READER_FOLDER
    return FrozenNetwork(f"reader:{rest}", load_reader(folder).members[0], layer)
