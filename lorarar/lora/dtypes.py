"""Names of the floating-point types that weights are stored in."""

from __future__ import annotations

import torch

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of a name among `DTYPES`.

    Raises:
        ValueError: There is no such name.
    """
    if name not in DTYPES:
        raise ValueError(f"expected a dtype among {', '.join(DTYPES)}, found {name!r}")
    return DTYPES[name]
