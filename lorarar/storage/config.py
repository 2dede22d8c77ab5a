"""Configurations: dataclasses filled from one YAML file and `key=value` overrides, checked strictly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lorarar.storage.old_names import find_old_names
from lorarar.storage.run_folder import ConfigError

Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["32-true", "bf16-mixed"]
C = TypeVar("C")


def load_config(kind: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Read a configuration.

    Args:
        kind: A dataclass, such as one of `lorarar.workflows.schemas`.
        path: The YAML file.
        overrides: `key=value`, with dots for nested keys.

    Raises:
        ConfigError: There is no file, a key is unknown, missing or an old name, or a value has the wrong type.
    """
    if not path.is_file():
        raise ConfigError(f"expected a configuration at {path}, found none: see configs/ for examples")
    wrong = [override for override in overrides if "=" not in override]
    if wrong:
        raise ConfigError(f"expected key=value, found {wrong[0]!r}: write {wrong[0]}=VALUE")
    try:
        loaded, given = OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides))
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{path}: expected YAML (and key=value overrides), could not read it: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(loaded, DictConfig):
        raise ConfigError(f"{path}: expected keys with values, found a list: see configs/ for examples")
    for old, new in [*find_old_names(loaded, kind.__name__), *find_old_names(given, kind.__name__)]:
        raise ConfigError(f"{path}: expected {new}, found its old name {old}: rename it")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), loaded, given)
        missing = OmegaConf.missing_keys(merged)
        if missing:
            raise ConfigError(f"{path}: expected values for {sorted(missing)}, found none: add them")
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]} (at {error.full_key})") from error
