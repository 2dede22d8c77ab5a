"""From layers to a file: the dialect that most tools read for the LoRA's base model, or the one that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lorarar.formats.dialects import diffusers, kohya, peft
from lorarar.formats.embeddings import embeddings_file
from lorarar.formats.scaling import HEADER_KEY
from lorarar.formats.tensor_files import write_tensors
from lorarar.lora import TEXT_ENCODERS, LoRA, LowRank
from lorarar.lora.families import FAMILIES, Family, detect, fitting
from lorarar.storage import FormatError, atomic_write, lorarar_version

Format = Literal["kohya", "diffusers", "peft"]
_FORMATS = ("kohya", "diffusers", "peft")
_KOHYA_FAMILIES = ("sd15", "sd2", "sdxl")
_UNET = {"down_blocks", "mid_block", "up_blocks", "conv_in", "conv_out", "time_embedding", "add_embedding"}


def save(
    lora: LoRA,
    path: str | Path,
    *,
    format: Format | None = None,
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
    force: bool = False,
) -> list[Path]:
    """Writes a LoRA file atomically.

    Args:
        lora: What to write.
        path: The file. With "peft" a path without the ending .safetensors is a folder, made if need be, that gets
            adapter_model.safetensors; adapter_config.json is written beside the weights either way.
        format: The dialect. Without it the one that most tools read: "kohya" for Stable Diffusion 1, 2 and XL (with sgm
            block names for XL), "diffusers" for everything else.
        dtype: Of the weights in the file; float16 is what other tools write; float32 doubles the size and loses
            nothing. alpha is a float32 number in any case.
        metadata: How the LoRA was made, added to what it carries already.
        force: Whether existing files may be replaced.

    Returns:
        The files written: the weights; peft's configuration; learned embeddings, as they came, where the LoRA has some.

    Raises:
        FormatError: A file exists and force is False, the folder cannot be written, there are no layers, a layer has
            no place in the dialect, or a weight is not finite in that dtype.
    """
    path = Path(path)
    if format not in (None, *_FORMATS):
        raise FormatError(f"expected one of the formats {', '.join(_FORMATS)}, found {format!r}")
    if not lora.layers:
        raise FormatError(f"{path} was not written: the LoRA has no layers")
    family = FAMILIES.get(lora.family or detect(lora.layers, lora.metadata))
    chosen = format or default_format(lora)
    try:
        tensors, header, sidecar = _encode(_without_zero_scales(lora), chosen, family)
    except FormatError as error:
        raise FormatError(f"{path} was not written: {error}") from error
    carried = {key: value for key, value in lora.metadata.items() if key != HEADER_KEY}
    header = {**carried, **(metadata or {}), **header, "lorarar_version": lorarar_version(), "format": "pt"}
    return _write(peft.weights_path(path) if chosen == "peft" else path, tensors, header, sidecar, lora, dtype, force)


def default_format(lora: LoRA) -> Format:
    """The dialect that most tools read for the LoRA's base model."""
    family = lora.family or detect(lora.layers, lora.metadata)
    families = {family} if family else {found.key for found in fitting(lora.layers)}
    return "kohya" if families and families <= set(_KOHYA_FAMILIES) else "diffusers"


def denoiser_of(layers: Sequence[str]) -> Literal["unet", "transformer"]:
    """What diffusers calls the denoiser that has these layers; "unet" where there are none."""
    roots = {layer.partition(".")[0] for layer in layers} - set(TEXT_ENCODERS)
    return "unet" if not roots or roots & _UNET else "transformer"


def _encode(
    lora: LoRA, format: Format, family: Family | None
) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any] | None]:
    """Tensors, header, and the content of adapter_config.json for peft."""
    if format == "kohya":
        return kohya.write(lora, family), {}, None
    if format == "peft":
        return peft.write(lora)
    denoiser = family.denoiser if family else denoiser_of(list(lora.layers))
    return *diffusers.write(lora, denoiser), None


def _write(
    path: Path,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, str],
    sidecar: Mapping[str, Any] | None,
    lora: LoRA,
    dtype: torch.dtype,
    force: bool,
) -> list[Path]:
    """All files of one LoRA, or none of them: the neighbours take their place after the weights are whole."""
    written = [path]
    with ExitStack() as stack:
        if sidecar is not None:
            written.append(path.with_name(peft.CONFIG_NAME))
            temporary = stack.enter_context(atomic_write(written[-1], force=force))
            temporary.write_text(json.dumps(sidecar, indent=2, sort_keys=True), encoding="utf-8")
        if lora.embeddings:
            written.append(embeddings_file(path))
            temporary = stack.enter_context(atomic_write(written[-1], force=force))
            write_tensors(temporary, lora.embeddings, {"format": "pt"})
        write_tensors(path, tensors, header, dtype=dtype, force=force)
    return written


def _without_zero_scales(lora: LoRA) -> LoRA:
    """Zero factors in place of a zero scale: in a file, alpha = 0 means alpha = rank."""
    layers = {
        path: replace(layer, B=torch.zeros_like(layer.B), scale=1.0)
        if isinstance(layer, LowRank) and not layer.scale
        else layer
        for path, layer in lora.layers.items()
    }
    return replace(lora, layers=layers)
