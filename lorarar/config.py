"""Configurations: dataclasses, filled from one YAML file and ``key=value`` words, checked strictly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lorarar.dreambooth import Recipe
from lorarar.generation import Sampling
from lorarar.imagining import SAMPLING
from lorarar.mergers.recipe import MergerRecipe
from lorarar.objective import Weights
from lorarar.settings import keep_settings
from lorarar.toyworld.stages import BaseRecipe, StageRecipe
from lorarar.tracking import WandbMode

Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["32-true", "bf16-mixed"]
C = TypeVar("C")


class ConfigError(ValueError):
    """A configuration cannot be used; the message names the file, the key and what was expected."""


@dataclass(frozen=True)
class ZooConfig:
    """``lorarar zoo`` and ``lorarar dreambooth``.

    Attributes:
        base: folder or hub id of the base model.
        manifests: YAML files with concepts.
        images: folder that holds a folder of images for each concept.
        splits: YAML file with splits, and split: which of its named splits; their concepts are trained.
        output: folder for the LoRAs.
        runs: folder for checkpoints.
        group: LoRAs trained at once.
        precision: Lightning's name; mixed keeps the frozen base in the short type.
        sampling: how `lorarar imagine` draws reference images.
    """

    base: str
    manifests: tuple[Path, ...]
    images: Path
    splits: Path
    split: str
    output: Path
    runs: Path
    recipe: Recipe
    group: int = 1
    device: Device = "cpu"
    precision: Precision = "32-true"
    gradient_checkpointing: bool = False
    checkpoint_every: int = 100
    concept: str | None = None
    sampling: Sampling = SAMPLING


@dataclass(frozen=True)
class TrainConfig:
    """``lorarar train``.

    Attributes:
        images: folder that holds a folder of images for each concept.
        loras: folder with the zoo's LoRAs.
        merger: which learned merger; ``options`` are its own settings.
        start: a trained merger's file to go on from, perhaps one for another base; its own settings then hold.
        pairs: pairs a step.
        images_per_step: images a step of each concept.
        monitor: the validated value that chooses the merger, and mode: whether less or more is better.
        validate_every: steps between validations.
        patience: validations without improvement before training stops.
        reader: the toy world's attribute reader, which then scores validation pairs by their images; or none.
        seeds: noise seeds of the images that the reader scores.
        imagined: training pairs that the base draws from their descriptions, for the term ``weights.described``; 0 for
            all of them; ``sampling`` says how.
        spread: how far the training LoRAs' strengths vary; see `lorarar.pairs.PairData`.
    """

    base: str
    manifests: tuple[Path, ...]
    images: Path
    splits: Path
    split: str
    loras: Path
    runs: Path
    merger: Literal["paper", "invariant", "constant"]
    recipe: MergerRecipe
    weights: Weights
    options: dict[str, Any] = field(default_factory=dict)
    start: Path | None = None
    pairs: int = 1
    images_per_step: int = 1
    imagined: int = 0
    sampling: Sampling = SAMPLING
    spread: float = 0.0
    seed: int = 0
    monitor: str = "validation/loss"
    mode: Literal["min", "max"] = "min"
    validate_every: int = 100
    patience: int = 10
    reader: Path | None = None
    seeds: tuple[int, ...] = (0,)
    wandb: WandbMode = "offline"
    device: Device = "cpu"
    precision: Precision = "32-true"
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class ToyworldConfig:
    """``lorarar toyworld``: the stages that make the embedded default, but for its zoo and its mergers.

    Attributes:
        output: folder for the artefacts, and runs: folder for checkpoints.
        reader: and autoencoder: None where a base takes over another's.
        devices: processes that train the base, one thread each on a CPU.
    """

    output: Path
    runs: Path
    base: BaseRecipe
    reader: StageRecipe | None = None
    autoencoder: StageRecipe | None = None
    devices: int = 1


def load_config(kind: type[C], path: Path, words: Sequence[str] = ()) -> C:
    """Read a configuration.

    Args:
        kind: one of this module's dataclasses.
        words: ``key=value`` overrides, with dots for nested keys.

    Raises:
        ConfigError: no file, an unknown or a missing key, or a value of the wrong type.
    """
    if not path.is_file():
        raise ConfigError(f"expected a configuration at {path}, found none: see configs/ for examples")
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise ConfigError(f"expected key=value, found {wrong[0]!r}: write {wrong[0]}=VALUE")
    try:
        loaded, overrides = OmegaConf.load(path), OmegaConf.from_dotlist(list(words))
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{path}: expected YAML (and key=value words), could not read it: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(loaded, DictConfig):
        raise ConfigError(f"{path}: expected keys with values, found a list: see configs/ for examples")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), loaded, overrides)
        missing = OmegaConf.missing_keys(merged)
        if missing:
            raise ConfigError(f"{path}: expected values for {sorted(missing)}, found none: add them")
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]} (at {error.full_key})") from error


def keep_config(config: Any, folder: Path) -> None:
    """Write ``folder/config.json``; a run that goes on must have the same configuration.

    Args:
        config: any configuration or recipe. Where it runs and how it logs may change.

    Raises:
        ConfigError: the folder holds another configuration.
    """
    kept = {key: value for key, value in asdict(config).items() if key not in ("device", "wandb")}
    try:
        keep_settings(kept, folder, "name another folder with runs=FOLDER, or delete this one")
    except ValueError as error:
        raise ConfigError(str(error)) from error
