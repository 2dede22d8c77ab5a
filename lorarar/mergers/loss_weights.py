"""Loss weights: weights of the objective's terms, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lorarar.storage import NonNegativeFloat

SimilarityKind = Literal["cos", "dot", "product"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the objective's terms.

    Attributes:
        fidelity: Weight of the paper's two terms, on the images and captions of the content and of the style.
        combined: Weight of the term on the combined prompt, against the sum of what each LoRA alone adds to the base.
        strengths: (g_c, g_s) of the target of that term, base + g_c (content - base) + g_s (style - base).
        distillation: Weight of the term on the combined prompt, against the base's prediction for both descriptions.
        similarity: Lambda, the weight of the summed overlap of m_c and m_s.
        kind: How the overlap is measured, see `lorarar.mergers.objective.similarity`.
        null_space: Weight of the share of the layers' inputs that the LoRAs do not see, see
            `lorarar.training.null_space`.
        cycle: Weight of the terms against the teachers' predictions after a cycle through the other concept, see
            `lorarar.training.targets`.
        rank_prior: Weight of the prior by resolution, see `lorarar.mergers.objective.rank_prior`.
        extra: Name of a plugin's term -> its weight.
    """

    fidelity: NonNegativeFloat = 1.0
    combined: NonNegativeFloat = 0.0
    strengths: tuple[float, float] = (1.0, 1.0)
    distillation: NonNegativeFloat = 0.0
    similarity: NonNegativeFloat = 0.01
    kind: SimilarityKind = "cos"
    null_space: NonNegativeFloat = 0.0
    cycle: NonNegativeFloat = 0.0
    rank_prior: NonNegativeFloat = 0.0
    extra: dict[str, float] = field(default_factory=dict)

    def of(self, term: str) -> float:
        """Return the weight of a term by name; the paper's two terms share one."""
        if term in self.extra:
            return self.extra[term]
        return self.fidelity if term in ("content", "style") else float(getattr(self, term))
