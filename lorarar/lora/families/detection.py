"""Detection of a LoRA's family from its layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from lorarar.lora.families.family import Family
from lorarar.lora.families.statements import Statement, stated_models
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.families.transformer import TransformerShape
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
    matching = find_families(layers)
    return choose_family(matching, header or {}, covered_families(matching, layers))


def covered_families(matching: Iterable[Family], layers: Collection[str]) -> set[str]:
    """Return the keys of those transformers whose blocks the layers cover."""
    shapes = {family.key: family.shape for family in matching}
    return {key for key, shape in shapes.items() if isinstance(shape, TransformerShape) and shape.covered_by(layers)}


def choose_family(matching: Sequence[Family], header: Mapping[str, str], covered: Collection[str] = ()) -> str:
    """Return the key of the likeliest of several matching families, "" if the header does not decide.

    Args:
        matching: Families whose models contain all layers of the file.
        header: Metadata of the file.
        covered: Those of the matching families whose blocks the file covers, which are likelier than larger models.

    Raises:
        ValueError: The header names a model of the table that cannot have the layers.
    """
    statements = stated_models(header)
    candidates = stated_families(matching, statements)
    if len(candidates) > 1 and not statements:
        candidates = [family for family in candidates if family.key in covered] or candidates
        keys = {family.key for family in candidates}
        candidates = [family for family in candidates if family.variant_of not in keys]
        # A family with a `whole` shape matches only if all its blocks are there. A larger model also matches these
        # layers, but a LoRA for it would hardly cover exactly the blocks of the smaller one.
        candidates = [f for f in candidates if isinstance(f.shape, UNetShape) and f.shape.whole] or candidates
    return candidates[0].key if len(candidates) == 1 else ""


def stated_families(matching: Sequence[Family], statements: Sequence[Statement]) -> list[Family]:
    """Return the matching families that the header admits: none where it names a model that the table lacks.

    Raises:
        ValueError: The header names a model of the table that cannot have the layers.
    """
    admitted = list(matching)
    for statement in statements:
        admitted = [family for family in admitted if family.key in statement.families]
        if matching and not admitted and statement.families:
            raise ValueError(
                f"expected layers of {statement.label}, which the header names ({statement.field}: "
                f"{statement.value!r}), found layers of {_labels(family.key for family in matching)}: correct the "
                "header, or take another file"
            )
    return admitted


def check_same_family(loras: Sequence[LoRA]) -> list[str]:
    """Check that the LoRAs can be for one base model.

    A LoRA that matches no family is compatible with all that have a layer in common with it.

    Returns:
        A note for the user where LoRAs have no layer in common and may yet be parts of one model.

    Raises:
        ValueError: The LoRAs have no family in common, or no layer and no family. The message lists each LoRA with its
            families.
    """
    candidates = [(label(lora, index), _candidates(lora)) for index, lora in enumerate(loras)]
    known = [(name, keys) for name, keys in candidates if keys]
    if known and not set.intersection(*(keys for _, keys in known)):
        listed = ", ".join(f"{name} ({_labels(keys)})" for name, keys in known)
        raise ValueError(f"the LoRAs are for different base models: {listed}: merge LoRAs for one base model")
    return _check_connected(loras, all_known=len(known) == len(candidates))


def _check_connected(loras: Sequence[LoRA], *, all_known: bool) -> list[str]:
    """Check that no LoRA is without a layer in common with the others, unless they are parts of one model."""
    group, rest = set(loras[0].layers) if loras else set(), list(enumerate(loras))[1:]
    while joined := [entry for entry in rest if not group.isdisjoint(entry[1].layers)]:
        group.update(*(lora.layers for _, lora in joined))
        rest = [entry for entry in rest if entry not in joined]
    if not rest:
        return _note_names(loras, all_known=all_known)
    index, other = rest[0]
    pair = f"{label(loras[0], 0)} and {label(other, index)}"
    parts = {all(map(is_text_encoder, layers)) for layers in (group, other.layers)} == {True, False}
    if not all_known and not parts:
        raise ValueError(
            f"expected LoRAs for one base model, found no layer in common in {pair}, first "
            f"{[*sorted(group)[:1], *sorted(other.layers)[:1]]}, and a base model that is not known: merge LoRAs for "
            "one base model"
        )
    return [f"warning: {pair} have no layer in common: each is carried as it is; check that both are for one base"]


def _note_names(loras: Sequence[LoRA], *, all_known: bool) -> list[str]:
    """Return a note where a model is not in the table, so that its layers have the names in their files."""
    if not any(lora.names and not lora.family and not find_families(lora.layers) for lora in loras):
        return []
    return [f"{'known' if all_known else 'unknown'} model, names kept: the layers have the names of the inputs"]


def _labels(keys: Iterable[str]) -> str:
    return " or ".join(FAMILIES[key].label if key in FAMILIES else key for key in sorted(keys))


def _candidates(lora: LoRA) -> set[str]:
    """Return the families that a LoRA can belong to, or the names of models that the table lacks."""
    if lora.family in FAMILIES:
        return {lora.family}
    statements = stated_models(lora.metadata)
    others = {statement.label for statement in statements if not statement.families}
    return others or {family.key for family in find_families(lora.layers)}


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


def lacks_modulation(layers: Iterable[str]) -> bool:
    """Return whether a file for FLUX.1 has feed-forward layers in all blocks and no modulation, as Chroma's have."""
    paths = list(layers)
    fed = _block_numbers(path for path in paths if ".ff." in path or path.endswith(".proj_mlp"))
    whole = {"transformer_blocks": set(range(19)), "single_transformer_blocks": set(range(38))}
    return fed == whole and not any(".norm1" in path or path.endswith(".norm.linear") for path in paths)


def _block_numbers(layers: Iterable[str]) -> dict[str, set[int]]:
    """Return the numbers of the blocks that hold the layers, by the name of their stack."""
    numbers: dict[str, set[int]] = {}
    for path in layers:
        stack, _, rest = path.partition(".")
        number = rest.partition(".")[0]
        if stack.endswith("transformer_blocks") and number.isdigit():
            numbers.setdefault(stack, set()).add(int(number))
    return numbers
