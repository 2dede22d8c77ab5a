"""Authors' names for transformer layers, with fused projections, and the diffusers names of the same layers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from lorarar.formats.naming import blocks
from lorarar.formats.naming.schemes import SCHEMES, Entry
from lorarar.lora import Rows, whole_layer
from lorarar.lora.families import FAMILIES

NamingScheme: TypeAlias = str  # "diffusers", "sgm", or a name in `SCHEMES`
_NUMBER = re.compile(r"(?<=[_.])\d+(?=[_.])")


def schemes_of(paths: Iterable[str]) -> list[NamingScheme]:
    """Return the naming schemes that can be those of a denoiser's paths, the likeliest first.

    One layer in a block tells the scheme; then all layers in such blocks must be known.

    Returns:
        "sgm" alone if a path has Stability's block names, else schemes of transformers, then "diffusers".
    """
    named = list(paths)
    if any(path.partition(".")[0] in blocks.ROOTS for path in named):
        return ["sgm"]
    found = [
        name
        for name, scheme in SCHEMES.items()
        if any(_flat(path).startswith(scheme.marks) for path in named)
        and all(rows_of(path, name, 0) is not None for path in named)
    ]
    return [*found, "diffusers"]


def scheme_of(paths: Iterable[str]) -> NamingScheme:
    """Return the likeliest naming scheme of a denoiser's paths."""
    return schemes_of(paths)[0]


def kohya_scheme(family: str) -> NamingScheme | None:
    """Return the naming scheme of kohya's trainers: the authors' for transformers that have one, else None."""
    return next((name for name, scheme in SCHEMES.items() if family in scheme.families), None)


def comfyui_scheme(family: str) -> NamingScheme | None:
    """Return the naming scheme of ComfyUI: the authors' for transformers that have one, else None."""
    return next((name for name in reversed(list(SCHEMES)) if family in SCHEMES[name].families), None)


def scheme_fits(scheme: NamingScheme, family: str) -> bool:
    """Return whether a file with these names can belong to a family. Authors' names belong to their own models only."""
    if scheme == "sgm":
        return FAMILIES[family].sgm
    return scheme == "diffusers" or family in SCHEMES[scheme].families


def rows_of(path: str, scheme: NamingScheme, layers_per_block: int) -> Rows | None:
    """Return the diffusers layers in the rows of a stored layer; None if the scheme's model does not contain the layer.

    Args:
        path: Path of the layer in the file; its names may be joined by underscores, as in kohya's keys.
        scheme: Naming scheme of the path.
        layers_per_block: layers_per_block of the UNet, for sgm names.
    """
    if scheme == "sgm":
        name = blocks.from_sgm(path, layers_per_block)
        return whole_layer(name or path) if name or path.partition(".")[0] not in blocks.ROOTS else None
    if scheme == "diffusers":
        return whole_layer(path)
    names, flat = SCHEMES[scheme], _flat(path)
    number = _NUMBER.search(flat)
    pattern = f"{flat[: number.start()]}#{flat[number.end() :]}" if number else flat
    if entry := names.by_name.get(flat):
        return _rows(entry, "")
    if number and (entry := names.by_name.get(pattern)):
        return _rows(entry, number[0])
    return whole_layer(path) if names.open or not flat.startswith(names.marks) else None


def original_layer(path: str, scheme: NamingScheme) -> tuple[str, Rows]:
    """Return the authors' layer that contains a diffusers layer, with all its rows; the inverse of `rows_of`.

    Raises:
        ValueError: The authors' model has no such layer.
    """
    lines = SCHEMES[scheme].by_layer
    if entry := lines.get(path):
        return entry.name, _rows(entry, "")
    number = _NUMBER.search(path)
    if number and (entry := lines.get(f"{path[: number.start()]}#{path[number.end() :]}")):
        return entry.name.replace("#", number[0]), _rows(entry, number[0])
    if SCHEMES[scheme].open:
        return path, whole_layer(path)
    raise ValueError(f'the authors\' model has no layer {path}: write the LoRA with `format="diffusers"`')


def _rows(entry: Entry, number: str) -> Rows:
    return Rows(tuple((path.replace("#", number), share) for path, share in entry.shares), entry.halves, entry.unit)


def _flat(path: str) -> str:
    return path.replace(".", "_")
