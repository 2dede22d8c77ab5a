"""Configuration files: those that are shipped, each with its command and its purpose, and copies of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lorarar.storage.atomic import check_target
from lorarar.storage.config import find_config, read_config
from lorarar.storage.locations import shipped_configs
from lorarar.storage.schema_keys import BELOW, config_keys
from lorarar.storage.text import write_text


@dataclass(frozen=True)
class ShippedConfig:
    """A configuration that comes with the package.

    Attributes:
        name: Name by which commands take it, such as "train/embedded".
        command: The command that it is for, such as "train" or "benchmark gates".
        text: First sentence of its header.
        path: The file.
    """

    name: str
    command: str
    text: str
    path: Path


def list_configs() -> list[ShippedConfig]:
    """Return every shipped configuration, sorted by name."""
    return [_described(name, path) for name, path in shipped_configs().items()]


def copy_config(name: str, output: Path, schema: type, *, force: bool = False) -> None:
    """Write a copy of a shipped configuration that ends with every further key, commented out, with its default.

    Args:
        name: Its name, such as "train/embedded", or a file.
        output: The file to write.
        schema: The dataclass of the configuration.
        force: Whether to replace an existing file.

    Raises:
        ConfigError: There is no configuration of this name.
        FormatError: The file cannot be written.
    """
    source = find_config(name)
    check_target(output, force)
    text = source.read_text(encoding="utf-8")
    further = _further_keys(schema, set(read_config(source)))
    note = ["", "# Further keys, with their defaults:", *further] if further else []
    write_text(output, "\n".join([text.rstrip(), *note, ""]))


def _described(name: str, path: Path) -> ShippedConfig:
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    calls = [found for line in header if (found := re.match(rf"lorarar (.+?) configs/{name}\.yaml", line))]
    start = next((number for number, line in enumerate(header) if line.startswith("lorarar ")), len(header))
    # A header may begin with its command; the sentence then follows.
    sentence = " ".join(header[:start] or header[start + 1 :]).partition(". ")[0].removesuffix(".")
    return ShippedConfig(name, calls[-1][1] if calls else "", f"{sentence}.", path)


def _further_keys(schema: type, given: set[str]) -> list[str]:
    """Return a commented line of YAML for every key that a file leaves at its default."""
    lines, mappings = [], {""}
    for key in config_keys(schema):
        outer, _, name = key.name.rpartition(".")
        if outer not in mappings or key.name in given or key.required:
            continue
        indent = "  " * key.name.count(".")
        is_mapping = key.default == BELOW
        mappings |= {key.name} if is_mapping else set()
        lines.append(f"# {indent}{name}:{'' if is_mapping else f' {key.default}'}  # {key.type}: {key.text}")
    return lines
