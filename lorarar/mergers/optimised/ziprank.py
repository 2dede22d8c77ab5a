"""ZipRank: one coefficient for each LoRA and direction of its rank, B diag(m) A, with a prior and a cycle.

Directions are those of the factors in the file, as in the released code. Its prior favours the content's directions in
the layers of the lowest resolution and the style's in the others (`lorarar.mergers.objective.rank_prior`); its cycle
compares with each concept's images after a pass through the other LoRA and back (`lorarar.training.targets`).
`lorarar.training.pair_training` optimises the coefficients.

Reference:
    DuoLoRA, arXiv 2504.13206.
"""

from __future__ import annotations

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.recipe import MergerRecipe

# Steps, rate and weights of the release, whose masks start from 1 in all layers.
ZIPRANK = PairMethod(
    "rank",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=0.01),
    LossWeights(similarity=0.0, cycle=0.1, rank_prior=0.01),
)
