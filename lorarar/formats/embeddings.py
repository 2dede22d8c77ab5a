"""Learned tokens that travel with a LoRA: `<s1>` (cloneofsimo), `bundle_emb.<name>.*` (A1111's bundles)."""

from __future__ import annotations

import re
from pathlib import Path

_KEY = re.compile(r"<.+>|bundle_emb\..+")


def is_embedding(key: str) -> bool:
    """Whether a key of a LoRA file holds a learned token, not a layer."""
    return _KEY.fullmatch(key) is not None


def embeddings_file(path: Path) -> Path:
    """Where the embeddings of a LoRA file go: beside it.

    >>> embeddings_file(Path("out/x.safetensors")).name
    'x.embeddings.safetensors'
    """
    return path.with_name(f"{path.name.removesuffix('.safetensors')}.embeddings.safetensors")
