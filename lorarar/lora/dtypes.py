"""Floating-point types in which weights are stored, by name."""

from __future__ import annotations

import torch

from lorarar.storage import unknown_name

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def torch_dtype(name: str) -> torch.dtype:
    """Return the torch dtype for a name in `DTYPES`.

    Raises:
        ValueError: The name is not in `DTYPES`.
    """
    if name not in DTYPES:
        raise ValueError(unknown_name("a dtype", name, DTYPES))
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a torch dtype: the one in `DTYPES`, else torch's own, such as "float64"."""
    return next((name for name, known in DTYPES.items() if known == dtype), str(dtype).removeprefix("torch."))
