"""Stored layers: one layer as its file stores it, and its deltas under diffusers names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.formats.naming.rows import divide_rows
from lorarar.lora import Layer, Rows

# The number of rows of these parts, in order of preference, is the rank of a factored layer.
_RANKED = ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b")
# Parts that are matrices or convolutions in every file.
MATRICES = frozenset({"down", "up", "mid", "oft_blocks", "a1", "a2", "b1", "b2"})
MATRICES |= {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"}
MATRICES |= {"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"}
# Last name of a convolution's path -> its kernel.
_KERNELS = dict.fromkeys(("conv1", "conv2", "conv", "conv_in", "conv_out"), (3, 3)) | {"conv_shortcut": (1, 1)}


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """One layer as a file stores it.

    Attributes:
        rows: The diffusers layers in its rows.
        parts: Role -> tensor.
        algorithm: "lora", "loha", "dora", ...
        scaling: Scaling from a configuration, for parts without alpha.
    """

    rows: Rows
    parts: Mapping[str, Tensor]
    algorithm: str
    scaling: Scaling

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight's delta with flattened convolutions, (out, in) or (n,); () if unknown."""
        return next(_shapes(self.parts), ())

    @property
    def rank(self) -> int | None:
        """Rank of the stored factors; None without factors."""
        if "a1" in self.parts:
            return min(self.parts["a1"].shape[:2])  # (in, rank), or (rank, in) in old files
        return next((self.parts[role].shape[0] for role in _RANKED if role in self.parts), None)

    @property
    def alpha(self) -> float | None:
        """alpha from the file or its configuration."""
        alpha = self.parts.get("alpha")
        return self.scaling.alpha if alpha is None else float(alpha.flatten()[0])

    def divided_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the path of each diffusers layer -> shape of its delta; () if it is unknown."""
        total, shape = sum(share for _, share in self.rows.shares), self.shape
        suffix = ".bias" if set(self.parts) == {"diff_b"} else ""
        return {
            f"{path}{suffix}": (shape[0] // total * share, *shape[1:]) if shape else ()
            for path, share in self.rows.shares
        }

    def deltas(self, weight: Callable[[str], Tensor] | None) -> dict[str, Layer]:
        """Return the path of each diffusers layer -> its delta. The path of a bias ends in ".bias".

        Args:
            weight: Returns the base model's weight of a diffusers layer; None without a base model.

        Raises:
            NeedsBase: The algorithm needs the base model's weights, and `weight` is None.
            ValueError: Shapes disagree, or the rows cannot be divided.
        """
        stored = layer_deltas(self.parts, self.scaling, (lambda: self._weight(weight)) if weight else None)
        width = stored[""].shape[-1] if "" in stored else 0
        deltas: dict[str, Layer] = {}
        for name, layer in stored.items():
            parts = divide_rows(layer, self.rows, width)
            deltas |= {f"{path}.{name}" if name else path: part for path, part in parts.items()}
        return deltas

    def _weight(self, weight: Callable[[str], Tensor]) -> Tensor:
        """Return the base model's weight in the order of the stored rows."""
        stored = torch.cat([weight(path) for path in self.rows.paths])
        swapped = self.rows.halves and stored.shape[0] == 2 * stored.shape[1]
        return torch.cat(stored.chunk(2)[::-1]) if swapped else stored


def with_kernel(layer: Layer, path: str, family: str) -> Layer:
    """Return the layer with its convolution kernel if its name gives one and the file flattens it (LoHa, LoKr)."""
    name = path.rpartition(".")[2]
    pointwise = family == "sd15" and name in ("proj_in", "proj_out")
    kernel = (1, 1) if pointwise else _KERNELS.get(name, ())
    if layer.kernel or len(layer.shape) != 2 or not kernel or layer.shape[1] % math.prod(kernel):
        return layer
    return replace(layer, kernel=kernel)


def _shapes(parts: Mapping[str, Tensor]) -> Iterator[tuple[int, ...]]:
    """Yield the weight's flattened shape, once for each combination of parts that determines it."""
    if "up" in parts and "down" in parts:
        kernel = math.prod(parts["mid"].shape[2:]) if "mid" in parts else 1
        yield parts["up"].shape[0], parts["down"][0].numel() * kernel
    for role in ("diff", "w_norm", "b_norm", "diff_b"):
        if role in parts:
            yield _flat(parts[role])
    if "hada_t1" in parts:
        yield parts["hada_w1_a"].shape[1], parts["hada_w1_b"].shape[1] * math.prod(parts["hada_t1"].shape[2:])
    elif "hada_w1_a" in parts:
        yield parts["hada_w1_a"].shape[0], parts["hada_w1_b"].shape[1]
    if any(role.startswith("lokr") for role in parts):
        (a, b), (c, d) = _lokr(parts, 1), _lokr(parts, 2)
        yield a * c, b * d


def _lokr(parts: Mapping[str, Tensor], number: int) -> tuple[int, int]:
    """Return (rows, columns) of one Kronecker factor, with the kernel in the columns."""
    name = f"lokr_w{number}"
    if name in parts:
        rows, columns = _flat(parts[name])
        return rows, columns
    core = parts.get(f"lokr_t{number}")
    a, b = parts[f"{name}_a"], parts[f"{name}_b"]
    return (a.shape[1], b.shape[1] * math.prod(core.shape[2:])) if core is not None else (a.shape[0], b[0].numel())


def _flat(tensor: Tensor) -> tuple[int, ...]:
    return (tensor.shape[0], tensor[0].numel()) if tensor.ndim > 1 else tuple(tensor.shape)
