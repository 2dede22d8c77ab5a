"""Combination: weights of a basis' LoRAs that are optimised for one analogy in place of a router's prediction."""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.analogies.application import Analogies
from lorarar.analogies.basis import Basis
from lorarar.analogies.examples import arrange, encode_condition
from lorarar.analogies.training import analogy_loss
from lorarar.training import step_generator

_RATE = 0.1  # of Adam
_NOISIEST = 0.5  # share of the timesteps, as in training


def combine_loras(analogies: Analogies, images: Tensor, *, steps: int, seed: int) -> Tensor:
    """Return mixes that make a' of a: for each analogy one weight of each LoRA, the same in all layers.

    The base's own loss on the analogy a : a' = a : a' is minimised, from weights of 0. Nothing is known of b.

    Args:
        analogies: The basis, one LoRA for each task, on its base.
        images: a and a' of n analogies, (n, 2, 3, size, size), -1 to 1.
        steps: Steps of Adam.
        seed: Seed of the timesteps and the noise.

    Returns:
        The mixes, (n, layers, N).
    """
    backbone, trained = analogies.backbone, analogies.trained
    pairs = images[:, [0, 1, 0, 1]]
    target = backbone.encode_images(arrange(pairs, trained.layout)[0])
    condition = encode_condition(backbone, pairs[:, :3], trained.layout)
    prompt = backbone.encode_prompts([trained.prompt])
    weights = torch.zeros(len(images), trained.basis.config.count, device=backbone.device, requires_grad=True)
    optimiser = torch.optim.Adam([weights], _RATE)
    for step in range(steps):
        optimiser.zero_grad()
        with analogy_loss(
            backbone,
            trained.basis,
            _mix(weights, trained.basis),
            target,
            condition,
            prompt=prompt,
            random=step_generator(seed, "combination", step),
            noisiest=_NOISIEST,
        ) as loss:
            loss.backward()
        optimiser.step()
    return _mix(weights.detach(), trained.basis)


def _mix(weights: Tensor, basis: Basis) -> Tensor:
    """Return weights (n, N) as a mix, the same in all layers."""
    return weights[:, None].expand(-1, len(basis.shapes), -1)
