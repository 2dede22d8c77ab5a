"""Detection of a LoRA's family from its layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from lorarar.lora.families.table import FAMILIES, Family
from lorarar.lora.families.unet import UNetShape
from lorarar.lora.lora import Layer, LoRA, is_text_encoder, label

_TRANSFORMER_BLOCK = re.compile(r".*?transformer_blocks\.[^.]*(?=\.)")


def find_families(layers: Mapping[str, Layer | tuple[int, ...]]) -> list[Family]:
    """Return the families whose models contain all these layers.

    Args:
        layers: Layer path -> delta, or its shape; () for an unknown shape.
    """
    shapes = {path: layer if isinstance(layer, tuple) else layer.shape for path, layer in layers.items()}
    return [family for family in FAMILIES.values() if shapes and _fits(family, shapes)]


def detect_family(layers: Mapping[str, Layer | tuple[int, ...]], header: Mapping[str, str] | None = None) -> str:
    """Return the key of the family whose model contains all these layers.

    Args:
        layers: Layer path -> delta, or its shape; () for an unknown shape.
        header: Metadata of the file, which decides between several matching families.

    Returns:
        A key of `FAMILIES`; "" if no family matches, or if several match and the header does not decide.
    """
    return choose_family(find_families(layers), header or {})


def choose_family(matching: Sequence[Family], header: Mapping[str, str]) -> str:
    """Return the key of the likeliest of several matching families, "" if the header does not decide.

    Args:
        matching: Families whose models contain all layers of the file.
        header: Metadata of the file.
    """
    # A family with a `whole` shape matches only if all its blocks are there. A larger model also matches these layers,
    # but a LoRA for it would hardly cover exactly the blocks of the smaller one.
    candidates = [f for f in matching if isinstance(f.shape, UNetShape) and f.shape.whole] or list(matching)
    if len(candidates) > 1:
        candidates = [family for family in candidates if _named(family, header)]
    return candidates[0].key if len(candidates) == 1 else ""


def check_same_family(loras: Sequence[LoRA]) -> None:
    """Check that one family contains the layers of all LoRAs. A LoRA that matches no family is compatible with all.

    Raises:
        ValueError: The LoRAs have no family in common. The message lists each LoRA with its families.
    """
    candidates = {label(lora, index): _candidates(lora) for index, lora in enumerate(loras)}
    candidates = {name: keys for name, keys in candidates.items() if keys}
    if candidates and not set.intersection(*candidates.values()):
        listed = ", ".join(f"{name} ({_labels(keys)})" for name, keys in candidates.items())
        raise ValueError(f"the LoRAs are for different base models: {listed}: merge LoRAs for one base model")


def _labels(keys: Iterable[str]) -> str:
    return " or ".join(FAMILIES[key].label for key in sorted(keys))


def _candidates(lora: LoRA) -> set[str]:
    if lora.family in FAMILIES:
        return {lora.family}
    return {family.key for family in find_families(lora.layers)}


def _fits(family: Family, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    if not all(family.shape.admits(path, shape) for path, shape in shapes.items()):
        return False
    if not isinstance(family.shape, UNetShape) or not family.shape.whole:
        return True
    blocks = {_transformer_block(path) for path in shapes if not is_text_encoder(path)} - {None}
    return blocks == family.shape.transformer_blocks()


def _transformer_block(path: str) -> str | None:
    """Return the path of the transformer block that contains a layer, None for a layer outside such blocks."""
    block = _TRANSFORMER_BLOCK.match(path)
    return block and block[0]


def _named(family: Family, header: Mapping[str, str]) -> bool:
    version = header.get("ss_base_model_version", "")
    architecture = header.get("modelspec.architecture", "").partition("/")[0]
    return version.removesuffix("_v") == family.base_model_version != "" or architecture == family.architecture
