"""Identification: the base model of a file and the naming scheme of its layers.

Header and names come first, shapes last. A file of no known model keeps its names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lorarar.formats.naming.originals import NamingScheme, scheme_fits
from lorarar.lora.families import (
    FAMILIES,
    Family,
    Statement,
    choose_family,
    covered_families,
    find_families,
    lacks_modulation,
    stated_families,
    stated_models,
)

Shapes = Mapping[str, tuple[int, ...]]
_UNET = ("down_blocks.", "mid_block.", "up_blocks.")


class Identity(NamedTuple):
    """Base model of a file.

    Attributes:
        scheme: Naming scheme of the denoiser's layers; "diffusers" too where the names are kept.
        family: A key of `lorarar.lora.families.FAMILIES`; "" if it is unknown or not decided.
        notes: Warnings.
    """

    scheme: NamingScheme
    family: str
    notes: list[str]


def identify(candidates: Mapping[NamingScheme, Shapes], header: Mapping[str, str]) -> Identity:
    """Return the base model of a file.

    Args:
        candidates: Naming scheme that knows the names of the file, the likeliest first -> diffusers path of each layer
            -> shape of its delta; () if it is unknown. "sgm" stands alone; else the last is "diffusers".
        header: Metadata of the file.

    Raises:
        ValueError: The header, the names and the shapes contradict one another.
    """
    if "sgm" in candidates:
        return _with_sgm_names(candidates["sgm"], header)
    statements = stated_models(header)
    schemes: dict[str, NamingScheme] = {}
    covered: set[str] = set()
    for scheme, shapes in candidates.items():
        matching = [f for f in find_families(shapes) if scheme_fits(scheme, f.key) and f.key not in schemes]
        schemes |= {family.key: scheme for family in matching}
        covered |= covered_families(matching, shapes)
    families = [family for key, family in FAMILIES.items() if key in schemes]
    chosen = choose_family(families, header, covered)
    admitted = stated_families(families, statements)
    if chosen == "flux" and not statements and "chroma" in schemes and lacks_modulation(candidates[schemes["flux"]]):
        return Identity(schemes["flux"], "", ["no modulation layers in a file with all other layers: FLUX.1 or Chroma"])
    if chosen or admitted:
        return Identity(schemes[chosen or admitted[0].key], chosen, [])
    return Identity("diffusers", "", _kept(candidates, statements))


def _kept(candidates: Mapping[NamingScheme, Shapes], statements: Sequence[Statement]) -> list[str]:
    """Return what is known about a file of a model that the table lacks."""
    *_, paths = candidates.values()
    if any(path.startswith(_UNET) for path in paths):
        return []
    for statement in statements:
        return [f"known model, names kept: {statement.label}, by its header ({statement.value!r})"]
    for scheme, shapes in candidates.items():
        named = [f for f in find_families(dict.fromkeys(shapes, ())) if scheme_fits(scheme, f.key)]
        if named:
            return [f"unknown model, names kept: the names are those of {_labels(named)}, but not the sizes"]
    return [f"unknown model, names kept, first {next(iter(paths))}"]


def _with_sgm_names(shapes: Shapes, header: Mapping[str, str]) -> Identity:
    matching = [family for family in find_families(shapes) if family.sgm]
    if not matching:
        named = [family for family in FAMILIES.values() if family.sgm]
        raise ValueError(
            f"the file has Stability's block numbers (input_blocks, ...): expected layers of {_labels(named)}, found "
            "others: take a file for one of these models"
        )
    chosen = choose_family(matching, header)
    # Trainers use these names for SDXL; they use diffusers names for older models.
    if not chosen and not stated_models(header) and any(family.key == "sdxl" for family in matching):
        chosen = "sdxl"
    return Identity("sgm", chosen, [])


def _labels(families: Sequence[Family]) -> str:
    return " or ".join(family.label for family in families)
