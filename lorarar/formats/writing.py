"""Writing: from a LoRA to a file in one of the dialects that are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from lorarar.formats.dialects import kohya, peft
from lorarar.formats.dialects.table import DIALECTS, Encoded, denoiser_of
from lorarar.formats.embeddings import embeddings_file
from lorarar.formats.metadata import IMPLEMENTATION, implementation
from lorarar.formats.precision import balance, lift
from lorarar.formats.scaling import ADAPTER_METADATA_KEY, alpha_of
from lorarar.formats.tensor_files import file_size, write_tensors
from lorarar.lora import LoRA, LowRank, torch_dtype
from lorarar.lora.families import FAMILIES, Family, detect_family, find_families
from lorarar.storage import (
    FormatError,
    atomic_write,
    check_no_input,
    check_present,
    check_target,
    lorarar_version,
    plugins_in,
    unknown_name,
    with_plugins,
)

Format: TypeAlias = str  # a name in `lorarar.formats.dialects.DIALECTS`
_KOHYA_FAMILIES = ("sd15", "sd2", "sdxl")
_PICKLES = (".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class PlannedFile:
    """A LoRA file that would be written.

    Attributes:
        path: The file of the weights.
        format: Its dialect.
        bytes: Its size without metadata that describe the LoRA's origin, a few kB.
        exact: Whether the shapes determine the size. Projections that are fused can take less.
    """

    path: Path
    format: Format
    bytes: int
    exact: bool = True


def check_lora_target(path: Path, format: str | None, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Check that a LoRA file can be written under a name that other tools read, before any work.

    Args:
        path: The file to write; for "peft" the folder.
        format: Its dialect.
        force: Whether an existing file may be replaced.
        inputs: Files, folders and hub ids that the work reads, none of which is ever replaced.

    Raises:
        FormatError: An input is missing; a file exists and force is False, or is an input; the folder does not exist,
            or holds other files than an adapter's; or the name has another ending.
    """
    inputs = list(inputs)
    check_present(inputs)
    if format == "peft":
        peft.check_folder(path, force)
        target = peft.weights_path(path)
    else:
        check_target(path, force)
        if path.suffix != ".safetensors":
            raise FormatError(f"expected a name that ends in .safetensors, found {path}: give it that ending")
        target = path
    for written in (target, embeddings_file(target), *([target.with_name(peft.CONFIG_NAME)] * (format == "peft"))):
        check_no_input(written, map(Path, inputs))


def save(
    lora: LoRA,
    path: str | Path,
    *,
    format: Format | None = None,
    dtype: str | torch.dtype = "fp16",
    metadata: Mapping[str, str] | None = None,
    force: bool = False,
) -> list[Path]:
    """Write a LoRA file atomically.

    Args:
        lora: The LoRA to write.
        path: The file. With "peft", a folder of its own, which is created if necessary, for adapter_model.safetensors
            and adapter_config.json.
        format: Dialect of the file: "kohya", "diffusers", "comfyui", "peft", "same" or one of a plugin. By default the
            dialect that most tools read: "kohya" for Stable Diffusion 1, 2 and XL (with sgm block names for XL), "same"
            (the names in the file that the LoRA came from) for newer and for unknown models, "diffusers" for others.
        dtype: Dtype of the weights in the file, "fp16", "bf16", "fp32" or one of torch. Other tools write fp16; fp32
            doubles the size and loses nothing. alpha is always a float32 number.
        metadata: Description of the LoRA's origin, added to the LoRA's metadata.
        force: Whether to replace existing files.

    Returns:
        The written files: the weights, then peft's configuration, then the learned embeddings, where they exist. The
        embeddings keep their dtype.

    Raises:
        FormatError: A file exists and force is False, the folder cannot be written, the LoRA has no layers, the dialect
            cannot hold a layer, or a weight is not finite in this dtype.
        ValueError: There is no dtype of this name.

    Examples:
        >>> save(merged, "merged.safetensors", dtype="bf16")  # doctest: +SKIP
        [PosixPath('merged.safetensors')]
    """
    dtype = torch_dtype(dtype) if isinstance(dtype, str) else dtype
    path = Path(path)
    if format == "peft":
        peft.check_folder(path, force)
    elif path.suffix in _PICKLES:
        raise FormatError(f"expected a name that ends in .safetensors, found {path}: give it that ending")
    lifted = lift(lora, dtype)
    target, encoded = _encode(lifted, path, format, metadata)
    if lifted is not lora and "ss_network_alpha" in encoded.header:
        alphas = {alpha_of(layer) for layer in lifted.layers.values() if isinstance(layer, LowRank)}
        alpha = f"{alphas.pop():g}" if len(alphas) == 1 else "Dynamic"
        encoded = encoded._replace(header={**encoded.header, "ss_network_alpha": alpha})
    if format == "peft":
        peft.make_folder(path)
    encoded = encoded._replace(tensors=balance(encoded.tensors, dtype, target))
    return _write(target, encoded, lora, dtype, force)


