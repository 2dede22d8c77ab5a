"""lorarar.mergers.methods.klora against the published rule on dense deltas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.mergers.methods.klora import klora
from lorarar.mergers.table import MERGERS
from tests.mergers.methods.test_pruning import array
from tests.tiny import factors

STEPS = 23  # so that no factor of the wrapped variant is 0
# Deltas of about equal size and different peaks, so that layers change sides at different steps.
CONTENT = LoRA({f"b.{i}.to_q": factors(9, 11, 3, 0.3 + 0.1 * i, i) for i in range(8)})
STYLE = LoRA({f"b.{i}.to_q": factors(9, 11, 2, 0.8, 100 + i) for i in range(8)})


def chosen(alpha: float, beta: float, wrapped: bool = False) -> list[dict[str, str]]:
    """Apply the rule of the paper, with gamma and K, in numpy."""
    dense = [{layer: np.abs(array(delta)) for layer, delta in lora.layers.items()} for lora in (CONTENT, STYLE)]
    gamma = sum(x.sum() for x in dense[0].values()) / sum(x.sum() for x in dense[1].values())
    steps = []
    for t in range(STEPS):
        scale = alpha * t / STEPS + beta
        scale = scale % alpha if wrapped else scale
        rule = {}
        for layer in CONTENT.layers:
            top = [np.sort(x[layer], axis=None)[::-1][: 3 * 2].sum() for x in dense]
            rule[layer] = "content" if (top[0] / gamma) / (top[1] * scale) > 1 else "style"
        steps.append(rule)
    return steps


@pytest.mark.parametrize(("name", "beta", "wrapped"), [("klora", 0.5, False), ("klora_wrapped", 1.275, True)])
def test_every_layer_of_every_step_is_chosen_by_the_rule(name: str, beta: float, wrapped: bool) -> None:
    merger = MERGERS[name]
    schedule = merger.call([CONTENT, STYLE], STEPS, **merger.settings({}))
    expected = chosen(1.5, beta, wrapped)
    assert {side for step in expected for side in step.values()} == {"content", "style"}
    assert len(schedule) == STEPS
    for (lora,), rule in zip(schedule, expected, strict=True):
        for layer, side in rule.items():
            assert lora.layers[layer] is (CONTENT if side == "content" else STYLE).layers[layer]


def test_content_comes_first_and_style_last() -> None:
    shares = [
        sum(lora.layers[la] is CONTENT.layers[la] for la in CONTENT.layers)
        for (lora,) in klora([CONTENT, STYLE], STEPS)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_layers_of_one_lora_and_summed_layers() -> None:
    text = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    content = LoRA({"a": factors(4, 5, 2), text: factors(4, 4, 2), "n": Dense(torch.ones(4))})
    style = LoRA({"b": factors(4, 5, 1), text: factors(4, 4, 1, seed=1), "n": Dense(torch.ones(4))})
    for (lora,) in klora([content, style], 3):
        assert list(lora.layers) == ["a", text, "n", "b"]
        assert lora.layers["a"] is content.layers["a"]
        assert lora.layers["b"] is style.layers["b"]
        both = content.layers[text].delta() + style.layers[text].delta()
        assert torch.allclose(lora.layers[text].delta(), both, atol=1e-6)
        assert lora.layers["n"].delta().tolist() == [2.0] * 4


def test_a_style_of_zeros_leaves_the_content() -> None:
    zeros = LoRA({layer: factors(9, 11, 2, 0.0) for layer in CONTENT.layers})
    for (lora,) in klora([CONTENT, zeros], 3):
        assert all(lora.layers[layer] is delta for layer, delta in CONTENT.layers.items())
    for (lora,) in klora([zeros, STYLE], 3):
        assert all(lora.layers[layer] is delta for layer, delta in STYLE.layers.items())
