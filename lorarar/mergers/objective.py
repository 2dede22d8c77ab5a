"""Objective: the losses that learned mergers minimise, pure functions on tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lorarar.lora import Coefficients
from lorarar.mergers.loss_weights import LossWeights, SimilarityKind
from lorarar.storage import Table, unknown_name


@dataclass(frozen=True)
class TermInputs:
    """What a term of the objective is computed from, for one pair.

    Attributes:
        predictions: Predictions of the merged model, (n, channels, height/8, width/8), by the name of what it was
            given: "content", "style", "combined", "distillation". Only those are there whose term has a weight.
        targets: Predictions of the teachers for the same inputs, by the same names; of the cycle "cycle_content" and
            "cycle_style".
        coefficients: Coefficients of the pair's LoRAs.
        weights: Weights of all terms.
    """

    predictions: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    coefficients: Coefficients
    weights: LossWeights


@dataclass(frozen=True)
class Term:
    """A term of the objective.

    Attributes:
        name: Name of the term, under which it is logged; that of a plugin's term is a key of `LossWeights.extra`.
        call: Function of `TermInputs` -> a scalar tensor (), differentiable in the coefficients.
    """

    name: str
    call: Callable[[TermInputs], Tensor]


def terms_of(inputs: TermInputs) -> dict[str, Tensor]:
    """Return the terms of one pair by name: those with a weight, and the similarity of coefficients of columns.

    Raises:
        ValueError: No plugin has a term that the extra weights name.
    """
    names = [*inputs.predictions]
    if all(m.ndim < 2 for row in inputs.coefficients.layers.values() for m in row):  # directions are not comparable
        names.append("similarity")
    weights = {"cycle": inputs.weights.cycle, "rank_prior": inputs.weights.rank_prior, **inputs.weights.extra}
    names += [name for name, weight in weights.items() if weight]
    return {name: TERMS.find(name).call(inputs) for name in names}


def check_terms(weights: LossWeights) -> None:
    """Check that plugins have the terms that extra weights name.

    Raises:
        ValueError: There is no such term, or lorarar's own weight is meant.
    """
    for name in weights.extra:
        if name in TERMS.own():
            raise ValueError(
                f"expected a plugin's term in loss_weights.extra, found {name!r} of lorarar: set its weight"
            )
        TERMS.find(name)


def weighted_total(weights: LossWeights, terms: Mapping[str, Tensor]) -> Tensor:
    """Return the weighted sum of the objective's terms, tensors of one shape by name."""
    return torch.stack([weights.of(name) * term for name, term in terms.items()]).sum(dim=0)


def fidelity_loss(merged: Tensor, teacher: Tensor) -> Tensor:
    """Return |eps(merged; x, p) - eps(teacher; x, p)|^2, the mean over all elements, a scalar tensor ().

    Args:
        merged: Prediction with the merged LoRA, (batch, channels, height/8, width/8): epsilon, v or sample, as the
            model predicts.
        teacher: Prediction with the content or the style LoRA alone on the same input, of the same shape.

    Raises:
        ValueError: The shapes differ (broadcasting would average over the wrong elements).

    Reference:
        The fidelity terms of arXiv 2412.05148 and arXiv 2311.13600 (ZipLoRA).
    """
    if merged.shape != teacher.shape:
        raise ValueError(
            f"expected predictions of one shape, found merged {tuple(merged.shape)} and teacher "
            f"{tuple(teacher.shape)}: give both the same inputs"
        )
    # fp16 squares of small differences underflow.
    return F.mse_loss(merged.float(), teacher.float())


