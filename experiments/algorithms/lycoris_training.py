"""One LoRA by LyCORIS' own modules in the base's forward, the way its users train."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from lycoris.wrapper import network_module_dict

from lorarar.datasets import Concept
from lorarar.diffusion import Backbone
from lorarar.training import Recipe, noisy_batch, sample_noise, step_generator
from lorarar.training.batches import encode_concept
from lorarar.training.layers import trained_layers

logging.getLogger("LyCORIS").setLevel(logging.ERROR)


def library_training(backbone: Backbone, concept: Concept, recipe: Recipe) -> Callable[[], None]:
    """Return a step of training one LoRA of a recipe from LyCORIS' initial parts."""
    dora = recipe.algorithm == "dora"
    kind = network_module_dict["lora" if dora else recipe.algorithm]
    options: dict[str, Any] = {"weight_decompose": dora, "factor": recipe.factor, "full_matrix": recipe.full_matrix}
    modules = [
        kind(layer.path, layer.module, 1.0, recipe.rank, recipe.alphas[0], **options)
        for layer in trained_layers(backbone, recipe)
    ]
    for module in modules:
        module.apply_to()
    trained = [parameter for module in modules for parameter in module.parameters()]
    optimiser = torch.optim.AdamW(trained, recipe.learning_rate, weight_decay=recipe.weight_decay)
    encoded, random = encode_concept(backbone, concept), step_generator("library")

    def step() -> None:
        timesteps, noise = sample_noise(backbone, encoded.latents, recipe.images, random)
        noisy = noisy_batch(backbone, encoded, timesteps, noise, random)
        predicted = backbone.predict(noisy.noisy, noisy.timesteps, noisy.conditioning)
        optimiser.zero_grad()
        (predicted.float() - noisy.target.float()).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(trained, recipe.clip)
        optimiser.step()

    return step
