"""What all jobs share on the command line: options, settings, locations and errors."""

import argparse
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import torch

from augment.bundle import Registry
from augment.config import merged, to_mapping, with_overrides
from augment.errors import AugmentError, ConfigError
from augment.feature_networks import with_path

__all__ = [
    "absolute_location",
    "absolute_paths",
    "absolute_uri",
    "annotate_bundle",
    "at_least",
    "choose_device",
    "describe_device",
    "find_bundle",
    "in_submitted_job",
    "job_parser",
    "local_path",
    "pin_version",
    "print_plan",
    "read_settings",
    "run_job",
]

T = TypeVar("T")

# Ray sets this variable for the entrypoint of `ray job submit` and for nothing else.
_RAY_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"

_PLAIN_SCHEMES = ("digits:", "grabcut:", "lfwpeople:", "olivetti:")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, except those that say nothing, and keeps the lines of what stands below."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        says_nothing = action.default in (None, []) or action.default is False  # 0 says something
        if says_nothing or action.required:
            return action.help
        return super()._get_help_string(action)


def job_parser(
    name: str,
    description: str,
    *,
    out: str | None,
    config: str,
    out_help: str = "where results go",
    more: str | None = None,
    seed: int = 0,
) -> argparse.ArgumentParser:
    """Make a parser with the options that every job has.

    Args:
        name: the job, as in ``python -m jobs.NAME``.
        description: one sentence for the help.
        out: default of ``--out``; None makes the option required.
        config: what ``--config`` may name, for the help; its default is the first word.
        out_help: what ``--out`` is.
        more: lines that the help ends with.
        seed: default of ``--seed``.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m jobs.{name}",
        description=description,
        epilog=more,
        formatter_class=_HelpFormatter,
    )
    common = parser.add_argument_group("options of every job")
    common.add_argument("--config", metavar="CONFIG", help=config)
    common.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=VALUE",
        dest="overrides",
        help="change one setting; --dry-run lists them all; may be repeated",
    )
    common.add_argument("--seed", type=at_least(0), default=seed, help="seed of all random draws")
    common.add_argument("--out", required=out is None, default=out, help=out_help)
    common.add_argument(
        "--dry-run", action="store_true", help="check options, print the settings and stop"
    )
    return parser


def at_least(least: int) -> Callable[[str], int]:
    """Return an argparse type: an integer not below ``least``."""

    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected an integer, got {text!r}") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    return integer


def read_settings(presets: Mapping[str, T], config: str | None, overrides: Sequence[str] = ()) -> T:
    """Resolve ``--config`` and ``--set``.

    Args:
        presets: settings by name; the first is the default.
        config: name of a preset, or a JSON file with some of the default's settings changed.
        overrides: ``a.b=value`` strings.

    Raises:
        ConfigError: no such preset or file, or a setting is unknown or unfit.
    """
    default = next(iter(presets.values()))
    if config is None or config in presets:
        settings = presets[config] if config else default
    else:
        path = Path(config)
        if not path.is_file():
            raise ConfigError(
                f"--config must be {', '.join(presets)} or a JSON file; got {config!r}."
            )
        try:
            mapping = json.loads(path.read_text(encoding="utf-8-sig"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ConfigError(f"{path}: expected JSON in UTF-8, got {error}.") from error
        settings = merged(default, mapping)
    return with_overrides(settings, overrides)


def print_plan(job: str, arguments: argparse.Namespace, settings: Any = None) -> None:
    """Print as JSON what a job would do; the answer to ``--dry-run``."""
    plan = {key: value for key, value in vars(arguments).items() if key != "overrides"}
    if settings is not None:
        plan["settings"] = to_mapping(settings)
    print(json.dumps({"job": job, **plan}, indent=2, ensure_ascii=False, default=str))


def in_submitted_job() -> bool:
    """Whether this process is the entrypoint of a ``ray job submit``."""
    return _RAY_JOB_VARIABLE in os.environ


def absolute_location(location: str, option: str) -> str:
    """Make a path absolute; URLs such as s3://bucket/x stay.

    Raises:
        ConfigError: a relative path inside a submitted Ray job.
    """
    if "://" in location:
        return location
    return _absolute_path(location, option, "an absolute path or a URL")


def local_path(location: str, option: str) -> Path:
    """Make a path absolute that must be on this machine.

    Raises:
        ConfigError: a URL, or a relative path inside a submitted Ray job.
    """
    if "://" in location:
        raise ConfigError(
            f"{option} must be a path on this machine, got the URL {location!r}; give a folder "
            "here, such as one where remote storage is mounted."
        )
    return Path(_absolute_path(location, option, "an absolute path"))


def _absolute_path(location: str, option: str, expected: str) -> str:
    if os.path.isabs(location):
        return location
    if in_submitted_job():
        raise ConfigError(
            f"{option} must be {expected} in a submitted Ray job, got {location!r}: the job runs "
            "in a temporary copy of its working directory, on a machine of the cluster, where "
            "relative files are missing or thrown away afterwards."
        )
    return os.path.abspath(location)


def absolute_uri(uri: str, option: str = "--data") -> str:
    """Make the path inside a data URI absolute (``folder:images`` to ``folder:/…/images``).

    Raises:
        ConfigError: a relative path inside a submitted Ray job, or no scheme at all.
    """
    if uri in _PLAIN_SCHEMES:
        return uri
    scheme, sign, path = uri.partition(":")
    if not sign or not path:
        raise ConfigError(
            f"{option} must be a data URI such as folder:DIR, zip:FILE or csv:FILE; got {uri!r}."
        )
    return f"{scheme}:{absolute_location(path, option)}"


def absolute_paths(config: T) -> T:
    """Make the paths in a generator's settings absolute: workers start in folders of their own.

    They are in the names of feature networks, in ``face_masks`` and in ``glyphs.font_files``.

    Raises:
        ConfigError: a relative path inside a submitted Ray job.
    """
    settings = to_mapping(config)
    model = settings["model"]

    def absolute(name: str) -> str:
        return with_path(name, lambda path: absolute_location(path, f"the path in {name}"))

    networks: dict[str, Any] = {
        key: absolute(model[key]) for key in ("comparator", "network") if model.get(key)
    }
    if model.get("perceptual"):
        networks["perceptual"] = {"comparator": absolute(model["perceptual"]["comparator"])}
    changes: dict[str, Any] = {"model": networks}
    if "face_masks" in settings:
        changes["face_masks"] = absolute_uri(settings["face_masks"], "face_masks")
    if "glyphs" in settings:
        files = settings["glyphs"]["font_files"]
        named = [absolute_location(file, "glyphs.font_files") for file in files]
        changes["glyphs"] = {"font_files": named}
    return merged(config, changes)


def choose_device(name: str, option: str = "device") -> str:
    """The device to work on: the one named, or for ``auto`` a GPU where there is one.

    Raises:
        ConfigError: cuda without a GPU.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"{option} {name} needs a GPU that torch can use, got none; use cpu.")
    return name


