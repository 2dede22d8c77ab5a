"""OFT and BOFT, dW = rescale R W0 - W0 with an orthogonal R: a rotation of the base's rows.

Reference: OFT, arXiv 2306.07280, section 3.2 (Cayley's R = (I + Q)(I - Q)^-1, Q = P - P^T); BOFT, arXiv 2311.06243,
section 4. LyCORIS stores R of OFT as one diagonal of blocks, each applied transposed. R of BOFT is a product of stages;
the rows that a stage mixes lie twice as far apart as those of the previous stage.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, widen
from lorarar.formats.algorithms.scaling import single_number
from lorarar.lora import Dense


def oft(parts: LayerParts, weight: Tensor) -> Dense:
    """Return the full-rank delta.

    Args:
        parts: "oft_blocks", OFT's (blocks, size, size) or BOFT's (stages, blocks, size, size), blocks * size = out;
            "alpha", the bound on |Q| / out, 0 for no bound; "rescale" (out, 1[, 1, 1]).
        weight: W0, (out, in[, height, width]), float32 or float64.

    Raises:
        ValueError: The shapes disagree, or the blocks are too large to be inverted.
    """
    rows, blocks = weight.flatten(1), parts["oft_blocks"]
    out = rows.shape[0]
    if blocks.ndim not in (3, 4) or blocks.shape[-1] != blocks.shape[-2] or blocks.shape[-3] * blocks.shape[-1] != out:
        raise ValueError(
            f"oft_blocks must be square blocks that cover the weight's {out} rows, found shape {tuple(blocks.shape)}: "
            f"give the base model of the training, or save the LoRA again"
        )
    rotations = _cayley(blocks, single_number(parts, "alpha") * out if "alpha" in parts else 0.0).to(rows.dtype)
    if blocks.ndim == 3:
        rotated = (rotations.mT @ rows.reshape(*blocks.shape[:2], -1)).reshape(rows.shape)
    else:
        rotated = _butterfly(rotations, rows)
    if "rescale" in parts:
        rotated = _rescale(parts, out) * rotated
    return Dense(rotated - rows, tuple(weight.shape[2:]))


def _cayley(blocks: Tensor, bound: float) -> Tensor:
    """Return (I + Q)(I - Q)^-1 in float64. A bound above 0 limits the norm of Q over all blocks."""
    skew = blocks.double() - blocks.double().mT
    length = float(skew.norm())
    if 0 < bound < length:
        skew = skew * (bound / length)
    identity = torch.eye(blocks.shape[-1], dtype=skew.dtype)
    # (I + Q) and (I - Q)^-1 commute, so one linear solve is enough.
    rotations: Tensor = torch.linalg.solve_ex(identity - skew, identity + skew).result
    if not bool(rotations.isfinite().all()):
        raise ValueError("oft_blocks are too large for rotations: their training diverged; use an earlier checkpoint")
    return rotations


def _butterfly(rotations: Tensor, rows: Tensor) -> Tensor:
    """Apply all stages in turn, (stages, blocks, size, size) on (out, in)."""
    stages, blocks, size, _ = rotations.shape
    out, width = rows.shape
    if size % 2 or out % (size << (stages - 1)):
        raise ValueError(f"{stages} stages of BOFT with blocks of {size} do not fit {out} rows: save the LoRA again")
    for stage, rotation in enumerate(rotations):
        half = (size // 2) << stage
        paired = rows.reshape(-1, 2, half, width).transpose(1, 2).reshape(blocks, size, width)
        rows = (rotation @ paired).reshape(-1, half, 2, width).transpose(1, 2).reshape(out, width)
    return rows


def _rescale(parts: LayerParts, out: int) -> Tensor:
    rescale = widen(parts["rescale"])
    if rescale.numel() != out:
        raise ValueError(
            f"rescale must have one number for each of {out} rows, found shape {tuple(rescale.shape)}: save the "
            f"LoRA again"
        )
    return rescale.reshape(out, 1)
