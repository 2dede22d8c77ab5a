"""CAT: one learned coefficient for each LoRA and layer, on the concatenation of the factors.

arXiv 2410.13025 (LoRA Soups) learns the coefficients on data of the task. A pair has no images that show both concepts
at once, so here they are learned with the objective of the other mergers. `lorarar.training.pair_training` optimises
them.
"""

from __future__ import annotations

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.recipe import MergerRecipe

# The paper has no term for the overlap of the coefficients. Steps and rate are those of ZipLoRA.
CAT = PairMethod(
    "layer",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=0.01),
    LossWeights(similarity=0.0),
)
