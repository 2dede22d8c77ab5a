"""Layer deltas: the choice of the algorithm for the parts of a layer."""

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

_FACTORED: Mapping[str, Callable[[LayerParts, Scaling], Layer]] = {
    "lora": lora,
    "lora_tucker": tucker,
    "loha": loha,
    "lokr": lokr,
}
ON_BASE: Mapping[str, Callable[[LayerParts, Scaling, Tensor], Layer]] = {
    "ia3": lambda parts, _, weight: ia3(parts, weight),
    "oft": lambda parts, _, weight: oft(parts, weight),
    "glora": glora,
    "dora": lambda parts, scaling, weight: _with_magnitude(parts, scaling, weight),
}
_DENSE = ("diff", "w_norm")


class NeedsBase(ValueError):  # noqa: N818 (the name states the remedy)
    """The delta depends on the base model's weights, and there is no base model."""


def layer_deltas(
    parts: Mapping[str, Tensor], scaling: Scaling, weight: Callable[[], Tensor] | None = None
) -> dict[str, Layer]:
    """Compute the exact deltas of one layer.

    Args:
        parts: Role (see `roles.split_key`) -> tensor as stored.
        scaling: Scaling from a configuration, for parts without alpha.
        weight: Returns the base model's weight of the layer, (out, in[, height, width]). It is called only if the
            algorithm needs the weight.

    Returns:
        "" -> delta of the weight, "bias" -> delta of the bias (out,), as far as the layer has them.

    Raises:
        NeedsBase: The algorithm needs the base model's weight, and `weight` is None.
        ValueError: Parts are missing or superfluous, shapes disagree, or a dtype does not support arithmetic.
    """
    name, parts = algorithm_of(parts), prepare(parts)
    deltas: dict[str, Layer] = {}
    dense_role = next((role for role in _DENSE if role in parts), None)
    if name in _FACTORED:
        deltas[""] = _FACTORED[name](parts, scaling)
    elif name in ON_BASE:
        deltas[""] = ON_BASE[name](parts, scaling, _base(name, weight))
    elif dense_role:
        deltas[""] = dense(parts, dense_role)
    bias_delta = bias(parts, scaling)
    if bias_delta is not None:
        deltas["bias"] = bias_delta
    return deltas


def _base(name: str, weight: Callable[[], Tensor] | None) -> Tensor:
    if weight is None:
        raise NeedsBase(
            f"the delta of a {name.upper()} layer depends on the base model's weights: give `base`, a "
            "diffusers folder or a checkpoint"
        )
    tensor = weight()
    if tensor.ndim < 2 or tensor.dtype not in ARITHMETIC_DTYPES:
        raise ValueError(
            f"the base's weight must be a floating-point matrix or convolution, found shape {tuple(tensor.shape)} of "
            f"{tensor.dtype}: give a base model whose weights are not quantised"
        )
    return widen(tensor)


def _with_magnitude(parts: LayerParts, scaling: Scaling, weight: Tensor) -> Layer:
    inner = {role: tensor for role, tensor in parts.items() if role not in MAGNITUDES}
    layer = _FACTORED[algorithm_of(inner)](inner, scaling)
    expected = (weight.shape[0], weight[0].numel())
    if layer.shape != expected:
        raise ValueError(
            f"expected a delta of the base's shape {expected}, found {layer.shape}: give the base model of the training"
        )
    return dora(parts, layer, weight)
