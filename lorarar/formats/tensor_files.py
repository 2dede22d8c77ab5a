"""Files as such: hashes, and safetensors with errors that say what to do."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lorarar.storage import FormatError, atomic_write

_LFS_MAGIC = b"version https://git-lfs"
_CHUNK_BYTES = 1 << 20
HASH_KEY = "modelspec.hash_sha256"
# What safetensors calls the types that are written here.
_DTYPES = {
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True, eq=False)
class TensorFile:
    """A whole safetensors file: its tensors (views of the mapped file), its header's metadata, its SHA-256."""

    tensors: dict[str, Tensor]
    header: dict[str, str]
    sha256: str


def write_tensors(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, str],
    *,
    dtype: torch.dtype | None = None,
    force: bool = False,
) -> None:
    """Writes a safetensors file atomically, tensor by tensor. Equal content gives equal bytes.

    A header key `HASH_KEY` gets the SHA-256 of everything behind the header, whatever its value was.

    Args:
        path: The file to write.
        tensors: Key -> tensor, on any device.
        header: The file's metadata.
        dtype: What floating-point tensors are written in; single numbers (alpha) and None keep their own.
        force: Whether an existing file may be replaced.

    Raises:
        FormatError: As `atomic_write`; or a weight is not finite in that dtype.
    """
    types = {key: _written_dtype(tensor, dtype) for key, tensor in tensors.items()}
    # Wide types first, so that every tensor starts at a multiple of its element's size.
    ordered = sorted(tensors, key=lambda key: (-types[key].itemsize, key))
    layout = [(key, types[key], tuple(tensors[key].shape)) for key in ordered]
    digest = hashlib.sha256()
    with atomic_write(path, force=force) as temporary, open(temporary, "wb") as file:
        file.write(_header(layout, header, digest=""))
        for key in ordered:
            data = _bytes(_cast(tensors[key], types[key], path, key))
            file.write(data)
            if HASH_KEY in header:
                digest.update(data)
        if HASH_KEY in header:
            file.seek(0)
            file.write(_header(layout, header, digest=digest.hexdigest()))


def read_tensor_file(path: str | Path) -> TensorFile:
    """Reads a safetensors file, hashing and checking each tensor in one pass over the mapped file.

    Raises:
        FormatError: There is no such file, it is a git-LFS pointer, it is truncated or no safetensors file, it holds no
            tensors, or a weight is not finite.
    """
    path = Path(path)
    check_source(path)
    digest, tensors, bad = hashlib.sha256(), {}, []
    try:
        with safe_open(path, framework="pt") as file:
            digest.update(_raw_header(path))
            for key in file.offset_keys():
                tensors[key] = file.get_tensor(key)
                digest.update(_bytes(tensors[key]))
                if not _finite(tensors[key]):
                    bad.append(key)
            header = dict(file.metadata() or {})
    except SafetensorError as error:
        raise FormatError(
            f"{path} is no whole safetensors file ({path.stat().st_size} bytes; {error}): download it again, or "
            f"convert a pickled .bin or .pt file to safetensors first"
        ) from error
    if not tensors:
        raise FormatError(f"{path} holds no tensors: it is empty, save it again")
    if bad:
        raise FormatError(
            f"{path} holds NaN or infinite weights in {len(bad)} of {len(tensors)} tensors, first {sorted(bad)[:3]}: "
            f"the training that made it diverged, use an earlier checkpoint"
        )
    return TensorFile(tensors, header, digest.hexdigest())


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the header's metadata of a safetensors file; `read_tensor_file` without the hash."""
    contents = read_tensor_file(path)
    return contents.tensors, contents.header


def _written_dtype(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype and tensor.ndim and tensor.is_floating_point() else tensor.dtype


def _cast(tensor: Tensor, dtype: torch.dtype, path: str | Path, key: str) -> Tensor:
    ready = tensor.detach().to(dtype)
    if not _finite(ready):
        raise FormatError(
            f"{path} was not written: {key} is not finite in {dtype}: write it with fp32 or bf16, or look for NaN in "
            f"the inputs"
        )
    return ready


def _header(
    layout: Sequence[tuple[str, torch.dtype, tuple[int, ...]]], header: Mapping[str, str], digest: str
) -> bytes:
    """The file's first bytes: the JSON's length in 8 bytes, then JSON, padded so that tensors start at a multiple of 8.

    An empty digest stands for one of the right length.
    """
    values = dict(sorted(header.items()))
    if HASH_KEY in values:
        values[HASH_KEY] = f"0x{digest:0<64}"
    described: dict[str, object] = {"__metadata__": values}
    start = 0
    for key, dtype, shape in layout:
        end = start + math.prod(shape) * dtype.itemsize
        described[key] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _raw_header(path: Path) -> bytes:
    with open(path, "rb") as file:
        length = file.read(8)
        return length + file.read(int.from_bytes(length, "little"))


def _bytes(tensor: Tensor) -> memoryview:
    """A contiguous CPU tensor's memory, without a copy where it is one already."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _finite(tensor: Tensor) -> bool:
    """Whether every weight is a finite number. The extremes tell it an order of magnitude faster than isfinite."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    wide = tensor if tensor.element_size() > 1 else tensor.float()  # float8 has no arithmetic
    return all(math.isfinite(float(extreme)) for extreme in wide.aminmax())


def check_source(path: Path) -> None:
    """Checks that a path is a file with something in it that is not a git-LFS pointer.

    Raises:
        FormatError: It is not.
    """
    if not path.exists():
        raise FormatError(f"{path} does not exist: check the path")
    if not path.is_file():
        raise FormatError(f"{path} is no file: give the .safetensors file itself")
    try:
        with open(path, "rb") as file:
            start = file.read(len(_LFS_MAGIC))
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}: check its permissions") from error
    if not start:
        raise FormatError(f"{path} is empty (0 bytes): download it again")
    if start == _LFS_MAGIC:
        raise FormatError(
            f"{path} is a git-LFS pointer, not the weights: run `git lfs pull`, or download the file itself"
        )
