"""lorarar.training.settings: alpha, length and rate of a LoRA; settings that contradict each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lorarar.datasets.concepts import seed_of
from lorarar.storage.run_folder import ConfigError
from lorarar.training.settings import Recipe, check_recipe

RECIPE = Recipe(rank=2, alphas=(4.0, 1.0, 2.0), steps=200, images=2, learning_rate=1e-2, lengths=(0.25, 0.5, 1.0))
NAMES = [f"concept_{i}" for i in range(30)]


def test_every_alpha_and_length_occurs() -> None:
    assert {RECIPE.scale(name) for name in NAMES} == {2.0, 0.5, 1.0}
    assert {RECIPE.steps_of(name) for name in NAMES} == {50, 100, 200}


def test_the_choice_is_a_function_of_the_name() -> None:
    other = replace(RECIPE, seed=5, learning_rate=1.0)
    assert [other.scale(name) for name in NAMES] == [RECIPE.scale(name) for name in NAMES]
    assert RECIPE.scale("cat") == (4.0, 1.0, 2.0)[seed_of("alpha", "cat") % 3] / 2
    assert RECIPE.steps_of("cat") == 200 * (0.25, 0.5, 1.0)[seed_of("length", "cat") % 3]


def test_the_rate_follows_diffusers_schedules() -> None:
    from diffusers.optimization import get_scheduler

    for schedule, name in (("constant", "constant_with_warmup"), ("linear", "linear"), ("cosine", "cosine")):
        optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = get_scheduler(name, optimiser, num_warmup_steps=3, num_training_steps=20)
        recipe = replace(RECIPE, schedule=schedule, warmup_steps=3)
        for step in range(20):
            assert recipe.rate_factor(step, 20) == pytest.approx(optimiser.param_groups[0]["lr"]), (schedule, step)
            optimiser.step()
            scheduler.step()


def test_rslora_divides_by_the_root_of_the_rank() -> None:
    recipe = replace(RECIPE, rank=16, alphas=(4.0,), rslora=True, conv_rank=4, conv_alpha=6.0)
    assert recipe.scale("cat") == 1.0
    assert recipe.scale("cat", convolution=True) == 3.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factor": 8}, "settings of the algorithm lora, found recipe.factor, which lokr read: take it out"),
        (
            {"algorithm": "ia3", "rslora": True},
            "algorithm ia3, found recipe.rslora, which lora, locon, loha, lokr,",
        ),
        ({"preset": "full"}, "found lora: set recipe.algorithm=locon"),
        ({"algorithm": "locon", "preset": "attn-mlp"}, "recipe.preset=attn-mlp has none: set recipe.preset=full"),
        ({"algorithm": "loha", "tucker": True}, "expected convolutions for recipe.tucker"),
        ({"text_encoder_learning_rate": 1.0}, "expected recipe.text_encoders=true"),
        ({"module_dropout": 1.0}, "expected a share below 1 for recipe.module_dropout, found 1: lower it"),
        ({"warmup_steps": 50}, "expected a warm-up shorter than the shortest training, .* for 50 steps"),
    ],
)
def test_settings_that_contradict_each_other_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_recipe(replace(RECIPE, **changes))


def test_every_mistake_is_named() -> None:
    with pytest.raises(ConfigError, match=r"2 mistakes: \(1\) .*recipe.factor.*\(2\) .*recipe.rank_dropout"):
        check_recipe(replace(RECIPE, factor=2, rank_dropout=1.5))
