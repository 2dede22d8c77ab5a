"""Text-guided merger: one coefficient for each LoRA and layer, optimised for a pair by distillation from the base.

The base samples a synthetic image from descriptions of both concepts ("a red cat with white dots in light blue grid
style"). On that image the merged model learns to predict for the prompt of the LoRAs ("a sks cat in szn style") what
the base predicts for the descriptions. No images of the concepts are needed. `lorarar.training.pair_training` optimises
the coefficients.
"""

from __future__ import annotations

from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.recipe import MergerRecipe

# Steps and rate were selected on validation pairs of the embedded default (experiments/main).
TEXT_GUIDED = PairMethod(
    "layer",
    ("to_q", "to_k", "to_v", "to_out"),
    MergerRecipe(steps=100, learning_rate=0.03),
    LossWeights(fidelity=0.0, distillation=1.0, similarity=0.0),
)
