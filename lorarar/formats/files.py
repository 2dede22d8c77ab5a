"""Files as such: atomic writing, hashes, and safetensors with errors that say what to do."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

_LFS_MAGIC = b"version https://git-lfs"
_CHUNK_BYTES = 1 << 20


class FormatError(ValueError):
    """A file cannot be read or written; the message names it and says what to do."""


def lorarar_version() -> str:
    """The installed version, or "unknown" when run from a source tree that was never installed."""
    try:
        return version("lorarar")
    except PackageNotFoundError:
        return "unknown"


def sha256(path: str | Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def atomic_write(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Write to the yielded temporary path; it becomes `path` in one step when the block ends well.

    A reader never sees half a file, and a failure leaves neither the temporary file nor a damaged old one.

    Args:
        path: The file to write; its folder must exist.
        force: Whether an existing file may be replaced.

    Yields:
        A path in the same folder (renaming across file systems is not atomic).

    Raises:
        FormatError: The file exists and force is False, its folder does not exist, or the system refuses to write.
    """
    path = Path(path)
    _check_target(path, force)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise FormatError(
            f"{path} cannot be written: {error.strerror or error}: check the folder's permissions and the free space"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, str], *, force: bool = False
) -> None:
    """Writes a safetensors file atomically. Equal content gives equal bytes, so hashes can be compared.

    Args:
        path: The file to write.
        tensors: Key -> tensor, on any device.
        header: The file's metadata.
        force: Whether an existing file may be replaced.

    Raises:
        FormatError: As `atomic_write`.
    """
    raw = safetensors_bytes({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
    # safetensors itself writes the metadata in a random order, so the header is made here: its length in 8 bytes, then
    # JSON.
    length = int.from_bytes(raw[:8], "little")
    described = {"__metadata__": dict(sorted(header.items())), **json.loads(raw[8 : 8 + length])}
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8 bytes
    with atomic_write(path, force=force) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(memoryview(raw)[8 + length :])


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file: its tensors on the CPU, and its header's metadata.

    Raises:
        FormatError: There is no such file, it is a git-LFS pointer, it is truncated or no safetensors file, it holds no
            tensors, or a weight is not finite.
    """
    path = Path(path)
    _check_source(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            header = dict(file.metadata() or {})
    except SafetensorError as error:
        raise FormatError(
            f"{path} is no whole safetensors file ({path.stat().st_size} bytes; {error}): download it again, or "
            f"convert a pickled .bin or .pt file to safetensors first"
        ) from error
    if not tensors:
        raise FormatError(f"{path} holds no tensors: it is empty, save it again")
    _check_finite(path, tensors)
    return tensors, header


def _check_target(path: Path, force: bool) -> None:
    if path.is_dir():
        raise FormatError(f"{path} is a folder: give a file name inside it")
    if path.exists() and not force:
        raise FormatError(f"{path} exists already: choose another name, or allow overwriting with force")
    if not path.parent.is_dir():
        raise FormatError(f"{path} cannot be written: its folder {path.parent} does not exist, create it first")


def _check_source(path: Path) -> None:
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


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    bad = [key for key, tensor in tensors.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if bad:
        raise FormatError(
            f"{path} holds NaN or infinite weights in {len(bad)} of {len(tensors)} tensors, first {bad[:3]}: the "
            f"training that made it diverged, use an earlier checkpoint"
        )
