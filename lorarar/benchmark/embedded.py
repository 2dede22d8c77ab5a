"""Embedded default as shipped in data/embedded: loaded once, each part checked against its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets import Concept, Pair, Split, load_concepts, load_splits
from lorarar.diffusion import Backbone, load_backbone
from lorarar.lora import LoRA
from lorarar.storage import EMBEDDED, checked
from lorarar.training import load_loras
from lorarar.worlds.stages import PairScorer, WorldClassifier, load_classifier


@dataclass(frozen=True)
class Embedded:
    """Base, attribute classifier, concepts, splits and the LoRAs of some splits."""

    backbone: Backbone
    classifier: WorldClassifier
    concepts: Mapping[str, Concept]
    splits: Mapping[str, Split]
    loras: Mapping[str, LoRA]

    def pairs(self, split: str) -> list[Pair]:
        """Return all pairs of a split, contents varying slowest."""
        return self.splits[split].pairs(self.concepts)

    def scorer(self, split: str, seeds: Sequence[int]) -> PairScorer:
        """Return the scorer of a split's pairs by their images."""
        return PairScorer(self.backbone, self.classifier, self.pairs(split), self.loras, seeds)


def load_embedded(splits: Sequence[str], folder: Path = EMBEDDED, name: str = "embedded") -> Embedded:
    """Load the shipped parts, with the LoRAs of the given splits, on the CPU, where the published numbers are from.

    Args:
        splits: Splits whose LoRAs are loaded.
        folder: Folder of the parts.
        name: Name of the splits in the folder's concepts.yaml.

    Raises:
        ArtefactError: A part is missing or differs from its card.
    """
    concepts = load_concepts([folder / "concepts.yaml"], folder / "images")
    members = load_splits(folder / "concepts.yaml", name)
    names = [name for split in splits for name in (*members[split].contents, *members[split].styles)]
    for name in names:
        checked(folder / "loras" / f"{name}.safetensors")
    return Embedded(
        load_backbone(checked(folder / "base"), device="cpu"),
        load_classifier(checked(folder / "classifier.safetensors")),
        concepts,
        members,
        load_loras(folder / "loras", names),
    )
