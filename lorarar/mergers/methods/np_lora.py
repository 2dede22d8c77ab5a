"""NP-LoRA: takes the style's subspace out of the content before they are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from lorarar.lora import Dense, Layer, LowRank, factorise
from lorarar.mergers.methods.knots import side_by_side
from lorarar.mergers.methods.layers import add, present


def np_lora(deltas: Sequence[Layer | None], *, layer: str, mu: float = 0.5) -> Layer:
    """dW_m = dW_s + dW_c (I - mu/(1 + mu) Q Q^T), Q an orthonormal basis of the row space of dW_s.

    mu = 0 is the direct merge, mu = inf the hard projection. The projector acts on A_c alone, so the result stays low
    rank. With more than two LoRAs the first is the content, and the row space is that of all others together.

    Args:
        deltas: One delta (out, in) for each LoRA, the content first, with weights in them; None where a LoRA lacks the
            layer.
        layer: Its path.
        mu: Strength of the projection, 0 to inf.

    Returns:
        Thin factors of rank sum(rank_i); a dense delta where an input is dense.

    Raises:
        ValueError: mu is negative.

    Reference:
        NP-LoRA, arXiv 2511.11051.
    """
    if not mu >= 0:
        raise ValueError(f"expected a strength mu of at least 0, found {mu}")
    content, styles = deltas[0], present(deltas[1:])
    if content is None or not styles:
        return add(present(deltas))
    thin, basis = factorise(content), row_space([factorise(style) for style in styles])
    share = 1 - 1 / (1 + mu)
    a = thin.A.to(basis.dtype)
    kept = replace(thin, A=a - share * (a @ basis) @ basis.T)
    return add([Dense(kept.delta(), kept.kernel) if isinstance(content, Dense) else kept, *styles])


def row_space(deltas: Sequence[LowRank]) -> Tensor:
    """Orthonormal basis (in, k) of all deltas' rows, without the directions that are zero to rounding."""
    transposed = [LowRank(delta.A.T, delta.B.T, delta.scale) for delta in deltas]
    return side_by_side(transposed)[0]
