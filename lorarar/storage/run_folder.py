"""Run folder: the settings that a run was started with, kept in its folder, so that only the same run resumes there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from lorarar.storage.old_names import renamed_settings
from lorarar.storage.text import write_json

_FILE = "config.json"
_ADVICE = "name another folder with runs=FOLDER, or delete this one"
# Where a run computes and how it logs may change between its start and its resumption.
_FREE = ("device", "wandb", "engine", "workers")


class ConfigError(ValueError):
    """A configuration cannot be used; the message names the file, the key and what was expected."""


def claim_run(
    folder: Path,
    settings: Any,
    advice: str = _ADVICE,
    *,
    ignored: Collection[str] = (),
    plugins: Mapping[str, str] | None = None,
) -> None:
    """Write `folder/config.json`, or check that the folder holds a run of the same settings.

    Args:
        folder: Folder of the run, created if missing.
        settings: A dataclass or a mapping; what JSON cannot hold is kept as text. Where the run computes and how it
            logs is left out: that may change.
        advice: What to do about a difference, the end of the message.
        ignored: Further keys that may differ between the start of the run and its resumption.
        plugins: Plugins that have a part in the run, each with its SHA-256.

    Raises:
        ConfigError: The folder holds a run of other settings; the message shows both values of each difference.
    """
    current = check_run(folder, settings, advice, ignored=ignored, plugins=plugins)
    if not (folder / _FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _FILE, current)


def check_run(
    folder: Path,
    settings: Any,
    advice: str = _ADVICE,
    *,
    ignored: Collection[str] = (),
    plugins: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Check that a folder holds no run of other settings, and return the settings that `claim_run` would write.

    Args:
        folder, settings, advice, ignored, plugins: As for `claim_run`.

    Raises:
        ConfigError: As for `claim_run`.
    """
    named = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else dict(settings)
    kept = {key: value for key, value in named.items() if key not in (*_FREE, *ignored)}
    kept |= {"plugins": dict(plugins)} if plugins else {}
    path = folder / _FILE
    current: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    if path.exists():
        earlier = renamed_settings(json.loads(path.read_text(encoding="utf-8")), type(settings).__name__)
        earlier = {key: value for key, value in _completed(earlier, settings).items() if key in current | earlier}
        changed = describe_differences(earlier, current)
        if changed:
            raise ConfigError(f"{folder} holds a run of another configuration: {changed}: {advice}")
    return current


def stated(settings: Any) -> Any:
    """Return a dataclass as a mapping of the fields that differ from their defaults, nested too.

    What is named by a digest of this keeps its name when a field with a default is added. Other values are returned as
    they are.
    """
    if not is_dataclass(settings):
        return settings
    values = {field: getattr(settings, field.name) for field in fields(settings)}
    return {field.name: stated(value) for field, value in values.items() if value != _default(field)}


def describe_differences(earlier: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Return how two mappings of settings differ, such as "recipe.steps: 3 there, 4 here"; "" where they are equal.

    Args:
        earlier: What is there; a key that one of the two lacks counts as none.
        current: What is asked for.
    """
    return "; ".join(_differences(earlier, current))


def _differences(earlier: Mapping[str, Any], current: Mapping[str, Any], parent: str = "") -> Iterator[str]:
    for key in {**earlier, **current}:
        there, here = earlier.get(key), current.get(key)
        if there == here:
            continue
        nested = all(value is None or isinstance(value, Mapping) for value in (there, here))
        inner = list(_differences(there or {}, here or {}, f"{parent}{key}.")) if nested else []
        yield from inner or [f"{parent}{key}: {_value_text(there)} there, {_value_text(here)} here"]


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) and value else json.dumps(value)


def _completed(earlier: Mapping[str, Any], settings: Any) -> dict[str, Any]:
    """Return the kept settings of a dataclass, nested too, with the defaults of fields that it did not have then."""
    completed = dict(earlier)
    for field in fields(settings) if is_dataclass(settings) else ():
        value, default = getattr(settings, field.name), _default(field)
        if field.name not in earlier and default is not MISSING:
            plain = asdict(default) if is_dataclass(default) and not isinstance(default, type) else default
            completed[field.name] = json.loads(json.dumps(plain, default=str))
        elif is_dataclass(value) and isinstance(earlier.get(field.name), Mapping):
            completed[field.name] = _completed(earlier[field.name], value)
    return completed


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
