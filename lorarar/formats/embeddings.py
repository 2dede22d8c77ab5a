"""Learned tokens in LoRA files: `<s1>` (cloneofsimo), `bundle_emb.<name>.*` (A1111's bundles)."""

from __future__ import annotations

import re
from pathlib import Path

_KEY = re.compile(r"<.+>|bundle_emb\..+")


def is_embedding(key: str) -> bool:
    """Return whether a key of a LoRA file belongs to a learned token rather than to a layer."""
    return _KEY.fullmatch(key) is not None


def embeddings_file(path: Path) -> Path:
    """Return the path beside a LoRA file to which its embeddings are written.

    >>> embeddings_file(Path("out/x.safetensors")).name
    'x.embeddings.safetensors'
    """
    return path.with_name(f"{path.name.removesuffix('.safetensors')}.embeddings.safetensors")
