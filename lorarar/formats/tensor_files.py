"""safetensors files: reading with a hash and a check of every weight, deterministic writing."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lorarar.lora import one_thread
from lorarar.storage import FormatError, atomic_write, path_remedy

_LFS_MAGIC = b"version https://git-lfs"
# First bytes of files that are often taken for a LoRA -> what they are, and what to do.
_CONVERT = "take a safetensors version, or convert it to safetensors in a sandbox: a pickle can run any code"
_OTHER_FILES = {
    b"PK\x03\x04": ("a pickled checkpoint or another ZIP archive", _CONVERT),
    b"\x80\x02": ("a pickled checkpoint", _CONVERT),
    b"\x89PNG": ("a PNG image", "give the LoRA itself"),
    b"\xff\xd8\xff": ("a JPEG image", "give the LoRA itself"),
    b"RIFF": ("a WebP image", "give the LoRA itself"),
    b"<": ("a web page", "download the file itself; the site may ask you to log in"),
}
HASH_KEY = "modelspec.hash_sha256"
# Names of the written dtypes in safetensors.
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
    """Content of a safetensors file.

    Attributes:
        tensors: Key -> tensor, a view of the mapped file.
        header: Metadata of the file.
        sha256: SHA-256 of the file, 64 hexadecimal digits.
    """

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
    """Write a safetensors file atomically, tensor by tensor. Equal content gives equal bytes.

    If the header has the key `HASH_KEY`, its value becomes the SHA-256 of all bytes after the header.

    Args:
        path: The file to write.
        tensors: Key -> tensor, on any device.
        header: Metadata of the file.
        dtype: Dtype of the floating-point tensors in the file. Single numbers (alpha) keep their dtype; None keeps all.
        force: Whether to replace an existing file.

    Raises:
        FormatError: The file cannot be written (see `atomic_write`), or a weight is not finite in this dtype.
    """
    layout = _layout(tensors, dtype)
    digest = hashlib.sha256()
    with atomic_write(path, force=force) as temporary, open(temporary, "wb") as file, ThreadPoolExecutor(1) as pool:
        file.write(_header(layout, header, digest=""))
        hashed: Future[None] | None = None
        for key, written, _ in layout:
            data = _bytes(_cast(tensors[key], written, path, key))
            if hashed:
                hashed.result()  # one tensor ahead, so that few casts are in memory
            hashed = pool.submit(digest.update, data) if HASH_KEY in header else None
            file.write(data)
        if hashed:
            hashed.result()
        if HASH_KEY in header:
            file.seek(0)
            file.write(_header(layout, header, digest=digest.hexdigest()))


def file_size(tensors: Mapping[str, Tensor], header: Mapping[str, str], *, dtype: torch.dtype | None = None) -> int:
    """Return the number of bytes that `write_tensors` would write.

    Args:
        tensors, header, dtype: As for `write_tensors`.
    """
    layout = _layout(tensors, dtype)
    return len(_header(layout, header, digest="")) + sum(math.prod(shape) * kind.itemsize for _, kind, shape in layout)


def read_tensor_file(path: str | Path) -> TensorFile:
    """Read a safetensors file, hashing and checking each tensor in one pass over the mapped file.

    Raises:
        FormatError: The file does not exist, is a git-LFS pointer, is not a complete safetensors file, contains no
            tensors, or contains a weight that is not finite.
    """
    path = Path(path)
    digest, tensors, bad = hashlib.sha256(), {}, []
    try:
        with one_thread(), open_source(path) as source, safe_open(path, framework="pt") as file:
            raw = _raw_header(source)
            digest.update(raw)
            _check_doubles(path, raw)
            for key in file.offset_keys():
                tensors[key] = file.get_tensor(key)
                digest.update(_bytes(tensors[key]))
                if not _finite(tensors[key]):
                    bad.append(key)
            header = dict(file.metadata() or {})
    except SafetensorError as error:
        raise FormatError(f"{path} is {_other_file(path, error)}") from error
    if not tensors:
        raise FormatError(f"{path} contains no tensors: save it again")
    if bad:
        raise FormatError(
            f"{path} contains NaN or infinite weights in {len(bad)} of {len(tensors)} tensors, first {sorted(bad)[:3]}"
            f": its training diverged, or a merge overflowed; use an earlier checkpoint, or merge again in bf16"
        )
    return TensorFile(tensors, header, digest.hexdigest())


def _layout(tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
    """Return key, written dtype and shape of each tensor, in the order of the file."""
    types = {key: _written_dtype(tensor, dtype) for key, tensor in tensors.items()}
    # Wide dtypes come first, so that every tensor starts at a multiple of its element size.
    ordered = sorted(tensors, key=lambda key: (-types[key].itemsize, key))
    return [(key, types[key], tuple(tensors[key].shape)) for key in ordered]


def _other_file(path: Path, error: SafetensorError) -> str:
    """Return what a file is that safetensors cannot read, and what to do."""
    with open(path, "rb") as file:
        start = file.read(16)
    for first, (sort, advice) in _OTHER_FILES.items():
        if start.startswith(first):
            return f"{sort}, not a safetensors file: {advice}"
    if start.isascii() and start.decode().isprintable():
        return "a text file, not a safetensors file: give the LoRA itself"
    return f"not a complete safetensors file ({path.stat().st_size} bytes; {error}): download it again"


def _written_dtype(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype and tensor.ndim and tensor.is_floating_point() else tensor.dtype


def _cast(tensor: Tensor, dtype: torch.dtype, path: str | Path, key: str) -> Tensor:
    cast = tensor.detach().to(dtype)
    if not _finite(cast):
        raise FormatError(
            f"{path} was not written: {key} is not finite in {dtype}: write it with fp32 or bf16, or look for NaN in "
            f"the inputs"
        )
    return cast


def _header(
    layout: Sequence[tuple[str, torch.dtype, tuple[int, ...]]], header: Mapping[str, str], digest: str
) -> bytes:
    """Return the first bytes of the file: the length of the JSON in 8 bytes, then the JSON.

    Padding makes the tensors start at a multiple of 8 bytes. An empty digest stands for one of equal length.
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


