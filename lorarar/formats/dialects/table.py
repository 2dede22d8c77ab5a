"""Table: every dialect with its parser, and the function that writes it where it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor

from lorarar.formats.dialects import cloneofsimo, comfyui, diffusers, kohya, peft, same, xlabs
from lorarar.formats.naming.keys import Key
from lorarar.formats.naming.originals import kohya_scheme
from lorarar.lora import TEXT_ENCODERS, LoRA
from lorarar.lora.families import Family, find_families
from lorarar.storage import FormatError, Table

_UNET = {"down_blocks", "mid_block", "up_blocks", "conv_in", "conv_out", "time_embedding", "add_embedding"}


class Encoded(NamedTuple):
    """Content of a LoRA file.

    Attributes:
        tensors: Key -> tensor.
        header: What the dialect keeps in the header.
        sidecar: Content of peft's adapter_config.json; None for other dialects.
    """

    tensors: Mapping[str, Tensor]
    header: Mapping[str, str] = {}
    sidecar: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Dialect:
    """A dialect of LoRA files.

    Attributes:
        name: Name of the dialect, as `format` takes it where the dialect is written.
        parse: Function that returns the meaning of a key, or None for a key of another dialect. None for a dialect
            whose keys another one parses.
        write: Function (lora, family) -> content of its file; the family is None where it is unknown, and every scale
            is positive or the factors are zero. None for a dialect that is only read.
    """

    name: str
    parse: Callable[[str], Key | None] | None = None
    write: Callable[[LoRA, Family | None], Encoded] | None = None


def denoiser_of(layers: Sequence[str]) -> Literal["unet", "transformer"]:
    """Return the name in diffusers of the denoiser with these layers; "unet" without layers."""
    roots = {layer.partition(".")[0] for layer in layers} - set(TEXT_ENCODERS)
    return "unet" if not roots or roots & _UNET else "transformer"


def _write_kohya(lora: LoRA, family: Family | None) -> Encoded:
    """Write kohya's names, which all families that the layers fit must share.

    Raises:
        FormatError: The names are not known, or a layer has none.
    """
    if family is None:
        candidates = find_families(lora.layers)
        one_scheme = len({kohya_scheme(candidate.key) for candidate in candidates}) == 1
        transformer = denoiser_of(list(lora.layers)) == "transformer"
        if transformer and not one_scheme:
            raise FormatError(
                f"kohya's names depend on the model, expected one that is known, found "
                f"{' or '.join(candidate.label for candidate in candidates) or 'another'}: write with "
                '`format="diffusers"`'
            )
        family = candidates[0] if transformer else None
    return Encoded(kohya.write(lora, family))


def _write_diffusers(lora: LoRA, family: Family | None) -> Encoded:
    denoiser = family.denoiser if family else denoiser_of(list(lora.layers))
    joined = lora.names and not any("." in name for name in lora.names)
    if denoiser == "transformer" and family is None and joined and not find_families(lora.layers):
        raise FormatError(
            "diffusers' names depend on the model, expected one that is known, found another in kohya's names: write "
            'with `format="same"`, which keeps them'
        )
    return Encoded(*diffusers.write(lora, denoiser))


def _write_comfyui(lora: LoRA, family: Family | None) -> Encoded:
    return Encoded(comfyui.write(lora, family))


def _write_same(lora: LoRA, family: Family | None) -> Encoded:
    return Encoded(same.write(lora))


def _write_peft(lora: LoRA, family: Family | None) -> Encoded:
    return Encoded(*peft.write(lora))


# The first dialect whose parser accepts a key determines its meaning.
DIALECTS: Table[Dialect] = Table(
    "DIALECTS",
    Dialect,
    "a dialect",
    [
        Dialect("kohya", kohya.parse, _write_kohya),
        Dialect("cloneofsimo", cloneofsimo.parse),
        Dialect("xlabs", xlabs.parse),
        Dialect("comfyui", comfyui.parse, _write_comfyui),
        Dialect("diffusers", diffusers.parse, _write_diffusers),
        Dialect("peft", write=_write_peft),
        Dialect("same", write=_write_same),
    ],
)
