"""Words: one number for each LoRA and layer, optimised for a pair until it answers as the base answers a description.

Our objective for a single pair: the base draws an image from words for both concepts ("a red cat with white dots in
light blue grid style"), and on it the merged model learns to answer the prompt of the LoRAs ("a sks cat in szn style")
as the base answers the words. It needs no images of either concept. `lorarar.training.pair_training` runs it.
"""

from __future__ import annotations

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.recipe import MergerRecipe

# Steps and rate were chosen on validation pairs of the embedded default (experiments/main).
TEXT_GUIDED = PairMethod(
    "layer",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=0.03),
    LossWeights(fidelity=0.0, distillation=1.0, similarity=0.0),
)
