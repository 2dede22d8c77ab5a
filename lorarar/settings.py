"""What a run was started with, kept beside its checkpoints: a run that goes on must have the same settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from lorarar.writing import atomic_write


def keep_settings(settings: Mapping[str, Any], folder: Path, advice: str) -> None:
    """Write ``folder/config.json``, or compare with it.

    Args:
        settings: plain data; what JSON cannot hold is kept as text.
        advice: what to do about a difference, the end of the message.

    Raises:
        ValueError: the folder holds a run of other settings; the message shows both values of each that differs.
    """
    path, wanted = folder / "config.json", json.loads(json.dumps(settings, default=str))
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        changed = {k: (found.get(k), wanted.get(k)) for k in found | wanted if found.get(k) != wanted.get(k)}
        if changed:
            raise ValueError(f"{folder} holds a run of another configuration (there, here): {changed}: {advice}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def stated(settings: Any) -> Any:
    """A dataclass as a mapping of the fields that differ from their defaults, nested too; other values as they are.

    What is named by a hash of this keeps its name when a field with a default is added.
    """
    if not is_dataclass(settings):
        return settings
    values = {field: getattr(settings, field.name) for field in fields(settings)}
    return {field.name: stated(value) for field, value in values.items() if value != _default(field)}


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