def describe_device(device: str) -> str:
    """What a device is, for a report."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return f"{os.cpu_count()} CPU cores"


def find_bundle(location: str) -> Path:
    """Local folder of the bundle at REGISTRY/NAME, REGISTRY/NAME/VERSION, or of a bare bundle.

    Raises:
        BundleNotFoundError: lists what is there.
        ConfigError: a relative path inside a submitted Ray job.
    """
    location = absolute_location(location, "BUNDLE").rstrip("/")
    if (Path(location) / "config.json").is_file():
        return Path(location)
    registry, reference = _in_registry(location)
    return registry.fetch(reference)


def pin_version(location: str) -> str:
    """The same location with the version that is the newest now, where it names none.

    Raises:
        BundleNotFoundError, ConfigError: as of ``find_bundle``.
    """
    location = absolute_location(location, "BUNDLE").rstrip("/")
    if (Path(location) / "config.json").is_file():
        return location
    registry, reference = _in_registry(location)
    name, number = registry.resolve(reference)
    return f"{registry.root}/{name}/{number}"


def annotate_bundle(location: str, notes: Mapping[str, str]) -> None:
    """Write texts beside the bundle that ``find_bundle`` finds there.

    Args:
        location: as for ``find_bundle``.
        notes: see ``Registry.annotate``.

    Raises:
        BundleNotFoundError, ConfigError: as of ``find_bundle``.
        OSError: the place cannot be written to.
    """
    location = absolute_location(location, "BUNDLE").rstrip("/")
    if (Path(location) / "config.json").is_file():
        for name, text in notes.items():
            (Path(location) / name).write_text(text, encoding="utf-8")
        return
    registry, reference = _in_registry(location)
    registry.annotate(reference, notes)


def _in_registry(location: str) -> tuple[Registry, str]:
    """The registry of REGISTRY/NAME or REGISTRY/NAME/VERSION, and the name in it."""
    names = 2 if location.rpartition("/")[2].isdigit() else 1
    root, *reference = location.rsplit("/", names)
    return Registry(root), "/".join(reference)


def run_job(job: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run a job as a program: exit 2 with one line for bad input, 130 when interrupted.

    A file that cannot be read or written is told in one line too.

    What data it opens, and how these are split, is told once.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _telling_of_data():
            job(None)
    except AugmentError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise  # not of a file: a fault of ours, or of the network
        told = f"{error}; check the path, its permissions and the free space."
        print(f"error: {told}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


@contextmanager
def _telling_of_data() -> Iterator[None]:
    """Print what ``augment.data`` logs, each line once."""
    told = set[str]()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_told = message in told
        told.add(message)
        return not is_told

    logger, handler = logging.getLogger("labelmint.data"), logging.StreamHandler()
    handler.addFilter(is_new)
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """Treat SIGTERM like Ctrl-C, so that everything is put away."""
    raise KeyboardInterrupt
