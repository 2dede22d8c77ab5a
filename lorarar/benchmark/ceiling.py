"""Ceiling: the best that coefficients can reach, fitted to true renders of each pair. It is not a method.

No user has true renders. They serve here to measure whether the world leaves room between direct merging and the
best coefficients, and whether column scaling or the objective is the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn

from lorarar.benchmark.gate_settings import Fit
from lorarar.datasets import Pair
from lorarar.diffusion import Backbone, adapted, join_conditionings
from lorarar.lora import Coefficients, LoRA, LowRank, merge_exactly
from lorarar.training import EncodedConcept, noisy_batch, sample_noise, step_generator
from lorarar.worlds.stages import World, true_renders

_RENDERS = 16


def fit_coefficients(
    world: World,
    backbone: Backbone,
    pairs: Sequence[Pair],
    loras: Sequence[tuple[LoRA, LoRA]],
    fit: Fit,
    progress: Callable[[], object] = lambda: None,
) -> list[LoRA]:
    """Return the merge of each pair at coefficients that start from 1 and are fitted to its true renders.

    Args:
        world: The world, which draws the renders.
        loras: The content and the style LoRA of each pair.
        progress: Called after each step.
    """
    layers = {layer: factors.shape[1] for layer, factors in loras[0][0].layers.items()}
    values = [nn.Parameter(torch.ones(len(pairs), 2, width, device=backbone.device)) for width in layers.values()]

    def merged() -> list[LoRA]:
        merges = []
        for i, pair_loras in enumerate(loras):
            columns = {layer: (value[i, 0], value[i, 1]) for layer, value in zip(layers, values, strict=True)}
            merges.append(merge_exactly(pair_loras, Coefficients(columns)))
        return merges

    return _fit(world, backbone, pairs, values, merged, fit, progress)


def fit_free(
    world: World,
    backbone: Backbone,
    pairs: Sequence[Pair],
    loras: Sequence[tuple[LoRA, LoRA]],
    fit: Fit,
    progress: Callable[[], object] = lambda: None,
) -> list[LoRA]:
    """Return a LoRA of rank 2 r for each pair, fitted with every factor free from the direct merge.

    It shows the limit of column scaling itself. Arguments are those of `fit_coefficients`.
    """
    ones = {layer: (torch.ones(()), torch.ones(())) for layer in loras[0][0].layers}
    starts = [merge_exactly(pair_loras, Coefficients(ones)) for pair_loras in loras]
    layers = list(starts[0].layers)
    up, down = [], []
    for layer in layers:
        factors = [cast(LowRank, start.layers[layer]) for start in starts]  # an exact merge of low-rank layers
        up.append(nn.Parameter(torch.stack([each.B.float() for each in factors])))
        down.append(nn.Parameter(torch.stack([each.A.float() for each in factors])))

    def merged() -> list[LoRA]:
        return [
            LoRA({layer: LowRank(b[i], a[i]) for layer, b, a in zip(layers, up, down, strict=True)})
            for i in range(len(pairs))
        ]

    return _fit(world, backbone, pairs, [*up, *down], merged, fit, progress)


def _fit(
    world: World,
    backbone: Backbone,
    pairs: Sequence[Pair],
    parameters: Sequence[nn.Parameter],
    merged: Callable[[], list[LoRA]],
    fit: Fit,
    progress: Callable[[], object],
) -> list[LoRA]:
    """Minimise the denoising loss on true renders at the combined prompt, all pairs in one batch."""
    encoded = [_encode_renders(world, backbone, pair) for pair in pairs]
    optimiser = torch.optim.Adam(parameters, fit.learning_rate)
    for step in range(fit.steps):
        batches = []
        for pair, renders in zip(pairs, encoded, strict=True):
            random = step_generator(fit.seed, "ceiling", pair.name, step)
            noise = sample_noise(backbone, renders.latents, fit.images, random)
            batches.append(noisy_batch(backbone, renders, *noise, random))
        for group in optimiser.param_groups:
            group["lr"] = fit.learning_rate * (1 - step / fit.steps)
        optimiser.zero_grad()
        with adapted(backbone.denoiser, merged()):
            predicted = backbone.predict(
                torch.cat([batch.noisy for batch in batches]),
                torch.cat([batch.timesteps for batch in batches]),
                join_conditionings([batch.conditioning for batch in batches]),
            )
            errors = (predicted - torch.cat([batch.target for batch in batches])).square()
            errors.unflatten(0, (len(pairs), -1)).flatten(1).mean(1).sum().backward()
        optimiser.step()
        progress()
    with torch.no_grad():
        return [LoRA({k: f.to(dtype=torch.float32) for k, f in lora.layers.items()}) for lora in merged()]


@torch.no_grad()
def _encode_renders(world: World, backbone: Backbone, pair: Pair) -> EncodedConcept:
    images = true_renders(world, pair, range(_RENDERS))
    return EncodedConcept(backbone.encode_images(images), backbone.encode_prompts([pair.prompt] * _RENDERS))
