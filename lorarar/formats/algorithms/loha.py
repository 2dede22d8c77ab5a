"""LoHa, dW = gamma (w1_a w1_b) * (w2_a w2_b), * entry by entry.

Reference: FedPara, arXiv 2108.06098, equation 4; Tucker form for convolutions: section 2.2, proposition 3.

An entry of dW is (sum_p a_op b_pi)(sum_q c_oq d_qi) = sum_pq (a_op c_oq)(b_pi d_qi). The row-wise Khatri-Rao product of
the up factors and the column-wise one of the down factors are therefore exact factors of rank r1 r2.
"""

from __future__ import annotations

from torch import Tensor

from lorarar.formats.algorithms.parts import LayerParts, as_matrix, check_ranks, flatten_kernel, fold_core, widen
from lorarar.formats.algorithms.scaling import Scaling, gamma
from lorarar.lora import Dense, Layer, LowRank


def loha(parts: LayerParts, scaling: Scaling) -> Layer:
    """Return exact factors of rank r1 r2 if this is less than both sides of the delta, else the dense delta.

    Args:
        parts: "hada_w1_a" (out, r1), "hada_w1_b" (r1, in), "hada_w2_a", "hada_w2_b"; with "hada_t1" and "hada_t2"
            (r, r, height, width) the factors a are (r, out). "alpha".
        scaling: Scaling from a configuration.

    Returns:
        A delta in float32 or float64. Only a Tucker core determines the kernel.

    Raises:
        ValueError: The shapes disagree.
    """
    (a, b, kernel), (c, d, other) = _half(parts, 1), _half(parts, 2)
    if a.shape[0] != c.shape[0] or b.shape[1] != d.shape[1] or kernel != other:
        raise ValueError(
            f"the two products of LoHa must have equal shapes, found {(a.shape[0], b.shape[1])} and "
            f"{(c.shape[0], d.shape[1])}: the file is damaged, save it again"
        )
    scale = gamma(parts, scaling, parts["hada_w1_b"].shape[0])
    if a.shape[1] * c.shape[1] < min(a.shape[0], b.shape[1]):
        up, down = a[:, :, None] * c[:, None, :], b[:, None, :] * d[None, :, :]
        return LowRank(up.flatten(1), down.flatten(0, 1), scale, kernel)
    return Dense(scale * (a @ b) * (c @ d), kernel)


def _half(parts: LayerParts, index: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Return one of the two products: up (out, r), down (r, in), kernel."""
    up, down, core = f"hada_w{index}_a", f"hada_w{index}_b", f"hada_t{index}"
    if core in parts:
        check_ranks(parts, (up, 0), (core, 0))
        check_ranks(parts, (core, 1), (down, 0))
        kernel = flatten_kernel(parts, core)[1]
        return widen(as_matrix(parts, up)).T, fold_core(parts[core], as_matrix(parts, down)), kernel
    check_ranks(parts, (up, 1), (down, 0))
    return widen(as_matrix(parts, up)), widen(as_matrix(parts, down)), ()
