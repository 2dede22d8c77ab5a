"""Algebra on low-rank deltas, dW = scale B A, that never forms dW.

Shapes: B is (out, rank), A is (rank, in), dW is (out, in). Everything is computed in float32, or in float64 when a
factor is float64: LoRA files are fp16, whose rounding would dominate sums over hundreds of columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class LowRank:
    """One layer's delta, dW = scale B A.

    The scale stays beside the factors, because folding alpha / rank into fp16 factors would round them.

    Args:
        B: Up factor, (out, rank).
        A: Down factor, (rank, in). For a convolution in = channels * height * width of its kernel, flattened.
        scale: alpha / rank (alpha / sqrt(rank) for rsLoRA), a plain number.
        kernel: (height, width) of a convolution's kernel; () for a linear layer.

    Raises:
        ValueError: A factor is not 2-D, is no floating-point tensor, or the two ranks differ.
    """

    B: Tensor
    A: Tensor
    scale: float = 1.0
    kernel: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for letter, factor in (("B", self.B), ("A", self.A)):
            if factor.ndim != 2 or not factor.is_floating_point():
                raise ValueError(
                    f"factor {letter} must be a 2-D floating-point tensor, found shape {tuple(factor.shape)} of "
                    f"{factor.dtype}: flatten a convolution kernel or dequantise the weights first"
                )
        if self.B.shape[1] != self.A.shape[0]:
            raise ValueError(
                f"the factors' ranks must agree: expected B (out, rank) and A (rank, in), found B "
                f"{tuple(self.B.shape)} and A {tuple(self.A.shape)}: check that up and down weights were not swapped "
                f"or transposed"
            )
        check_kernel(self.kernel, self.A.shape[1])

    @property
    def rank(self) -> int:
        """Inner dimension of the factors (the delta's own rank can be lower)."""
        return self.A.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the delta, (out, in)."""
        return self.B.shape[0], self.A.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.A.device

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LowRank:
        """The same delta with its factors on another device or in another dtype."""
        return replace(self, B=self.B.to(device=device, dtype=dtype), A=self.A.to(device=device, dtype=dtype))

    def delta(self) -> Tensor:
        """The dense delta scale B A, (out, in), float32 or wider. For tests and inspection only: large."""
        return self.scale * (_wide(self.B) @ _wide(self.A))


def scale_columns(factors: LowRank, m: Tensor) -> LowRank:
    """dW diag(m): column j of the delta times m[j].

    Scaling columns touches the down factor alone, so the rank stays: (B A) diag(m) = B (A diag(m)).

    Args:
        factors: A delta of shape (out, in).
        m: Coefficients, (in,), or () for one number for all columns.

    Returns:
        B as it was, A diag(scale m) in float32 or wider, scale 1; differentiable in m and in the factors. The number 1
        changes nothing: the factors come back as they are.

    Raises:
        ValueError: m is neither () nor (in,).
    """
    width = factors.shape[1]
    if m.ndim and tuple(m.shape) != (width,):
        raise ValueError(
            f"expected one coefficient a column, shape ({width},) or (), found {tuple(m.shape)}: "
            f"the coefficients were made for another layer"
        )
    if not m.ndim and not m.requires_grad and m == 1:
        return factors
    # At least one dimension, so that a half-precision A is widened by the product itself, in one pass.
    numbers = factors.scale * _wide(m.to(factors.A.device).reshape(-1))
    return replace(factors, A=factors.A * numbers, scale=1.0)


def concat(factors: Sequence[LowRank]) -> LowRank:
    """The exact sum of deltas as one low-rank delta: sum_i s_i B_i A_i = [B_1 .. B_n] [s_1 A_1; ..; s_n A_n].

    Args:
        factors: One or more deltas of equal shape (out, in), of any ranks and scales.

    Returns:
        A delta of rank sum(rank_i) and scale 1.0. A list of one comes back unchanged. What is only copied keeps its
        dtype (the widest of them); a factor A whose scale is not 1 is computed in float32 or wider.

    Raises:
        ValueError: The list is empty, or the shapes differ.
    """
    if not factors:
        raise ValueError("expected at least one delta to sum, found none")
    if len(factors) == 1:
        return factors[0]
    shapes = [f.shape for f in factors]
    if len(set(shapes)) > 1:
        raise ValueError(f"deltas must have equal shapes to be summed, found {shapes}: they belong to different bases")
    return LowRank(
        B=torch.cat([f.B for f in factors], dim=1),
        A=torch.cat([f.A if f.scale == 1 else f.scale * _wide(f.A) for f in factors], dim=0),
        kernel=next((f.kernel for f in factors if f.kernel), ()),  # some files flatten it
    )


def inner(a: LowRank, b: LowRank) -> Tensor:
    """Frobenius inner product <dW_a, dW_b> = s_a s_b sum((B_a^T B_b) * (A_a A_b^T)), a scalar tensor ()."""
    _check_same_shape(a, b)
    return a.scale * b.scale * ((_wide(a.B).T @ _wide(b.B)) * (_wide(a.A) @ _wide(b.A).T)).sum()


def norm(a: LowRank) -> Tensor:
    """Frobenius norm of the delta, a scalar tensor ()."""
    return inner(a, a).clamp_min(0).sqrt()


def column_dots(a: LowRank, b: LowRank) -> Tensor:
    """Inner products of matching columns, dW_a[:, j] . dW_b[:, j], of shape (in,)."""
    _check_same_shape(a, b)
    gram = _wide(a.B).T @ _wide(b.B)
    return a.scale * b.scale * (_wide(a.A) * (gram @ _wide(b.A))).sum(dim=0)


def column_norms(a: LowRank) -> Tensor:
    """Euclidean norms of the delta's columns, |dW[:, j]|, of shape (in,)."""
    return column_dots(a, a).clamp_min(0).sqrt()


def svd(a: LowRank) -> tuple[Tensor, Tensor, Tensor]:
    """The delta's thin singular value decomposition, dW = U diag(s) Vh, without the dense delta.

    B = Q_B R_B and A^T = Q_A R_A reduce the problem to the SVD of the small core s R_B R_A^T, (rank, rank).

    Args:
        a: A delta of shape (out, in).

    Returns:
        U (out, k), the singular values (k,) in descending order, Vh (k, in), where k = min(rank, out, in); float32 or
        wider.
    """
    q_b, r_b = torch.linalg.qr(_wide(a.B))
    q_a, r_a = torch.linalg.qr(_wide(a.A).T)
    u, s, vh = torch.linalg.svd(a.scale * (r_b @ r_a.T), full_matrices=False)
    return q_b @ u, s, vh @ q_a.T


def from_svd(u: Tensor, s: Tensor, vh: Tensor, kernel: tuple[int, ...] = ()) -> LowRank:
    """U diag(s) Vh as factors, the singular values shared evenly between them, which suits fp16 files.

    Args:
        u: (out, rank).
        s: (rank,), not negative.
        vh: (rank, in).
        kernel: Of the convolution, else ().

    Returns:
        B = U sqrt(s), A = sqrt(s) Vh, scale 1.0.
    """
    root = s.sqrt()
    return LowRank(B=u * root, A=root[:, None] * vh, kernel=kernel)


def truncate(a: LowRank, rank: int) -> tuple[LowRank, float]:
    """The best approximation of a given rank (Eckart-Young).

    Args:
        a: A delta of shape (out, in).
        rank: Largest rank wanted, at least 1.

    Returns:
        The truncated delta with scale 1.0, and the relative error |dW - dW_rank| / |dW| (0.0 for a zero delta). A delta
        that is small enough already comes back unchanged, with error 0.0.

    Raises:
        ValueError: The rank is less than 1.
    """
    if rank < 1:
        raise ValueError(f"expected a rank of at least 1, found {rank}")
    if rank >= a.rank:
        return a, 0.0
    u, s, vh = svd(a)
    truncated = from_svd(u[:, :rank], s[:rank], vh[:rank], a.kernel)
    total, lost = float(s.detach().norm()), float(s.detach()[rank:].norm())
    return truncated, lost / total if total else 0.0


def check_kernel(kernel: tuple[int, ...], width: int) -> None:
    """Checks that a flattened input width is a multiple of the kernel's size.

    Raises:
        ValueError: It is not, or the kernel has a size of 0.
    """
    size = math.prod(kernel)
    if size < 1 or width % size:
        raise ValueError(f"a kernel {kernel} has {size} weights a channel, which do not divide the {width} columns")


def _wide(x: Tensor) -> Tensor:
    """float32, or float64 where it is so already (torch promotes no float8)."""
    return x if x.dtype == torch.float64 else x.float()


def _check_same_shape(a: LowRank, b: LowRank) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"deltas must have equal shapes, found {a.shape} and {b.shape}: they belong to different bases"
        )
