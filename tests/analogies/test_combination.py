"""lorarar.analogies.combination: steps against numeric gradients, a lower loss, factors that stay."""

from __future__ import annotations

import torch
from torch import Tensor

from lorarar.analogies.application import Analogies
from lorarar.analogies.combination import combine_loras
from lorarar.analogies.training import analogy_loss
from lorarar.diffusion.backbone import Backbone
from lorarar.training.batches import step_generator
from tests.analogies.cases import random_analogies


def loss_of(analogies: Analogies, images: Tensor, weights: Tensor, step: int) -> float:
    """The loss on a : a' = a : a' at weights (n, N), with the noise of a step."""
    backbone, basis = analogies.backbone, analogies.trained.basis
    before, after = (backbone.encode_images(images[:, i]) for i in (0, 1))
    condition = torch.stack([before, after, before], 1)
    mix = weights[:, None].repeat(1, len(basis.shapes), 1)
    random, prompt = step_generator(3, "combination", step), backbone.encode_prompts(["a"])
    with (
        torch.no_grad(),
        analogy_loss(backbone, basis, mix, after, condition, prompt=prompt, random=random, noisiest=0.5) as loss,
    ):
        return float(loss)


def test_the_weights_go_down_the_loss_on_a_and_its_change(backbone: Backbone) -> None:
    analogies, _ = random_analogies(backbone)
    analogies.trained.basis.requires_grad_(False)
    images = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(4)) * 2 - 1
    kept = [up.clone() for up in analogies.trained.basis.up]
    first = combine_loras(analogies, images, steps=1, seed=3)
    assert first.shape == (2, len(analogies.trained.basis.shapes), 2)
    zero = torch.zeros(2, 2)
    for row, lora in ((0, 0), (1, 1)):
        nudge = zero.clone()
        nudge[row, lora] = 1e-2
        slope = loss_of(analogies, images, nudge, 0) - loss_of(analogies, images, -nudge, 0)
        assert torch.allclose(first[row, :, lora], torch.tensor(-0.1 if slope > 0 else 0.1), atol=1e-4)
    last = combine_loras(analogies, images, steps=8, seed=3)[:, 0]
    assert loss_of(analogies, images, last, 50) < loss_of(analogies, images, zero, 50)
    assert all(torch.equal(up, old) for up, old in zip(analogies.trained.basis.up, kept, strict=True))
