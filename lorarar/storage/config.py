"""Configurations: dataclasses filled from one YAML file and `key=value` overrides, checked strictly."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lorarar.storage.config_check import find_mistakes
from lorarar.storage.locations import shipped_configs
from lorarar.storage.run_folder import ConfigError
from lorarar.storage.suggestions import nearest_path

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["fp32", "bf16", "fp16"]
C = TypeVar("C")
_EXPECTED = "expected a YAML file or the name of a shipped configuration"


def load_config(schema: type[C], source: str | Path, overrides: Sequence[str] = ()) -> C:
    """Read a configuration.

    Args:
        schema: A dataclass, such as one of `lorarar.workflows.schemas`.
        source: A YAML file, or the name of a shipped configuration, such as "train/embedded".
        overrides: `key=value`, with dots for nested keys. A value is YAML: `split=test`, `seeds=[0, 1]`,
            `split="yes: quoted"`, `classifier=null`.

    Raises:
        ConfigError: There is no file, a key is unknown, missing or an old name, or a value has the wrong type or is out
            of bounds. The message names every mistake.
    """
    path = find_config(source)
    settings = read_config(path, overrides)
    mistakes = find_mistakes(schema, settings)
    if mistakes:
        raise ConfigError(f"{path}: {join_mistakes(mistakes)}")
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), settings))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]} (at {error.full_key})") from error


def find_config(source: str | Path) -> Path:
    """Return the file of a configuration that is named by its path or by its shipped name.

    Raises:
        ConfigError: There is no such file or name; the message gives the nearest.
    """
    path, shipped = Path(source), shipped_configs()
    if path.is_file():
        return path
    if str(source) in shipped:
        return shipped[str(source)]
    if path.is_dir():
        raise ConfigError(f"{_EXPECTED}, found the folder {source}: name a file in it")
    near, name = nearest_path(path), str(source).removeprefix("configs/").removesuffix(".yaml")
    suggestions = [near] if near else get_close_matches(name, shipped, 1, 0.8)
    advice = f"did you mean {suggestions[0]}?" if suggestions else "`lorarar configs` lists the names"
    raise ConfigError(f"{_EXPECTED}, found no {source}: {advice}")


def read_config(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of a YAML file, with those of `key=value` in their place, as plain data.

    Raises:
        ConfigError: The file is not YAML with keys and values, or an override is not key=value.
    """
    try:
        loaded = OmegaConf.load(path)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: expected a YAML file, {_reason(error)}") from error
    is_text = isinstance(loaded, DictConfig) and len(loaded) == 1 and next(iter(loaded.values())) is None
    if not isinstance(loaded, DictConfig) or is_text:
        raise ConfigError(f"{path}: expected keys with values, found a list or text: see `lorarar configs copy`")
    settings = OmegaConf.merge(loaded, *map(_read_override, overrides))
    try:
        return OmegaConf.to_container(settings, resolve=True)  # type: ignore[return-value]  # a mapping, as loaded
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: expected the name of a key in ${{..}}: {str(error).splitlines()[0]}") from error


def join_mistakes(mistakes: Sequence[str]) -> str:
    """Return mistakes as the end of one message, numbered if there are several, with what to do about them."""
    numbered = [f"({number}) {mistake}" for number, mistake in enumerate(mistakes, 1)]
    text = mistakes[0] if len(mistakes) == 1 else f"{len(mistakes)} mistakes: {'; '.join(numbered)}"
    return (
        text if text.endswith(("?", "rename it", "lists the keys")) else f"{text}: correct the file, or give key=value"
    )


def _read_override(text: str) -> DictConfig:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"expected key=value, found {text!r}: write {key.strip('.') or 'KEY'}=VALUE")
    try:
        return OmegaConf.from_dotlist([text])
    except yaml.YAMLError as error:
        raise ConfigError(f"expected a YAML value for {key}, found {value!r}: quote text, {key}='\"..\"'") from error


def _reason(error: Exception) -> str:
    """Return what is wrong with a file, and what to do."""
    mark = getattr(error, "problem_mark", None)
    if mark:
        problem = getattr(error, "problem", "") or "a mistake"
        return f"found in line {mark.line + 1}: {problem}: correct the line"
    if isinstance(error, OSError):
        return f"could not read it ({error.strerror or error}): check its permissions"
    return "found other data: give the configuration"
