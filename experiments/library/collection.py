"""The LoRAs of train.py and the shipped LoRAs of the same concepts, with their ways, for the other scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorarar import load
from lorarar.library.attribution import layer_products
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


def exact_cosines(loras: Sequence[LoRA], *, layers_alike: bool = False) -> NDArray[np.float64]:
    """Return the cosines of all pairs of LoRAs by exact inner products; with layers alike, each has length 1."""
    grams, dots, energies = layer_products(loras[0], loras[1:])
    products = np.concatenate([dots[:, None, :], grams], axis=1)
    first = np.concatenate([energies[:, None], dots], axis=1)
    products = np.concatenate([first[:, :, None], products], axis=2)
    if layers_alike:
        lengths = np.sqrt(np.maximum(np.einsum("lii->li", products), 1e-20))
        return (products / lengths[:, :, None] / lengths[:, None, :]).mean(0)
    total = products.sum(0)
    lengths = np.sqrt(np.maximum(np.diag(total), 1e-20))
    return total / np.outer(lengths, lengths)
