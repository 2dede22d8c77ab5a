"""lorarar.training.settings: alpha and length of a LoRA depend on its concept's name alone."""

from __future__ import annotations

from dataclasses import replace

from lorarar.datasets.concepts import seed_of
from lorarar.training.settings import Recipe

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
