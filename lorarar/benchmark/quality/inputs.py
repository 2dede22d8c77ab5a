"""Inputs of the benchmark: base, concepts, splits and LoRAs, loaded once and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lorarar.benchmark.quality.config import QualityConfig
from lorarar.benchmark.quality.crossing import by_concept, crossed_sizes
from lorarar.benchmark.quality.rows import TableRow, read_rows
from lorarar.datasets import Concept, Pair, Split, load_concepts, load_splits
from lorarar.diffusion import Backbone, Sampling, load_backbone
from lorarar.lora import LoRA
from lorarar.storage import ArtefactError, ConfigError, card_path, checked, read_card, sha256
from lorarar.training import load_loras
from lorarar.worlds.stages import WorldClassifier, load_classifier


@dataclass(frozen=True)
class QualityInputs:
    """Everything that the benchmark's methods and scores use.

    Attributes:
        rows: The rows of the table, checked.
        hashes: SHA-256 of each concept's LoRA file.
        recipes: Name of the recipe of each LoRA, from its card; "" where it has none.
    """

    config: QualityConfig
    rows: Sequence[TableRow]
    backbone: Backbone
    classifier: WorldClassifier | None
    concepts: Mapping[str, Concept]
    splits: Mapping[str, Split]
    loras: Mapping[str, LoRA]
    hashes: Mapping[str, str]
    recipes: Mapping[str, str]

    @property
    def sampling(self) -> Sampling:
        """How images are sampled."""
        return Sampling(self.config.steps, self.config.guidance)

    def draw(self, sample: Callable[[Sequence[int]], Tensor], seeds: Sequence[int]) -> Tensor:
        """Return the images of some seeds along the fourth dimension from the end, sampled at once if memory allows.

        Args:
            sample: seeds -> their images (..., seeds, 3, height, width).
            seeds: k seeds.
        """
        if not self.config.low_memory:
            return sample(seeds)
        return torch.cat([sample([seed]) for seed in seeds], dim=-4)

    def pair_loras(self, pair: Pair) -> tuple[LoRA, LoRA]:
        """Return the LoRAs of a pair: content, style."""
        return self.loras[pair.content.name], self.loras[pair.style.name]

    def next_pair(self, pair: Pair) -> Pair:
        """Return the pair of the next content and the next style of the same split."""
        content, style = pair.content.name, pair.style.name
        split = next(split for split in self.splits.values() if content in split.contents)
        c, s = split.contents.index(content) + 1, split.styles.index(style) + 1
        names = split.contents[c % len(split.contents)], split.styles[s % len(split.styles)]
        return Pair(*(self.concepts[name] for name in names))

    def pairs(self) -> list[Pair]:
        """Return the pairs that are compared, contents varying slowest; several LoRAs of one concept come together."""
        return by_concept(self._diagonals(self.config.pairs, self.config.pairs_every))

    def tuning_pairs(self) -> list[Pair]:
        """Return the pairs that serve the choice of settings."""
        return self._diagonals(self.config.tuned_on, self.config.tuned_every)

    def _diagonals(self, name: str, every: int) -> list[Pair]:
        """Return every n-th pair of a split, along the diagonals."""
        split = self.splits[name]
        pairs, width = split.pairs(self.concepts), len(split.styles)
        return [pair for i, pair in enumerate(pairs) if (i // width + i % width) % every == 0]


def load_inputs(config: QualityConfig, *, complete: bool = True) -> QualityInputs:
    """Check the rows of a configuration and load what it names.

    Args:
        complete: Whether to load the LoRAs, which every concept must have; a plan does without.

    Raises:
        ArtefactError: A LoRA is missing or differs from its card.
        ConfigError: A row is not usable, a split is missing, one split serves both the choice of settings and the
            comparison, or the pairs are not crossed.
        ValueError: A concept is in two splits.
    """
    rows = read_rows(config)
    splits = load_splits(config.splits, config.split)
    used = (config.pairs, config.tuned_on) if any(row.trials for row in rows) else (config.pairs,)
    for name in used:
        if name not in splits or used.count(name) > 1:
            raise ConfigError(f"{config.splits}: expected two of the splits {sorted(splits)}, found {list(used)}")
    names = list(dict.fromkeys(name for split in used for name in (*splits[split].contents, *splits[split].styles)))
    paths = _lora_paths(config.loras, names) if complete else {}
    concepts = load_concepts(config.manifests, config.images, names)
    loras = load_loras(config.loras, list(paths), config.base)
    backbone = load_backbone(
        config.base,
        device=config.device,
        dtype=torch.float32,
        gradient_checkpointing=config.low_memory,
        offload=config.low_memory,
    )
    inputs = QualityInputs(
        config,
        rows,
        backbone,
        load_classifier(checked(config.classifier)) if config.classifier else None,
        concepts,
        splits,
        {name: lora.to(backbone.device) for name, lora in loras.items()},
        {name: sha256(path) for name, path in paths.items()},
        {
            name: str(read_card(path).get("recipe_name", "")) if card_path(path).exists() else ""
            for name, path in paths.items()
        },
    )
    crossed_sizes(inputs.pairs())  # or an error at once
    return inputs


def missing_loras(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the names without a LoRA in a folder."""
    return [name for name in names if not (folder / f"{name}.safetensors").is_file()]


def _lora_paths(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    if missing := missing_loras(folder, names):
        raise ArtefactError(
            f"expected a LoRA for each of {len(names)} concepts in {folder}, {len(missing)} lack one, first "
            f"{missing[:3]}: run `lorarar zoo`"
        )
    return {name: folder / f"{name}.safetensors" for name in names}
