"""ZipLoRA: the coefficients of one pair as parameters, one for each LoRA and column, optimised for about 100 steps.

arXiv 2311.13600. Its objective has |m_c . m_s|; the two published implementations differ in that term, in the rate and
in what is optimised. `lorarar.training.pair_training` runs them.
"""

from __future__ import annotations

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.recipe import MergerRecipe

# All four attention projections, as the paper counts (1.57 million coefficients for SDXL); rate, steps, lambda and the
# |cos| of the release of LoRA.rar (arXiv 2412.05148). Its hypernetwork predicts "to_q" and "to_out" alone: a setting.
ZIPLORA = PairMethod(
    "column",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=0.01),
    LossWeights(similarity=0.01, kind="cos"),
)

# mkshing/ziplora-pytorch: the mean of |m_c * m_s|, at a rate at which the coefficients barely move in 100 steps.
ZIPLORA_PYTORCH = PairMethod(
    "column",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=5e-5),
    LossWeights(similarity=0.01, kind="product"),
)