def encode_lora(lora: LoRA, *, format: Format | None = None, dtype: str = "fp16") -> dict[str, Tensor]:
    """Return the tensors that `save` would write, for a tool that takes a LoRA in memory.

    Args:
        lora, format: As for `save`.
        dtype: Dtype of the weights, "fp16", "bf16" or "fp32"; alpha stays a float32 number.

    Raises:
        FormatError: The dialect cannot hold a layer, or a weight is beyond the range of the dtype.
    """
    kind, name = torch_dtype(dtype), Path(f"{lora.name or 'the LoRA'}")
    encoded = _encode(lift(lora, kind), name, format, None)[1]
    if ADAPTER_METADATA_KEY in encoded.header:  # scales that tensors alone would lose
        encoded = _encode(_with_scales_in_factors(lora), name, format, None)[1]
    tensors = balance(encoded.tensors, kind, name)
    return {key: tensor.to(kind) if tensor.ndim else tensor for key, tensor in tensors.items()}


def _with_scales_in_factors(lora: LoRA) -> LoRA:
    layers = {
        path: replace(layer, A=layer.A.float() * layer.scale, scale=1.0) if isinstance(layer, LowRank) else layer
        for path, layer in lora.layers.items()
    }
    return replace(lora, layers=layers)


def save_parts(
    lora: LoRA,
    parts: Mapping[str, Mapping[str, Tensor]],
    path: Path,
    *,
    dtype: str = "fp16",
    metadata: Mapping[str, str] | None = None,
    force: bool = False,
) -> None:
    """Write a file that holds the parts of any algorithm as they are, with kohya's names, as LyCORIS does.

    Args:
        lora: The deltas of the parts, which tell the family.
        parts: Layer path -> role (see `lorarar.formats.algorithms.roles`) -> tensor, in the shape of files.
        path: The file.
        dtype: Type of the tensors, "fp16", "bf16" or "fp32"; single numbers keep theirs.
        metadata: Description of the LoRA's origin.
        force: Whether to replace an existing file.

    Raises:
        FormatError: The file exists and force is False, it cannot be written, or a weight is not finite in this dtype.
    """
    family = FAMILIES.get(lora.family or detect_family(lora.layers, lora.metadata))
    tensors = kohya.write_parts(parts, family, unet=denoiser_of(list(parts)) == "unet")
    write_tensors(path, tensors, _with_metadata({}, lora, metadata), dtype=torch_dtype(dtype), force=force)


def plan_file(
    lora: LoRA, path: str | Path, *, format: Format | None = None, dtype: torch.dtype = torch.float16
) -> PlannedFile:
    """Return what `save` would write, without writing it.

    Args:
        lora: The LoRA; of its tensors only shapes and dtypes matter.
        path, format, dtype: As for `save`.

    Raises:
        FormatError: The LoRA has no layers, or the dialect cannot hold a layer.
    """
    path, encoded = _encode(lora, Path(path), format, None)
    dialect = format or default_format(lora)
    exact = dialect != "kohya" or denoiser_of(list(lora.layers)) == "unet"
    return PlannedFile(path, dialect, file_size(encoded.tensors, encoded.header, dtype=dtype), exact)


