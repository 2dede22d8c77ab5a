"""Low-rank deltas: algebra on dW = scale B A without the dense dW.

Shapes: B is (out, rank), A is (rank, in), dW is (out, in). All computation is in float32, or in float64 if a factor is
float64. LoRA files hold fp16, whose rounding would dominate sums over hundreds of columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class LowRank:
    """Low-rank delta of one layer, dW = scale B A.

    The scale stays beside the factors because folding alpha / rank into fp16 factors would round them.

    Attributes:
        B: Up factor, (out, rank).
        A: Down factor, (rank, in). For a convolution in = channels * height * width of its flattened kernel.
        scale: alpha / rank, or alpha / sqrt(rank) for rsLoRA.
        kernel: (height, width) of a convolution's kernel; () for a linear layer.

    Raises:
        ValueError: A factor is not a 2-D floating-point tensor, the ranks differ, or the kernel does not fit.
    """

    B: Tensor
    A: Tensor
    scale: float = 1.0
    kernel: tuple[int, ...] = ()

    def __repr__(self) -> str:
        shape = " x ".join(map(str, (self.B.shape[0], self.A.shape[1])))
        return f"LowRank({shape}, rank {self.A.shape[0]}, scale {self.scale:g})"

    def __post_init__(self) -> None:
        for letter, factor in (("B", self.B), ("A", self.A)):
            if factor.ndim != 2 or not factor.is_floating_point():
                raise ValueError(
                    f"factor {letter} must be a 2-D floating-point tensor, found shape {tuple(factor.shape)} of "
                    f"{factor.dtype}: flatten the convolution kernel or dequantise the weights first"
                )
        if self.B.shape[1] != self.A.shape[0]:
            raise ValueError(
                f"the factors' ranks must agree: expected B (out, rank) and A (rank, in), found B "
                f"{tuple(self.B.shape)} and A {tuple(self.A.shape)}: check whether the up and down weights were "
                f"swapped or transposed"
            )
        check_kernel(self.kernel, self.A.shape[1])

    @property
    def rank(self) -> int:
        """Inner dimension of the factors. The rank of the delta can be lower."""
        return self.A.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the delta, (out, in)."""
        return self.B.shape[0], self.A.shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the factors."""
        return self.A.device

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LowRank:
        """Return the same delta with its factors on another device or in another dtype."""
        return replace(self, B=self.B.to(device=device, dtype=dtype), A=self.A.to(device=device, dtype=dtype))

    def delta(self) -> Tensor:
        """Return the dense delta scale B A, (out, in), in float32 or float64: large, for tests and inspection."""
        return self.scale * (_wide(self.B) @ _wide(self.A))


def scale_columns(factors: LowRank, m: Tensor) -> LowRank:
    """Return dW diag(m), the delta whose column j is multiplied by m[j], or B diag(m) A for coefficients of directions.

    Scaling columns changes only the down factor, so the rank stays the same: (B A) diag(m) = B (A diag(m)).

    Args:
        factors: Delta of shape (out, in).
        m: Coefficients: of columns (in,), of the directions of the rank (rank, 1), or a scalar () for all.

    Returns:
        The delta with B unchanged, A diag(scale m) or diag(scale m) A in float32 or float64, and scale 1,
        differentiable in m and the factors. If m is the number 1, the delta itself.

    Raises:
        ValueError: The shape of m is none of these.
    """
    width = factors.shape[1]
    if m.ndim and tuple(m.shape) not in ((width,), (factors.rank, 1)):
        raise ValueError(
            f"expected one coefficient per column, shape ({width},), per direction, ({factors.rank}, 1), or (), found "
            f"{tuple(m.shape)}: use coefficients that were made for this layer"
        )
    if not m.ndim and not m.requires_grad and m == 1:
        return factors
    # With at least one dimension, the product itself widens a half-precision A, in one pass.
    multipliers = factors.scale * _wide(torch.atleast_1d(m.to(factors.A.device)))
    return replace(factors, A=factors.A * multipliers, scale=1.0)


def concat(factors: Sequence[LowRank]) -> LowRank:
    """Return the exact sum of deltas as one low-rank delta.

    `sum_i s_i B_i A_i = [B_1 .. B_n] [s_1 A_1; ..; s_n A_n]`.

    Args:
        factors: One or more deltas of equal shape (out, in), of any ranks and scales.

    Returns:
        A delta of rank sum(rank_i) and scale 1.0. A single delta is returned unchanged. Copied factors keep their dtype
        (the widest of the inputs'). A factor A whose scale is not 1 is computed in float32 or float64.

    Raises:
        ValueError: The sequence is empty, or the shapes differ.
    """
    if not factors:
        raise ValueError("expected at least one delta to sum, found none")
    if len(factors) == 1:
        return factors[0]
    shapes = [f.shape for f in factors]
    if len(set(shapes)) > 1:
        raise ValueError(f"deltas must have equal shapes to be summed, found {shapes}: sum deltas for one base model")
    return LowRank(
        B=torch.cat([f.B for f in factors], dim=1),
        A=torch.cat([f.A if f.scale == 1 else f.scale * _wide(f.A) for f in factors], dim=0),
        kernel=next((f.kernel for f in factors if f.kernel), ()),  # some files flatten the kernel
    )


def inner(a: LowRank, b: LowRank) -> Tensor:
    """Return the Frobenius inner product <dW_a, dW_b> = s_a s_b sum((B_a^T B_b) * (A_a A_b^T)), a scalar ().

    Raises:
        ValueError: The shapes differ.
    """
    _check_same_shape(a, b)
    return a.scale * b.scale * ((_wide(a.B).T @ _wide(b.B)) * (_wide(a.A) @ _wide(b.A).T)).sum()


def norm(a: LowRank) -> Tensor:
    """Return the Frobenius norm of the delta, a scalar ()."""
    return inner(a, a).clamp_min(0).sqrt()


def column_dots(a: LowRank, b: LowRank) -> Tensor:
    """Return the inner products of matching columns, dW_a[:, j] . dW_b[:, j], of shape (in,).

    Raises:
        ValueError: The shapes differ.
    """
    _check_same_shape(a, b)
    gram = _wide(a.B).T @ _wide(b.B)
    return a.scale * b.scale * (_wide(a.A) * (gram @ _wide(b.A))).sum(dim=0)


def column_norms(a: LowRank) -> Tensor:
    """Return the Euclidean norms of the delta's columns, |dW[:, j]|, of shape (in,)."""
    return column_dots(a, a).clamp_min(0).sqrt()


def thin_svd(a: LowRank) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thin singular value decomposition dW = U diag(s) Vh without the dense delta.

    The SVD of the core of `orthonormal_bases`, (rank, rank), is what is left to compute.

    Args:
        a: Delta of shape (out, in).

    Returns:
        U (out, k), the singular values (k,) in descending order, and Vh (k, in), where k = min(rank, out, in). They are
        in float32 or float64.
    """
    (q_b, q_a), core = orthonormal_bases(a)
    u, s, vh = torch.linalg.svd(core, full_matrices=False)
    return q_b @ u, s, vh @ q_a.T


def orthonormal_bases(a: LowRank) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return orthonormal bases of the factors' columns and rows, and the delta's core between them.

    B = Q_B R_B and A^T = Q_A R_A (QR), so that dW = Q_B (s R_B R_A^T) Q_A^T.

    Returns:
        Q_B (out, k) and Q_A (in, l), and the core (k, l), where k = min(rank, out) and l = min(rank, in).
    """
    q_b, r_b = torch.linalg.qr(_wide(a.B))
    q_a, r_a = torch.linalg.qr(_wide(a.A).T)
    return (q_b, q_a), a.scale * (r_b @ r_a.T)


def from_svd(u: Tensor, s: Tensor, vh: Tensor, kernel: tuple[int, ...] = ()) -> LowRank:
    """Return U diag(s) Vh as factors.

    The factors share the singular values evenly, which keeps both within the range of fp16.

    Args:
        u: (out, rank).
        s: (rank,), not negative.
        vh: (rank, in).
        kernel: (height, width) of a convolution's kernel, else ().

    Returns:
        B = U sqrt(s), A = sqrt(s) Vh, scale 1.0.
    """
    root = s.sqrt()
    return LowRank(B=u * root, A=root[:, None] * vh, kernel=kernel)


def truncate(a: LowRank, rank: int) -> tuple[LowRank, float]:
    """Return the best approximation of a given rank (Eckart-Young).

    Args:
        a: Delta of shape (out, in).
        rank: Largest rank of the result, at least 1.

    Returns:
        The truncated delta with scale 1.0, and the relative error |dW - dW_rank| / |dW| (0.0 for a zero delta). A delta
        of at most this rank is returned unchanged with error 0.0.

    Raises:
        ValueError: The rank is less than 1.
    """
    if rank < 1:
        raise ValueError(f"expected a rank of at least 1, found {rank}: give a larger one")
    if rank >= a.rank:
        return a, 0.0
    u, s, vh = thin_svd(a)
    truncated = from_svd(u[:, :rank], s[:rank], vh[:rank], a.kernel)
    total, lost = float(s.detach().norm()), float(s.detach()[rank:].norm())
    return truncated, lost / total if total else 0.0


def check_kernel(kernel: tuple[int, ...], width: int) -> None:
    """Check that a flattened input width is a multiple of the kernel's size.

    Raises:
        ValueError: The width is not a multiple, or the kernel has a size of 0.
    """
    size = math.prod(kernel)
    if size < 1 or width % size:
        raise ValueError(
            f"expected a multiple of {size} columns for the kernel {kernel}, found {width}: check the kernel's size"
        )


def _wide(x: Tensor) -> Tensor:
    """Return x in float32, or unchanged if it is float64. torch does not promote float8."""
    return x if x.dtype == torch.float64 else x.float()


def _check_same_shape(a: LowRank, b: LowRank) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"deltas must have equal shapes, found {a.shape} and {b.shape}: compare deltas for one base model"
        )
