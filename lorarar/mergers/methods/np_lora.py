"""NP-LoRA: a projection that removes the style's subspace from the content before they are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from lorarar.lora import Dense, Layer, LowRank, factorise
from lorarar.mergers.methods.knots import joint_svd
from lorarar.mergers.methods.layers import add_deltas, present


def np_lora(deltas: Sequence[Layer | None], *, layer: str, mu: float = 0.5) -> Layer:
    """Return dW_m = dW_s + dW_c (I - mu/(1 + mu) Q Q^T), with Q an orthonormal basis of the row space of dW_s.

    mu = 0 is the direct merge, mu = inf the hard projection. The projector acts on A_c alone, so the result stays
    low-rank. Of more than two LoRAs the first is the content, and the row space is that of all others together.

    Args:
        deltas: One delta (out, in) for each LoRA, the content first, with its weight in it; None where a LoRA lacks the
            layer.
        layer: Path of the layer.
        mu: Strength of the projection, 0 to inf.

    Returns:
        A low-rank delta of rank sum(rank_i); a dense delta where an input is dense.

    Raises:
        ValueError: mu is negative.

    Reference:
        NP-LoRA, arXiv 2511.11051.
    """
    if not mu >= 0:
        raise ValueError(f"expected mu of at least 0, found {mu}: choose a larger one")
    content, styles = deltas[0], present(deltas[1:])
    if content is None or not styles:
        return add_deltas(present(deltas))
    factors, basis = factorise(content), row_space([factorise(style) for style in styles])
    share = 1 - 1 / (1 + mu)
    a = factors.A.to(basis.dtype)
    projected = replace(factors, A=a - share * (a @ basis) @ basis.T)
    first = Dense(projected.delta(), projected.kernel) if isinstance(content, Dense) else projected
    return add_deltas([first, *styles])


def row_space(deltas: Sequence[LowRank]) -> Tensor:
    """Return an orthonormal basis (in, k) of all deltas' rows, without the directions that are zero to rounding."""
    transposed = [LowRank(delta.A.T, delta.B.T, delta.scale) for delta in deltas]
    return joint_svd(transposed)[0]
