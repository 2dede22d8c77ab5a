"""Full deltas, stored entry by entry: LyCORIS' "full" and "norm", and biases."""

from __future__ import annotations

from lorarar.formats.algorithms.parts import LayerParts
from lorarar.formats.algorithms.scaling import Scaling, gamma
from lorarar.lora import Dense

_BIASES = ("diff_b", "b_norm")


def dense(parts: LayerParts, role: str) -> Dense:
    """Return a stored delta with a flattened convolution.

    Args:
        parts: The tensor of the role, (out, in[, height, width]) or (n,).
        role: "diff" or "w_norm".

    Raises:
        ValueError: The tensor is a scalar.
    """
    tensor = parts[role]
    if tensor.ndim < 1:
        raise ValueError(f"{role} must have the shape of a weight, found a scalar: save the LoRA again")
    return Dense(tensor.flatten(1) if tensor.ndim > 2 else tensor, tuple(tensor.shape[2:]))


def bias(parts: LayerParts, scaling: Scaling) -> Dense | None:
    """Return the delta of the bias, (out,), or None without one.

    The file stores it directly, or as the bias of peft's up factor, which gamma scales like the weight.

    Raises:
        ValueError: There are two biases, or a bias is not a vector.
    """
    roles = [role for role in (*_BIASES, "up_bias") if role in parts]
    if not roles:
        return None
    if len(roles) > 1:
        raise ValueError(f"expected one bias, found {' and '.join(roles)}: save the LoRA again with one of them")
    tensor = parts[roles[0]]
    if tensor.ndim != 1:
        raise ValueError(f"{roles[0]} must be a bias, (out,), found shape {tuple(tensor.shape)}: save the LoRA again")
    return Dense(tensor * gamma(parts, scaling, parts["down"].shape[0]) if roles[0] == "up_bias" else tensor)
