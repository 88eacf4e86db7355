"""The folder ``reader/`` of a bundle: the weights of a reader's members, and what they are.

``config.json`` names the kind of the reader, one of those that its loader knows, and never code
to import; ``model.safetensors`` holds the members one after the other.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from augment.errors import BundleError
from augment.files import write_whole
from recognizers.cross_fitting import EVERYTHING

__all__ = ["StoredReader", "opened_reader", "read_band", "write_reader"]

Network = TypeVar("Network", bound=nn.Module)


class StoredReader(NamedTuple):
    """What a reader's folder holds."""

    description: dict[str, Any]
    tensors: dict[str, Tensor]  # of member 0 by the names "0.…", and so on

    def members(self, build: Callable[[], Network], device: str | torch.device) -> list[Network]:
        """The members in eval mode, each built anew and given its weights.

        They lie in memory as ``recognizers.fit.optimize`` left them, so that they read the same.
        """
        members = []
        for index in range(self.description["members"]):
            member, prefix = build(), f"{index}."
            member.load_state_dict(
                {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}
            )
            member.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            members.append(member.eval())
        return members


def write_reader(
    folder: Path, kind: str, members: Sequence[nn.Module], description: Mapping[str, Any]
) -> None:
    """Write a reader's members, and beside kind and number what else tells how to build them."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{index}.{name}": values.detach().cpu().contiguous()
        for index, member in enumerate(members)
        for name, values in member.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors")
    described = {"kind": kind, "members": len(members), **description}
    text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / "config.json", text)


def read_band(folder: Path) -> tuple[float, float]:
    """Which confidences a reader keeps, without loading it; all, where its description has none.

    Raises:
        BundleError: the description cannot be read.
    """
    path = folder / "config.json"
    try:
        low, high = json.loads(path.read_text(encoding="utf-8")).get("band", EVERYTHING)
        return float(low), float(high)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{path}: expected the description of a reader, got: {error}; train the bundle again."
        ) from error


@contextmanager
def opened_reader(folder: str | Path, kinds: Collection[str]) -> Iterator[StoredReader]:
    """Open a reader's folder; what goes wrong while it is made of its parts is told as one error.

    Args:
        folder: ``reader/`` of a bundle.
        kinds: those that the caller can make.

    Raises:
        BundleError: it cannot be read, is of another kind, or its parts do not fit each other.
    """
    folder = Path(folder)
    try:
        description = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if description["kind"] not in kinds:
            raise ValueError(f"the kind {description['kind']!r} instead of {' or '.join(kinds)}")
        yield StoredReader(description, load_file(folder / "model.safetensors"))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise BundleError(
            f"{folder}: expected a reader's config.json and model.safetensors that fit each "
            f"other, got: {error}. Train the bundle again."
        ) from error
