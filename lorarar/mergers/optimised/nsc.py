"""NSC: one coefficient for each LoRA and layer, by the share of the layers' inputs that each LoRA does not see.

arXiv 2603.26317 (null-space compression) merges LoRAs of several tasks without labels: the merged model gets each
task's inputs, and its coefficients minimise the null-space ratio of that task's LoRA in the last quarter of the blocks.
Here the inputs are noisy images of the concepts under their captions. `lorarar.training.pair_training` optimises the
coefficients.
"""

from __future__ import annotations

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.recipe import MergerRecipe

# Steps, rate and start are the paper's for vision models. It optimises all layers; those of other projections get the
# start as their fixed coefficient.
NSC = PairMethod(
    "layer",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=1e-3),
    LossWeights(fidelity=0.0, similarity=0.0, null_space=1.0),
    start=0.4,
    fixed=0.4,
)
