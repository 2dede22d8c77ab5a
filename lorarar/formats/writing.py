"""Writing: from a LoRA to a file in one of three dialects."""

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
from lorarar.formats.scaling import ADAPTER_METADATA_KEY
from lorarar.formats.tensor_files import write_tensors
from lorarar.lora import TEXT_ENCODERS, LoRA, LowRank
from lorarar.lora.families import FAMILIES, Family, detect_family, find_families
from lorarar.storage import FormatError, atomic_write, lorarar_version, unknown_name

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
    """Write a LoRA file atomically.

    Args:
        lora: The LoRA to write.
        path: The file. With "peft", a path that does not end in .safetensors is a folder for
            adapter_model.safetensors, which is created if necessary; adapter_config.json is always written beside
            the weights.
        format: Dialect of the file. By default the dialect that most tools read: "kohya" for Stable Diffusion 1, 2 and
            XL (with sgm block names for XL), "diffusers" for all other families.
        dtype: Dtype of the weights in the file. Other tools write float16; float32 doubles the size and loses nothing.
            alpha is always a float32 number.
        metadata: Description of the LoRA's origin, added to the LoRA's metadata.
        force: Whether to replace existing files.

    Returns:
        The written files: the weights, then peft's configuration, then the learned embeddings, where they exist. The
        embeddings keep their dtype.

    Raises:
        FormatError: A file exists and force is False, the folder cannot be written, the LoRA has no layers, the dialect
            cannot hold a layer, or a weight is not finite in this dtype.
    """
    path = Path(path)
    if format is not None and format not in _FORMATS:
        raise FormatError(unknown_name("a format", format, _FORMATS))
    if not lora.layers:
        raise FormatError(f"{path} was not written: expected a LoRA with layers, found none: check how it was made")
    family = FAMILIES.get(lora.family or detect_family(lora.layers, lora.metadata))
    dialect = format or default_format(lora)
    try:
        tensors, header, sidecar = _encode(_without_zero_scales(lora), dialect, family)
    except FormatError as error:
        raise FormatError(f"{path} was not written: {error}") from error
    header = _with_metadata(header, lora, metadata)
    return _write(peft.weights_path(path) if dialect == "peft" else path, tensors, header, sidecar, lora, dtype, force)


def default_format(lora: LoRA) -> Format:
    """Return the dialect that most tools read for the LoRA's base model."""
    family = lora.family or detect_family(lora.layers, lora.metadata)
    families = {family} if family else {candidate.key for candidate in find_families(lora.layers)}
    return "kohya" if families and families <= set(_KOHYA_FAMILIES) else "diffusers"


def denoiser_of(layers: Sequence[str]) -> Literal["unet", "transformer"]:
    """Return the name in diffusers of the denoiser with these layers; "unet" without layers."""
    roots = {layer.partition(".")[0] for layer in layers} - set(TEXT_ENCODERS)
    return "unet" if not roots or roots & _UNET else "transformer"


def _with_metadata(header: Mapping[str, str], lora: LoRA, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Add the LoRA's metadata, without an old configuration, and the given metadata to the dialect's header."""
    kept = {key: value for key, value in lora.metadata.items() if key != ADAPTER_METADATA_KEY}
    return {**kept, **(metadata or {}), **header, "lorarar_version": lorarar_version(), "format": "pt"}


def _encode(
    lora: LoRA, format: Format, family: Family | None
) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any] | None]:
    """Return the tensors, the header, and for peft the content of adapter_config.json."""
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
    """Write all files of one LoRA or none. The other files take their place only after the weights are complete."""
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
    """Replace a zero scale by zero factors, because alpha = 0 means alpha = rank in a file."""
    layers = dict(lora.layers)
    for path, layer in lora.layers.items():
        if isinstance(layer, LowRank) and not layer.scale:
            layers[path] = replace(layer, B=torch.zeros_like(layer.B), scale=1.0)
    return replace(lora, layers=layers)