def _raw_header(source: BinaryIO) -> bytes:
    length = source.read(8)
    return length + source.read(int.from_bytes(length, "little"))


def _check_doubles(path: Path, raw: bytes) -> None:
    """Refuse a header with a key that occurs twice, of which every reader would take the one or the other."""

    def checked(pairs: list[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            doubled = next(key for key in keys if keys.count(key) > 1)
            raise FormatError(f"{path} contains the key {doubled!r} twice in its header: save it again")

    json.loads(raw[8:], object_pairs_hook=checked)


def _bytes(tensor: Tensor) -> memoryview:
    """Return the memory of a tensor, without a copy if it is a contiguous CPU tensor."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _finite(tensor: Tensor) -> bool:
    """Return whether every weight is finite. The extremes answer this ten times faster than isfinite."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    wide = tensor if tensor.element_size() > 1 else tensor.float()  # float8 has no arithmetic
    return all(math.isfinite(float(extreme)) for extreme in wide.aminmax())


def check_source(path: Path) -> None:
    """Check that a path is a file with content that is not a git-LFS pointer.

    Raises:
        FormatError: The path is not such a file.
    """
    with open_source(path):
        pass


@contextmanager
def open_source(path: Path) -> Iterator[BinaryIO]:
    """Open a file with content that is not a git-LFS pointer, at its first byte, and close it with the context.

    Raises:
        FormatError: The path is not such a file.
    """
    if not path.exists():
        raise FormatError(f"{path} does not exist: {path_remedy(path)}")
    if not path.is_file():
        raise FormatError(f"{path} is not a file: give the .safetensors file itself")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
            start = file.read(len(_LFS_MAGIC))
            file.seek(0)
        except OSError as error:
            raise FormatError(f"{path} cannot be read: {error.strerror or error}: check its permissions") from error
        if not start:
            raise FormatError(f"{path} is empty (0 bytes): download it again")
        if start == _LFS_MAGIC:
            raise FormatError(
                f"{path} is a git-LFS pointer, not the weights: run `git lfs pull`, or download the file itself"
            )
        yield file