def _encode(lora: LoRA, path: Path, format: Format | None, metadata: Mapping[str, str] | None) -> tuple[Path, Encoded]:
    """Return the file of the weights and its content."""
    if format:
        find_writer(format)
    path = peft.weights_path(path) if format == "peft" else path
    if not lora.layers:
        raise FormatError(f"{path} was not written: expected a LoRA with layers, found none: check how it was made")
    family = FAMILIES.get(lora.family or detect_family(lora.layers, lora.metadata))
    dialect = format or default_format(lora)
    try:
        encoded = find_writer(dialect)(_without_zero_scales(lora), family)
    except FormatError as error:
        raise FormatError(f"{path} was not written: {error}") from error
    plugins = {**plugins_in(lora.metadata), **plugins_in(metadata or {}), **DIALECTS.plugins([dialect])}
    header = with_plugins(_with_metadata(encoded.header, lora, metadata), plugins)
    if IMPLEMENTATION in header:  # of the file that the LoRA came from, or of the default dialect
        header[IMPLEMENTATION] = implementation(lora.family, dialect)
    return path, encoded._replace(header=header)


def find_writer(format: Format) -> Callable[[LoRA, Family | None], Encoded]:
    """Return the function that writes a dialect.

    Raises:
        FormatError: There is no dialect of this name, or it is only read.
    """
    write = DIALECTS[format].write if format in DIALECTS else None
    if write is None:
        written = [name for name, dialect in DIALECTS.items() if dialect.write]
        raise FormatError(unknown_name("a format", format, written))
    return write


def default_format(lora: LoRA) -> Format:
    """Return the dialect that most tools read for the LoRA's base model."""
    family = lora.family or detect_family(lora.layers, lora.metadata)
    families = {family} if family else {candidate.key for candidate in find_families(lora.layers)}
    if families and families <= set(_KOHYA_FAMILIES):
        return "kohya"
    newer = all(FAMILIES[key].keeps_names for key in families)
    return "same" if newer and lora.names and denoiser_of(list(lora.layers)) == "transformer" else "diffusers"


def _with_metadata(header: Mapping[str, str], lora: LoRA, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Add the LoRA's metadata, without an old configuration, and the given metadata to the dialect's header."""
    kept = {key: value for key, value in lora.metadata.items() if key != ADAPTER_METADATA_KEY}
    return {**kept, **(metadata or {}), **header, "lorarar_version": lorarar_version(), "format": "pt"}


def _write(
    path: Path,
    encoded: Encoded,
    lora: LoRA,
    dtype: torch.dtype,
    force: bool,
) -> list[Path]:
    """Write all files of one LoRA or none. The other files take their place only after the weights are complete."""
    written = [path]
    with ExitStack() as stack:
        if encoded.sidecar is not None:
            written.append(path.with_name(peft.CONFIG_NAME))
            temporary = stack.enter_context(atomic_write(written[-1], force=force))
            temporary.write_text(json.dumps(encoded.sidecar, indent=2, sort_keys=True), encoding="utf-8")
        if lora.embeddings:
            written.append(embeddings_file(path))
            temporary = stack.enter_context(atomic_write(written[-1], force=force))
            write_tensors(temporary, lora.embeddings, {"format": "pt"})
        write_tensors(path, encoded.tensors, encoded.header, dtype=dtype, force=force)
    return written


def _without_zero_scales(lora: LoRA) -> LoRA:
    """Replace a zero scale by zero factors, because alpha = 0 means alpha = rank in a file."""
    layers = dict(lora.layers)
    for path, layer in lora.layers.items():
        if isinstance(layer, LowRank) and not layer.scale:
            layers[path] = replace(layer, B=torch.zeros_like(layer.B), scale=1.0)
    return replace(lora, layers=layers)
