"""CAT: one learned number for each LoRA and layer on the concatenation of the factors.

arXiv 2410.13025 (LoRA Soups) learns the numbers on the task's own data. A pair has no images of both concepts at once,
so here they are learned with the objective of the other mergers. `lorarar.training.pair_training` runs it.
"""

from __future__ import annotations

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.recipe import MergerRecipe

# The paper has no term on the overlap of the coefficients; steps and rate are ZipLoRA's.
CAT = PairMethod(
    "layer",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=0.01),
    LossWeights(similarity=0.0),
)
