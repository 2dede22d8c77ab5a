"""Deltas that are stored entry by entry: LyCORIS' "full" and "norm", and biases."""

from __future__ import annotations

from lorarar.formats.algorithms.parts import LayerParts
from lorarar.formats.algorithms.scaling import Scaling, gamma
from lorarar.lora import Dense

_BIASES = ("diff_b", "b_norm")


def dense(parts: LayerParts, role: str) -> Dense:
    """A stored delta, a convolution flattened.

    Args:
        parts: The role's tensor, (out, in[, height, width]) or (n,).
        role: "diff" or "w_norm".

    Raises:
        ValueError: The tensor is a single number.
    """
    tensor = parts[role]
    if tensor.ndim < 1:
        raise ValueError(f"{role} must have the shape of a weight, found a single number")
    return Dense(tensor.flatten(1) if tensor.ndim > 2 else tensor, tuple(tensor.shape[2:]))


def bias(parts: LayerParts, scaling: Scaling) -> Dense | None:
    """The bias' delta, (out,): stored as such, or peft's bias of the up factor, which gamma scales like the weight.

    Raises:
        ValueError: There are two, or one is no vector.
    """
    found = [role for role in (*_BIASES, "up_bias") if role in parts]
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)} are both a bias: expected one of them")
    tensor = parts[found[0]]
    if tensor.ndim != 1:
        raise ValueError(f"{found[0]} must be a bias, (out,), found shape {tuple(tensor.shape)}")
    return Dense(tensor * gamma(parts, scaling, parts["down"].shape[0]) if found[0] == "up_bias" else tensor)
