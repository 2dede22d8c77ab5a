"""lorarar.training.trainer: finite losses pass, others stop training; step numbers."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from lorarar.training.trainer import DivergenceError, StepNumbers, check_finite


def test_finite_losses_pass() -> None:
    check_finite({"a": 0.0, "b": 1e30}, step=1, unit="pairs", advice="stop")


def test_a_loss_that_is_not_finite_is_named_with_its_step_and_the_advice() -> None:
    losses = {"a": 1.0, "b": float("nan"), "c": float("inf")}
    with pytest.raises(DivergenceError) as caught:
        check_finite(losses, step=7, unit="concepts", advice="lower recipe.learning_rate")
    assert str(caught.value) == (
        "expected finite losses, found ['inf', 'nan'] at step 7 for concepts ['b', 'c']; the last checkpoint is kept: "
        "lower recipe.learning_rate"
    )


def test_the_command_line_catches_it_as_a_floating_point_error() -> None:
    assert issubclass(DivergenceError, FloatingPointError)


def test_step_numbers_are_counted_in_order() -> None:
    torch.manual_seed(0)
    assert list(DataLoader(StepNumbers(4), batch_size=None)) == [0, 1, 2, 3]
    assert len(StepNumbers(1_000_000)) == 1_000_000