def combined_target(
    content: Tensor, style: Tensor, base: Tensor, strengths: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Return base + g_c (content - base) + g_s (style - base), the sum of what each LoRA adds to the prediction.

    With strengths (1, 1) this is content + style - base.

    Args:
        content: Prediction with the content LoRA, any shape.
        style: Prediction with the style LoRA, the same shape.
        base: Prediction of the base alone, the same shape.
        strengths: (g_c, g_s).
    """
    return base + strengths[0] * (content - base) + strengths[1] * (style - base)


def similarity(coefficients: Coefficients, kind: SimilarityKind) -> Tensor:
    """Return the overlap of the LoRAs' coefficients, summed over layers and all pairs of LoRAs, a scalar tensor ().

    Args:
        coefficients: For each layer two or more vectors (in,) or numbers ().
        kind: "cos": |cos(m_c, m_s)| (LoRA.rar); "dot": |m_c . m_s| (ZipLoRA's paper); "product": mean_j |m_c[j] m_s[j]|
            (ziplora-pytorch).

    Raises:
        ValueError: The kind is unknown, or there are no layers or fewer than two LoRAs.

    Reference:
        arXiv 2412.05148 ("cos"), arXiv 2311.13600 ("dot").
    """
    overlaps = [_overlap(m_c, m_s, kind).sum() for m_c, m_s in _stacked_pairs(coefficients)]
    if not overlaps:
        raise ValueError(
            f"expected coefficients of at least two LoRAs, found {len(coefficients.layers)} layers without a pair: "
            f"set the weight of the similarity to 0 for a single LoRA"
        )
    return torch.stack(overlaps).sum()


def rank_prior(coefficients: Coefficients) -> Tensor:
    """Return ZipRank's prior, the mean over the layers of a UNet's resolutions, a scalar tensor ().

    A layer of the lowest resolution should have the content's rank, another one the style's. With m_1 the vector of the
    favoured LoRA, m_2 the other's, and the nuclear norm |m|_* of a vector, its length:
    |m_1|_1 + max(0, |m_2|_* - |m_1|_*).

    Args:
        coefficients: Of two LoRAs.

    Raises:
        ValueError: No layer of a UNet's blocks has a vector.

    Reference:
        arXiv 2504.13206. Its release omits the max, and finds no layer of SDXL's first up block and mid block.
    """
    vectors = {layer: row for layer, row in coefficients.layers.items() if row[0].ndim and _depth(layer) is not None}
    if not vectors:
        raise ValueError(
            "expected layers of a UNet's blocks for the prior by resolution, found none: set loss_weights.rank_prior=0"
        )
    lowest = {side: _lowest(vectors, side) for side in ("down_blocks", "up_blocks")}
    terms = []
    for layer, (m_c, m_s) in vectors.items():
        side, depth = layer.partition(".")[0], _depth(layer)
        favoured, other = (m_c, m_s) if side == "mid_block" or depth == lowest[side] else (m_s, m_c)
        terms.append(favoured.abs().sum() + (other.norm() - favoured.norm()).clamp(min=0))
    return torch.stack(terms).mean()


def _depth(layer: str) -> int | None:
    """Return how low the resolution of a layer is within its half of a UNet; None outside of a UNet's blocks."""
    side, _, rest = layer.partition(".")
    if side == "mid_block":
        return 0
    number = rest.partition(".")[0]
    if side not in ("down_blocks", "up_blocks") or not number.isdecimal():
        return None
    return int(number) if side == "down_blocks" else -int(number)


def _lowest(layers: Iterable[str], side: str) -> int | None:
    """Return the depth of the lowest resolution of one half of a UNet."""
    depths = [depth for layer in layers if layer.startswith(side) and (depth := _depth(layer)) is not None]
    return max(depths, default=None)


def _cycle_error(inputs: TermInputs) -> Tensor:
    errors = [fidelity_loss(inputs.predictions[name], inputs.targets[f"cycle_{name}"]) for name in ("content", "style")]
    return errors[0] + errors[1]


def _prediction_error(name: str, inputs: TermInputs) -> Tensor:
    return fidelity_loss(inputs.predictions[name], inputs.targets[name])


TERMS: Table[Term] = Table(
    "TERMS",
    Term,
    "a term of the objective",
    [
        *(Term(name, partial(_prediction_error, name)) for name in ("content", "style", "combined", "distillation")),
        Term("similarity", lambda inputs: similarity(inputs.coefficients, inputs.weights.kind)),
        Term("cycle", _cycle_error),
        Term("rank_prior", lambda inputs: rank_prior(inputs.coefficients)),
    ],
)


def _overlap(m_c: Tensor, m_s: Tensor, kind: SimilarityKind) -> Tensor:
    """Return the overlap of m_c and m_s in each layer, (layers, in) and (layers, in) -> (layers,)."""
    if kind == "cos":
        return F.cosine_similarity(m_c, m_s, dim=-1).abs()
    if kind == "dot":
        return (m_c * m_s).sum(dim=-1).abs()
    if kind == "product":
        return (m_c * m_s).abs().mean(dim=-1)
    raise ValueError(unknown_name("a kind of similarity", kind, get_args(SimilarityKind)))


def _stacked_pairs(coefficients: Coefficients) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all pairs of vectors, those of equal width in one stack, so that hundreds of small kernels become a few."""
    stacks: dict[int, list[tuple[Tensor, Tensor]]] = {}
    for vectors in coefficients.layers.values():
        for m_c, m_s in combinations(vectors, 2):
            width = max(m_c.numel(), m_s.numel())
            stacks.setdefault(width, []).append((m_c.expand(width), m_s.expand(width)))
    for pairs in stacks.values():
        yield torch.stack([m_c for m_c, _ in pairs]), torch.stack([m_s for _, m_s in pairs])
