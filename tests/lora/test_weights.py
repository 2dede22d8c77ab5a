"""lorarar.lora.weights: factors for inputs, blocks and text encoders."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.coefficients import Coefficients
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.weights import input_weights, weight_coefficients, weight_loras
from tests.tiny import dense, factors

LAYERS = ("down_blocks.1.a.to_q", "down_blocks.10.a.to_q", "mid_block.to_q", "text_encoder.q_proj")


def lora() -> LoRA:
    return LoRA({layer: factors(4, 5, 2, 0.5, seed=i) for i, layer in enumerate(LAYERS)})


def test_factors_other_than_one_are_listed() -> None:
    assert input_weights([lora(), lora()]).facts() == {}
    input_factors = input_weights([lora(), lora()], [0.5, 1], {"mid_block": 2}, [0, 1])
    assert input_factors.facts() == {
        "weights": [0.5, 1.0],
        "blocks": {"mid_block": [2.0, 2.0]},
        "text_encoder": [0.0, 1.0],
    }


def test_applicable_factors_are_multiplied() -> None:
    input_factors = input_weights(
        [lora(), lora()],
        weights=[0.5, 2],
        blocks={"down_blocks.1": 3, "down_blocks.1.a": [5, 7]},
        text_encoder=[0, 1],
    )
    assert input_factors.of("down_blocks.1.a.to_q") == (2.5, 14)  # only the longest start applies
    assert input_factors.of("down_blocks.1.b.to_q") == (1.5, 6)
    assert input_factors.of("down_blocks.10.a.to_q") == (0.5, 2)  # "down_blocks.1" is not followed by a dot
    assert input_factors.of("mid_block.to_q") == (0.5, 2)
    assert input_factors.of("text_encoder.q_proj") == (0, 2)


def test_missing_weights_mean_one() -> None:
    assert {input_weights([lora()]).of(layer) for layer in LAYERS} == {(1.0,)}


def test_coefficients_and_deltas_are_scaled_alike() -> None:
    inputs = [lora(), LoRA({"mid_block.to_q": Dense(torch.ones(4, 5)), "mid_block.norm": Dense(torch.ones(4))})]
    strengths = input_weights(inputs, weights=[0.5, 2], blocks={"mid_block": [1, 3]})
    scaled = weight_loras(inputs, strengths)
    layer = "mid_block.to_q"
    assert_close(dense(scaled[0].layers[layer]), 0.5 * dense(inputs[0].layers[layer]))  # type: ignore[arg-type]
    assert_close(scaled[1].layers[layer].delta(), torch.full((4, 5), 6.0))
    assert_close(scaled[1].layers["mid_block.norm"].delta(), torch.full((4,), 6.0))
    vectors = weight_coefficients(Coefficients({layer: (torch.ones(5), torch.tensor(2.0))}), strengths).layers[layer]
    assert_close(vectors[0], torch.full((5,), 0.5))
    assert_close(vectors[1], torch.tensor(12.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": [1, 2, 3]}, "expected `weights` with one number or one for each of 2 inputs, found .1, 2, 3."),
        ({"weights": [1, float("nan")]}, "expected finite numbers for `weights`, found"),
        ({"text_encoder": [1, 2, 3]}, "expected `text_encoder` with one number"),
        (
            {"blocks": {"up_blocks.1": 1}},
            "layer paths in `blocks`, found 'up_blocks.1', which starts none.*down_blocks.1, down_blocks.10, mid_block",
        ),
        ({"blocks": {"mid_block": [1, 2, 3]}}, "block mid_block"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        input_weights([lora(), lora()], **arguments)  # type: ignore[arg-type]
