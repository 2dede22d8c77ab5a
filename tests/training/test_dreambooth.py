"""lorarar.training.dreambooth: the initial factors; the training itself is compared with the zoo's."""

from __future__ import annotations

import pytest
import torch

from lorarar.diffusion.backbone import Backbone
from lorarar.training.dreambooth import initial_factors, target_layers
from lorarar.training.settings import Recipe

RECIPE = Recipe(rank=2, alphas=(4.0, 1.0, 2.0), steps=5, images=2, learning_rate=1e-2)


def test_initial_factors_are_as_in_peft_and_change_no_layer(backbone: Backbone) -> None:
    initial = initial_factors(backbone.denoiser, RECIPE, "cat")
    assert initial.keys() == target_layers(backbone.denoiser, RECIPE.targets).keys()
    for factors in initial.values():
        assert not factors.B.any()
        bound = factors.shape[1] ** -0.5
        assert 0.8 * bound < factors.A.abs().max() <= bound
        assert factors.scale == RECIPE.scale("cat")
    assert {RECIPE.scale(name) for name in "abcdef"} == {2.0, 0.5, 1.0}
    layer = next(iter(initial))
    assert not torch.equal(initial_factors(backbone.denoiser, RECIPE, "dog")[layer].A, initial[layer].A)
    with pytest.raises(ValueError, match=r"layers named \['to_nothing'\] in the base, found none"):
        target_layers(backbone.denoiser, ["to_nothing"])
