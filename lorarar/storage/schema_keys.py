"""Keys of a configuration as data: name, type in plain words, default and documentation of each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from lorarar.storage.locations import package_path
from lorarar.storage.setting_types import describe_type, without_none

REQUIRED = "required"
BELOW = "as below"  # of a mapping whose keys follow
_ROOT = package_path().parent


@dataclass(frozen=True)
class ConfigKey:
    """A key of a configuration.

    Attributes:
        name: Dotted name; `methods[].name` is a key of every entry of the list `methods`.
        type: Type in plain words; "mapping" for a key with further keys below it.
        default: Default as YAML, "as below" for a mapping whose keys follow, or "required".
        text: Documentation, from the attributes in the docstring of the dataclass.
    """

    name: str
    type: str
    default: str
    text: str

    @property
    def required(self) -> bool:
        """Whether the key has no default."""
        return self.default == REQUIRED


def config_keys(schema: type) -> list[ConfigKey]:
    """Return every key of a configuration, nested ones too, in the order of the fields.

    Args:
        schema: The dataclass of the configuration.
    """
    return list(_keys(schema, "", MISSING))


def nested_schema(hint: Any) -> tuple[type | None, bool]:
    """Return the dataclass that a field holds or lists, or None, and whether it is a list of them."""
    inner = without_none(hint)
    if isinstance(inner, type) and is_dataclass(inner):
        return inner, False
    entry = get_args(inner)[0] if get_origin(inner) in (list, tuple) else None
    return (entry, True) if isinstance(entry, type) and is_dataclass(entry) else (None, False)


def attribute_texts(schema: type) -> dict[str, str]:
    """Return the documentation of a dataclass's fields, from the `Attributes:` of its docstring and of its bases'."""
    texts: dict[str, str] = {}
    for kind in reversed(schema.__mro__):
        section = (inspect.cleandoc(kind.__doc__ or "")).partition("Attributes:\n")[2]
        for name, text in re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", section, re.MULTILINE):
            texts[name] = " ".join(text.split())
    return texts


def _keys(schema: type, prefix: str, values: Any) -> Iterator[ConfigKey]:
    """Yield the keys below a prefix; `values` is the instance that holds their defaults, or MISSING."""
    hints, texts = get_type_hints(schema, include_extras=True), attribute_texts(schema)
    for field in fields(schema):
        default = _default(field) if values is MISSING else getattr(values, field.name)
        nested, listed = nested_schema(hints[field.name])
        name = f"{prefix}{field.name}"
        shown = BELOW if is_dataclass(default) else _yaml(default)
        yield ConfigKey(name, describe_type(hints[field.name]), shown, texts.get(field.name, ""))
        if nested:
            inner = default if is_dataclass(default) and not listed else MISSING
            yield from _keys(nested, f"{name}[]." if listed else f"{name}.", inner)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _yaml(value: Any) -> str:
    """Return a default on one line, as it would stand in a configuration."""
    if value is MISSING:
        return REQUIRED
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_yaml(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, Path) and value.is_relative_to(_ROOT):
        value = value.relative_to(_ROOT)
    return str(value) or '""'
