"""gamma: alpha by the file or the configuration, the rank, rsLoRA and LyCORIS' scalar."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lorarar.formats.algorithms.scaling import Scaling, gamma, single_number


@pytest.mark.parametrize(
    ("parts", "scaling", "expected"),
    [
        ({}, Scaling(), 1.0),
        ({}, Scaling(alpha=8.0), 0.5),
        ({}, Scaling(alpha=8.0, rslora=True), 2.0),
        ({"alpha": 4.0}, Scaling(alpha=8.0), 0.25),
        ({"alpha": 4.0}, Scaling(rslora=True), 0.25),  # LyCORIS includes the square root in alpha
        ({"alpha": 0.0}, Scaling(alpha=8.0), 0.0),  # muted
        ({"alpha": -4.0}, Scaling(), -0.25),
        ({"alpha": 4.0, "scalar": 3.0}, Scaling(), 0.75),
        ({"scalar": 0.0}, Scaling(), 0.0),
    ],
)
def test_rules(parts: dict[str, float], scaling: Scaling, expected: float) -> None:
    assert gamma({role: torch.tensor(value) for role, value in parts.items()}, scaling, 16) == expected


@pytest.mark.parametrize("tensor", [torch.tensor(4), torch.tensor([4]), torch.tensor([[4.0]]).to(torch.float8_e4m3fn)])
def test_alpha_in_any_type(tensor: Tensor) -> None:
    assert single_number({"alpha": tensor}, "alpha") == 4


@pytest.mark.parametrize("tensor", [torch.ones(2), torch.ones(0), torch.tensor(float("inf")), torch.tensor(1j)])
def test_values_that_are_not_numbers(tensor: Tensor) -> None:
    with pytest.raises(ValueError, match="alpha must be one finite number"):
        single_number({"alpha": tensor}, "alpha")
