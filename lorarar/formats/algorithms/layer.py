"""Algorithms that make a layer's delta of the tensors in a file: one module a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from lorarar.formats.algorithms.dora import dora
from lorarar.formats.algorithms.full import bias, dense
from lorarar.formats.algorithms.glora import glora
from lorarar.formats.algorithms.ia3 import ia3
from lorarar.formats.algorithms.loha import loha
from lorarar.formats.algorithms.lokr import lokr
from lorarar.formats.algorithms.lora import lora, tucker
from lorarar.formats.algorithms.oft import oft
from lorarar.formats.algorithms.parts import ARITHMETIC_DTYPES, LayerParts, prepare, widen
from lorarar.formats.algorithms.roles import MAGNITUDES, algorithm_of
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora import Layer

__all__ = ["NeedsBase", "Scaling", "algorithm", "build", "split"]

_FACTORED: Mapping[str, Callable[[LayerParts, Scaling], Layer]] = {
    "lora": lora,
    "lora_tucker": tucker,
    "loha": loha,
    "lokr": lokr,
}
_ON_BASE: Mapping[str, Callable[[LayerParts, Scaling, Tensor], Layer]] = {
    "ia3": lambda parts, _, weight: ia3(parts, weight),
    "oft": lambda parts, _, weight: oft(parts, weight),
    "glora": glora,
    "dora": lambda parts, scaling, weight: _dora(parts, scaling, weight),
}
_DENSE = ("diff", "w_norm")


class NeedsBase(ValueError):  # noqa: N818 (says what to do)
    """A delta depends on the base model's weights, and none were given."""


def layer_deltas(
    parts: Mapping[str, Tensor], scaling: Scaling, weight: Callable[[], Tensor] | None = None
) -> dict[str, Layer]:
    """One layer's delta, exactly.

    Args:
        parts: Role (see `split_key`) -> tensor as stored.
        scaling: What a configuration says, where the parts hold no alpha.
        weight: Gives the base model's weight of the layer, (out, in[, height, width]); asked only where it is needed.

    Returns:
        "" -> the weight's delta, "bias" -> the bias' delta (out,), where there are such.

    Raises:
        NeedsBase: The algorithm needs the base's weight, and `weight` is None.
        ValueError: Parts are missing or superfluous, shapes disagree, or a type cannot be computed with.
    """
    name, parts = algorithm_of(parts), prepare(parts)
    layers: dict[str, Layer] = {}
    if name in _FACTORED:
        layers[""] = _FACTORED[name](parts, scaling)
    elif name in _ON_BASE:
        layers[""] = _ON_BASE[name](parts, scaling, _base(name, weight))
    else:
        layers = {"": dense(parts, role) for role in _DENSE if role in parts}  # noqa: B035 (at most one of them)
    of_bias = bias(parts, scaling)
    return layers if of_bias is None else {**layers, "bias": of_bias}


def _base(name: str, weight: Callable[[], Tensor] | None) -> Tensor:
    if weight is None:
        raise NeedsBase(
            f"a {name.upper()} layer means a change that depends on the base model's weights: give the base model with "
            f"--base MODEL (in Python: base=), a diffusers folder or a checkpoint"
        )
    tensor = weight()
    if tensor.ndim < 2 or tensor.dtype not in ARITHMETIC_DTYPES:
        raise ValueError(
            f"the base's weight must be a floating-point matrix or convolution, found shape {tuple(tensor.shape)} of "
            f"{tensor.dtype}: give a base model whose weights are not quantised"
        )
    return widen(tensor)


def _dora(parts: LayerParts, scaling: Scaling, weight: Tensor) -> Layer:
    inner = {role: tensor for role, tensor in parts.items() if role not in MAGNITUDES}
    layer = _FACTORED[algorithm_of(inner)](inner, scaling)
    expected = (weight.shape[0], weight[0].numel())
    if layer.shape != expected:
        raise ValueError(f"the delta {layer.shape} does not fit the base's weight {expected}: it is another model's")
    return dora(parts, layer, weight)
