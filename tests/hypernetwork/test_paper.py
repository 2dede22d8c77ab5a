"""lorarar.hypernetwork.paper against the dense network, and against the authors' released weights."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA, projection
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.objective import similarity
from tests.tiny import dense, factors, two_block_lora

CONFIG = PaperConfig(widths=(6, 12), hidden=16)


def network(config: PaperConfig = CONFIG) -> PaperHypernetwork:
    torch.manual_seed(0)
    return PaperHypernetwork(config)


def reference(net: PaperHypernetwork, content: LowRank, style: LowRank) -> Tensor:
    """Return the coefficients (in, 2) of the paper's network on the dense deltas, in float64."""
    net = copy.deepcopy(net).double()
    columns = torch.cat([dense(content), dense(style)]).T
    first = net.input[str(content.shape[0])]
    out: Tensor = nn.Sequential(first, nn.ReLU(), net.output)(columns)
    return out.detach()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_factored_network_equals_the_dense_one(dtype: torch.dtype) -> None:
    content, style = two_block_lora(2, 0.25, 1, dtype=dtype), two_block_lora(5, 0.5, 100, dtype=dtype)
    found = network()([content, style]).layers
    predicted = [layer for layer in content.layers if projection(layer) in ("to_q", "to_out")]
    assert len(predicted) == 4
    for layer in predicted:
        expected = reference(network(), content.layers[layer], style.layers[layer])
        assert_close(torch.stack(found[layer], -1).double(), expected, rtol=1e-5, atol=1e-5)


def test_batched_layers_equal_one_by_one() -> None:
    net = network()
    layers = {f"down_blocks.{i}.to_q": i for i in range(6)}
    content = LoRA({la: factors(6, 7, 2 + i % 2, 1 / (1 + i), i) for la, i in layers.items()})
    style = LoRA({la: factors(6, 7, 1 + i % 3, 2.0, 50 + i) for la, i in layers.items()})
    together = net([content, style]).layers
    for la in layers:
        alone = net([LoRA({la: content.layers[la]}), LoRA({la: style.layers[la]})]).layers[la]
        for m_together, m_alone in zip(together[la], alone, strict=True):
            assert_close(m_together, m_alone, rtol=1e-5, atol=1e-6)


def test_many_layers_are_computed_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    content, style = two_block_lora(2, 0.25, 1), two_block_lora(5, 0.5, 100)
    together = network()([content, style]).layers
    monkeypatch.setattr("lorarar.hypernetwork.paper._CPU_VALUES", 1)  # one layer at a time
    for layer, vectors in network()([content, style]).layers.items():
        for one, other in zip(vectors, together[layer], strict=True):
            assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_predicted_layers_may_be_dense_and_convolutions_are_not_predicted() -> None:
    content, style = two_block_lora(2, 0.25, 1), two_block_lora(5, 0.5, 100)
    q, out = (f"mid_block.attentions.0.transformer_blocks.0.attn1.{name}" for name in ("to_q", "to_out.0"))
    full = LoRA({**content.layers, q: Dense(content.layers[q].delta()), "x.to_q": Dense(torch.ones(6))})
    conv = LoRA({**style.layers, "x.to_q": Dense(torch.ones(6)), "y.to_q": replace(factors(6, 9, 1), kernel=(3, 3))})
    net, thin = network(), network()([content, style]).layers
    coefficients = net([full, conv])
    found = coefficients.layers
    assert set(net.predicted([full, conv])) == set(net.predicted([content, style]))
    for layer in (q, out):
        for m, expected in zip(found[layer], thin[layer], strict=True):
            assert_close(m, expected, rtol=1e-5, atol=1e-5)
    assert [m.ndim for layer in ("x.to_q", "y.to_q") for m in found[layer]] == [0] * 4
    assert list(merge_exactly([full, conv], coefficients).layers) == list(found)


def test_content_and_style_are_not_interchangeable() -> None:
    content, style = two_block_lora(2, seed=1), two_block_lora(2, seed=100)
    layer = next(iter(content.layers))
    forth, back = network()([content, style]).layers[layer], network()([style, content]).layers[layer]
    assert not torch.allclose(forth[0], back[1])


def test_other_layers_get_the_fixed_coefficient() -> None:
    content, style = two_block_lora(2), two_block_lora(3)
    style = LoRA({**style.layers, "mid_block.attentions.1.to_q": factors(6, 6, 2)})
    found = network(PaperConfig((6, 12), 16, fixed=0.5))([content, style]).layers
    fixed = [layer for layer in found if projection(layer) in ("to_k", "to_v")] + ["mid_block.attentions.1.to_q"]
    assert len(fixed) == 5
    for layer in fixed:
        for m in found[layer]:
            assert torch.equal(m, torch.tensor(0.5))
    assert len(merge_exactly([content, style], network()([content, style])).layers) == 9


def test_the_parameter_count_for_sdxl_is_that_of_the_paper() -> None:
    assert sum(p.numel() for p in PaperHypernetwork(PaperConfig()).parameters()) == 492_034


def test_gradients_reach_every_parameter() -> None:
    net = network()
    coefficients = net([two_block_lora(2, seed=1), two_block_lora(3, seed=100)])
    similarity(coefficients, "dot").backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_errors() -> None:
    net, lora = network(), two_block_lora(2)
    with pytest.raises(ValueError, match=r"expected two LoRAs for the LoRA.rar network, \[content, style\], found 3"):
        net([lora] * 3)
    with pytest.raises(ValueError, match=r"out widths \[6, 12\], found \[8, 16\] in cat and LoRA 2: use a network"):
        net([LoRA(two_block_lora(2, width=8).layers, name="cat"), two_block_lora(2, width=8)])
    with pytest.raises(
        ValueError,
        match=r"expected a layer that the network predicts \(to_q, to_out\), found none among the 1 and 1 layers",
    ):
        net([LoRA({"x.to_k": factors(6, 6, 2)}), LoRA({"x.to_k": factors(6, 6, 2)})])
    with pytest.raises(ValueError, match="different base models"):
        net([lora, two_block_lora(2, width=8)])
    with pytest.raises(ValueError, match="at least one width"):
        PaperHypernetwork(PaperConfig(widths=()))


def test_the_released_weights_give_the_released_coefficients() -> None:
    folder = os.environ.get("LORARAR_FIXTURES")
    if not folder:
        pytest.skip(
            "set LORARAR_FIXTURES to a folder that holds official/lorarar_sdxl_hypernet.pth, from "
            "github.com/donaldssh/LoRA.rar (CC BY-NC-SA 4.0)"
        )
    state = torch.load(Path(folder) / "official/lorarar_sdxl_hypernet.pth", map_location="cpu", weights_only=True)
    names = {"input_1": "input.640", "input_2": "input.1280", "output.1": "output"}
    net = PaperHypernetwork(PaperConfig())
    net.load_state_dict({names[key.rpartition(".")[0]] + "." + key.rpartition(".")[2]: v for key, v in state.items()})
    zero = {"a.to_q": LowRank(torch.zeros(640, 1), torch.zeros(1, 640))}
    zero["b.to_q"] = LowRank(torch.zeros(1280, 1), torch.zeros(1, 1280))
    found = net([LoRA(zero), LoRA(zero)]).layers
    for layer, expected in {"a.to_q": (-0.570, 0.984), "b.to_q": (0.012, 0.226)}.items():
        assert [float(m[0].detach()) for m in found[layer]] == pytest.approx(expected, abs=6e-4)
