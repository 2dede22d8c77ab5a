"""Where an encoder's weights lie, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lorarar.storage import sha256

_PATTERNS = ["*.json", "*.safetensors", "*.txt"]  # configuration, weights, vocabulary


def local_folder(path: str) -> Path:
    """A folder as it is; a hub id as the folder it is downloaded to.

    Raises:
        OSError: it is neither a folder nor on the hub, or the hub cannot be reached.
    """
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(path, allow_patterns=_PATTERNS))


def weights_hash(folder: Path) -> str:
    """SHA-256 of a folder's safetensors files: of the one file's bytes, or of all their hashes.

    Raises:
        ValueError: there are none. Pickled weights are not read: they could run code.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"expected weights as *.safetensors in {folder}, found none: save or download them as such")
    hashes = [sha256(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
