"""ZipLoRA: the coefficients of a pair as parameters, one for each LoRA and column, optimised for about 100 steps.

arXiv 2311.13600 has |m_c . m_s| in its objective. The two published implementations differ in that term, in the
learning rate and in the layers that are optimised. `lorarar.training.pair_training` optimises the coefficients.
"""

from __future__ import annotations

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.recipe import MergerRecipe

# All four attention projections, as the paper counts (1.57 million coefficients for SDXL), with the rate, the steps,
# lambda and the |cos| of the release of LoRA.rar (arXiv 2412.05148). The hypernetwork of that release predicts only
# "to_q" and "to_out"; `predicted` sets the layers here.
ZIPLORA = PairMethod(
    "column",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=0.01),
    LossWeights(similarity=0.01, kind="cos"),
)

# As in mkshing/ziplora-pytorch: the mean of |m_c * m_s|, with a rate at which the coefficients barely change in 100
# steps.
ZIPLORA_PYTORCH = PairMethod(
    "column",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=5e-5),
    LossWeights(similarity=0.01, kind="product"),
)
