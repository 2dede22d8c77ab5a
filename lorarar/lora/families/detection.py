"""How a LoRA's layers tell its family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorarar.lora.families.table import FAMILIES, Family
from lorarar.lora.families.unet import UNetShape
from lorarar.lora.lora import Layer, LoRA, is_text_encoder, label


def fitting(layers: Mapping[str, Layer | tuple[int, ...]]) -> list[Family]:
    """The families whose models have all these layers: path -> delta, or its shape, () where it is not known."""
    shapes = {path: layer if isinstance(layer, tuple) else layer.shape for path, layer in layers.items()}
    return [family for family in FAMILIES.values() if shapes and _fits(family, shapes)]


def detect(layers: Mapping[str, Layer | tuple[int, ...]], header: Mapping[str, str] | None = None) -> str:
    """The family whose model has all these layers.

    Args:
        layers: Layer path -> delta, or its shape; an empty shape stands for one that is not known.
        header: The file's metadata, asked only where the layers fit several families.

    Returns:
        A key of `FAMILIES`; "" where none fits, or several and the header does not say which.
    """
    return choose(fitting(layers), header or {})


def choose(found: Sequence[Family], header: Mapping[str, str]) -> str:
    """The key of the likeliest of several families that fit, "" where the header does not say which."""
    # A family that is told only when whole is rarer than what it is a part of, and a part is never all of it.
    candidates = [f for f in found if isinstance(f.shape, UNetShape) and f.shape.whole] or list(found)
    if len(candidates) > 1:
        candidates = [family for family in candidates if _named(family, header)]
    return candidates[0].key if len(candidates) == 1 else ""


def check_same_family(loras: Sequence[LoRA]) -> None:
    """Checks that some family has the layers of all LoRAs; one that fits no known family fits all.

    Raises:
        ValueError: There is none: with each LoRA's name and families, and what to do.
    """
    found = {label(lora, i): _candidates(lora) for i, lora in enumerate(loras)}
    known = {name: keys for name, keys in found.items() if keys}
    if known and not set.intersection(*known.values()):
        shown = ", ".join(f"{n} ({' or '.join(FAMILIES[k].label for k in sorted(keys))})" for n, keys in known.items())
        raise ValueError(f"the LoRAs are for different base models: {shown}: merge LoRAs of one base model")


def _candidates(lora: LoRA) -> set[str]:
    if lora.family in FAMILIES:
        return {lora.family}
    return {family.key for family in fitting(lora.layers)}


def _fits(family: Family, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    if not all(family.shape.admits(path, shape) for path, shape in shapes.items()):
        return False
    if not isinstance(family.shape, UNetShape) or not family.shape.whole:
        return True
    blocks = family.shape.transformer_blocks()
    found = {path[: path.index(".", path.index("transformer_blocks.") + 19)] for path in shapes if _in_block(path)}
    return found == blocks


def _in_block(path: str) -> bool:
    return "transformer_blocks." in path and not is_text_encoder(path)


def _named(family: Family, header: Mapping[str, str]) -> bool:
    version = header.get("ss_base_model_version", "")
    architecture = header.get("modelspec.architecture", "").partition("/")[0]
    return version.removesuffix("_v") == family.base_model_version != "" or architecture == family.architecture
