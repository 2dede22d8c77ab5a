"""The LoRAs of train.py and the shipped LoRAs of the same concepts, with their ways, for the other scripts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lorarar import load
from lorarar.lora import LoRA

HERE, LORAS, SHIPPED = Path(__file__).parent, Path("runs/library/loras"), Path("data/embedded/loras")


@dataclass(frozen=True)
class Member:
    """A LoRA of the collection: its way of training, such as "own", its copy and its concept, such as test_style_03."""

    lora: LoRA
    way: str
    copy: int
    concept: str


def collection(kind: str = "style") -> list[Member]:
    """Return the LoRAs of a kind, by way, concept and copy; those of the shipped zoo are a way too."""
    members = []
    for path in sorted(LORAS.glob(f"*_{kind}_*.safetensors")):
        label, _, concept = path.stem.partition("_")
        members.append(Member(load(path), label[:-1], int(label[-1]), concept))
    concepts = {member.concept for member in members}
    members += [Member(load(SHIPPED / f"{concept}.safetensors"), "shipped", 0, concept) for concept in concepts]
    return sorted(members, key=lambda member: (member.way, member.concept, member.copy))


def shipped() -> list[LoRA]:
    """Return the LoRAs of the embedded default."""
    return [replace(load(path), name=path.stem) for path in sorted(SHIPPED.glob("*.safetensors"))]
