"""Check of settings against a configuration's dataclass: every mistake at once, each with the key and its type."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import MISSING as UNSET
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lorarar.storage.locations import is_hub_id, missing_path, path_remedy
from lorarar.storage.old_names import find_old_names
from lorarar.storage.schema_keys import nested_schema
from lorarar.storage.setting_types import AtLeast, Existing, NameIn, leaves, marked, typed
from lorarar.storage.suggestions import did_you_mean, unknown_name

_LONGEST = 60  # characters of a wrong value in a message


def find_mistakes(schema: type, settings: Mapping[str, Any]) -> list[str]:
    """Return every mistake in settings as "expected .., found ..": old and unknown names, types, bounds, missing keys.

    Args:
        schema: The dataclass of the configuration.
        settings: Plain data, as it was read from YAML and `key=value`.
    """
    return list(_mistakes(schema, settings, "", dict(find_old_names(settings, schema.__name__))))


@dataclass(frozen=True)
class MissingInput:
    """A path of a configuration that does not exist.

    Attributes:
        key: Dotted name of its key.
        expected: What was expected there, with an article.
        path: The path.
    """

    key: str
    expected: str
    path: str | Path

    def __str__(self) -> str:
        return missing_path(f"{self.expected} for {self.key}", self.path)


def missing_inputs(config: Any, prefix: str = "") -> Iterator[MissingInput]:
    """Yield every path of a configuration that must exist and does not.

    Args:
        config: An instance of a configuration's dataclass.
        prefix: Dotted name of the key that holds it, with a dot at its end.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if is_dataclass(value):
            yield from missing_inputs(value, f"{name}.")
        for hint, path in leaves(hints[field.name], value):
            marks = [mark for mark in marked(hint)[1] if isinstance(mark, Existing)]
            if marks and not Path(path).exists() and not (marks[0].hub and is_hub_id(path)):
                yield MissingInput(name, typed(hint), path)


def check_inputs(config: Any, ignored: Collection[str] = ()) -> None:
    """Check that every path of a configuration that must exist does, before any work.

    Args:
        config: An instance of a configuration's dataclass.
        ignored: Keys that need not exist.

    Raises:
        FileNotFoundError: The message names every path that does not.
    """
    missing = [entry for entry in missing_inputs(config) if entry.key not in ignored]
    if missing:
        places = ", ".join(f"{entry.key} at {entry.path}" for entry in missing)
        remedies = "; ".join(dict.fromkeys(path_remedy(entry.path) for entry in missing))
        raise FileNotFoundError(f"expected {places}, found nothing there: {remedies}")


def _mistakes(schema: type, given: Mapping[str, Any], prefix: str, old: Mapping[str, str]) -> Iterator[str]:
    hints = get_type_hints(schema, include_extras=True)
    for key, value in given.items():
        name = f"{prefix}{key}"
        former = next((text for text in (name, f"{name}={value}") if text in old), None)
        if former:
            yield f"expected {old[former]}, found its old name {former}: rename it"
        elif key not in hints:
            yield _unknown_key(name, [f"{prefix}{valid}" for valid in hints])
        elif value != UNSET:
            yield from _value_mistakes(schema, hints[key], value, name, old)
    for field in fields(schema):
        name = f"{prefix}{field.name}"
        if _is_required(field) and given.get(field.name, UNSET) == UNSET and name not in old.values():
            yield f"expected {typed(hints[field.name])} for {name}, found no value"


def _value_mistakes(schema: type, hint: Any, value: Any, name: str, old: Mapping[str, str]) -> Iterator[str]:
    nested, listed = nested_schema(hint)
    if nested and not listed and isinstance(value, Mapping):
        yield from _mistakes(nested, value, f"{name}.", old)
    elif nested and listed and isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value):
        for index, entry in enumerate(value):
            yield from _mistakes(nested, entry, f"{name}[{index}].", old)
    elif not _accepts(schema, name.rpartition(".")[2], value):
        yield f"expected {typed(hint)} for {name}, found {_shown(value)}"
    else:
        for inner, number in leaves(hint, value):
            for mark in marked(inner)[1]:
                if isinstance(mark, AtLeast) and not mark.allows(float(number)):
                    yield f"expected {typed(inner)} for {name}, found {_shown(number)}"
                elif isinstance(mark, NameIn) and number not in mark.table:
                    yield unknown_name(f"{mark.table.noun} for {name}", str(number), mark.table)


@cache
def _scratch(schema: type) -> DictConfig:
    """Return a structured configuration on which values are tried; what it holds means nothing."""
    declared: DictConfig = OmegaConf.structured(schema)
    OmegaConf.set_readonly(declared, False)
    return declared


def _accepts(schema: type, key: str, value: Any) -> bool:
    """Tell whether OmegaConf takes a value for a key of a configuration."""
    try:
        OmegaConf.update(_scratch(schema), key, value)
    except OmegaConfBaseException:
        return False
    return True


def _unknown_key(name: str, valid: Sequence[str]) -> str:
    """Return the message for an unknown key, without the list of keys, which is long."""
    advice = did_you_mean(name, valid) or ": the command's --help lists the keys"
    return f"expected a key of the configuration, found {name!r}{advice}"


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}.."
