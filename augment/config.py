"""Frozen dataclasses as configuration: load, override, save, compare.

A configuration is a frozen dataclass whose fields are plain values or further frozen
dataclasses. It is read from mappings (JSON) and from ``section.field=value`` strings.
Unknown keys are errors that list the valid ones; a value of the wrong type is an error
that names the field. Ranges are checked by each dataclass in ``__post_init__``.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from augment.errors import ConfigError

__all__ = ["config_digest", "from_mapping", "merged", "to_mapping", "with_overrides"]

T = TypeVar("T")


def to_mapping(config: Any) -> dict[str, Any]:
    """Return a configuration as nested plain dicts, ready for JSON (tuples become lists)."""
    mapping: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return mapping


def from_mapping(kind: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Build a configuration of class ``kind`` from nested mappings.

    Args:
        kind: a frozen dataclass.
        mapping: field names to values; missing fields keep their defaults.
        where: dotted path of the enclosing section, for error messages.

    Raises:
        ConfigError: unknown or missing key, wrong type, or a range refused by ``__post_init__``.
    """
    if not isinstance(mapping, Mapping):
        section = where.removesuffix(".") or kind.__name__
        raise ConfigError(f"expected a section for {section}, got {mapping!r}.")
    hints = get_type_hints(kind)
    valid = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    for key in mapping:
        if key not in valid:
            raise ConfigError(
                f"unknown setting {where}{key}; valid settings here: {', '.join(valid)}."
            )
    for name, field in valid.items():
        if name not in mapping and field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"the setting {where}{name} is missing; write it.")
    values = {key: _convert(hints[key], value, f"{where}{key}") for key, value in mapping.items()}
    return kind(**values)


def merged(config: T, changes: Any, where: str = "") -> T:
    """Return ``config`` with settings changed; each section keeps its class.

    Args:
        config: a frozen dataclass.
        changes: field names to values, sections within as mappings; what is missing stays.
        where: dotted path of the enclosing section, for error messages.

    Raises:
        ConfigError: unknown key, wrong type, or a range refused by ``__post_init__``.
    """
    if not isinstance(changes, Mapping):
        section = where.removesuffix(".") or "the settings"
        raise ConfigError(f"expected a section for {section}, got {changes!r}.")
    present: dict[str, Any] = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)  # type: ignore[arg-type]
    }
    hints = get_type_hints(type(config))
    values = {}
    for key, change in changes.items():
        path = f"{where}{key}"
        if key not in present:
            raise ConfigError(f"unknown setting {path}; valid settings here: {', '.join(present)}.")
        if dataclasses.is_dataclass(present[key]) and change is not None:  # None: taken out
            values[key] = merged(present[key], change, f"{path}.")
        elif isinstance(present[key], Mapping) and isinstance(change, Mapping):
            values[key] = _merged_entries(hints[key], present[key], change, path)
        else:
            values[key] = _convert(hints[key], change, path)
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def _merged_entries(
    hint: Any, present: Mapping[str, Any], changes: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The entries of a dict field with some changed or added."""
    kind = get_args(hint)[1]
    entries = dict(present)
    for key, change in changes.items():
        if dataclasses.is_dataclass(entries.get(key)):
            entries[key] = merged(entries[key], change, f"{where}.{key}.")
        else:
            entries[key] = change if kind is Any else _convert(kind, change, f"{where}.{key}")
    return entries


def with_overrides(config: T, assignments: Iterable[str]) -> T:
    """Return ``config`` with ``section.field=value`` strings applied, as ``--set`` gives them.

    Values are read as JSON where they parse as JSON, else as text.

    Raises:
        ConfigError: a string without ``=``, an unknown key or an unfit value.
    """
    mapping = to_mapping(config)
    for assignment in assignments:
        path, sign, text = assignment.partition("=")
        if not sign:
            raise ConfigError(f"expected section.field=value, got {assignment!r}.")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *sections, field = path.strip().split(".")
        target = mapping
        for depth, section in enumerate(sections):
            if not isinstance(target.get(section), dict):
                prefix = ".".join(sections[: depth + 1])
                raise ConfigError(
                    f"unknown section {prefix} in {assignment!r}; "
                    f"valid settings here: {', '.join(target)}."
                )
            target = target[section]
        if field not in target:
            raise ConfigError(f"unknown setting {path}; valid settings here: {', '.join(target)}.")
        target[field] = value
    return merged(config, mapping)


def config_digest(config: Any) -> str:
    """SHA-256 of the configuration as canonical JSON, in hexadecimal."""
    text = json.dumps(to_mapping(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check ``value`` against a field's type; lists become tuples, ints may serve as floats."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_mapping(hint, value, f"{where}.")  # type: ignore[arg-type]
    if origin is Literal:
        if value not in get_args(hint):
            choices = ", ".join(map(str, get_args(hint)))
            raise ConfigError(f"{where} must be one of {choices}; got {value!r}.")
        return value
    if origin in (Union, UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        return _convert(next(a for a in get_args(hint) if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list; got {value!r}.")
        kinds = get_args(hint)
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        if len(kinds) != len(value):
            raise ConfigError(f"{where} must have {len(kinds)} entries; got {len(value)}.")
        return tuple(
            _convert(k, v, f"{where} {number}" if dataclasses.is_dataclass(k) else where)
            for number, (k, v) in enumerate(zip(kinds, value, strict=True), start=1)
        )
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a section; got {value!r}.")
        kind = get_args(hint)[1]
        return {
            k: v if kind is Any else _convert(kind, v, f"{where}.{k}") for k, v in value.items()
        }
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (
        not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool)
    ):
        raise ConfigError(f"{where} must be {hint.__name__}; got {value!r}.")
    return value
