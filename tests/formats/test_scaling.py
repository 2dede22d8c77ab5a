"""lorarar.formats.scaling against peft's resolution of its configuration."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import nn

from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.formats.scaling import (
    config_of,
    parse_config,
    scaling_from_config,
    scaling_from_header,
    split_config,
)
from lorarar.lora.lowrank import LowRank
from tests.tiny import factors


class Model(nn.Module):
    """Model whose layer names are suffixes of one another, at different depths."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.blocks = (
            nn.Linear(4, 4),
            nn.ModuleList([nn.ModuleDict({"to_q": nn.Linear(4, 4)}) for _ in range(2)]),
        )


LAYERS = ("to_q", "blocks.0.to_q", "blocks.1.to_q")


def scale_of(scaling: Scaling, rank: int) -> float:
    """Return the scale of a layer whose parts have no alpha."""
    layer = layer_deltas({"down": torch.ones(rank, 4), "up": torch.ones(4, rank)}, scaling)[""]
    assert isinstance(layer, LowRank)
    return layer.scale


def peft_scales(config: LoraConfig) -> dict[str, float]:
    model = get_peft_model(Model(), config)
    return {layer: model.base_model.model.get_submodule(layer).scaling["default"] for layer in LAYERS}


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("pattern", [{}, {"blocks.0.to_q": 6}, {"to_q": 6}, {"^to_q": 6, r"blocks\.\d\.to_q": 5}])
def test_scales_are_those_of_peft(rslora: bool, pattern: dict[str, int]) -> None:
    config = LoraConfig(r=4, lora_alpha=3, alpha_pattern=pattern, use_rslora=rslora, target_modules=list(LAYERS))
    resolved = {layer: scale_of(scaling_from_config(config.to_dict(), layer), 4) for layer in LAYERS}
    assert resolved == peft_scales(config)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0.01, 5)), min_size=3, max_size=3))
def test_peft_reads_the_written_configuration(parts: list[tuple[int, float]]) -> None:
    layers = {la: factors(4, 4, rank, scale) for la, (rank, scale) in zip(LAYERS, parts, strict=True)}
    config = config_of(layers)
    by_peft = peft_scales(LoraConfig(**config))
    for layer, f in layers.items():
        assert scale_of(scaling_from_config(config, layer), f.rank) == pytest.approx(f.scale, rel=1e-12)
        assert by_peft[layer] == pytest.approx(f.scale, rel=1e-12)


def test_scales_of_real_alphas_come_back_exactly() -> None:
    for rank in range(1, 130):
        for alpha in (1, 8, 16, 27, 128):
            layers = {"x": factors(2, 2, rank, alpha / rank)}
            config = config_of(layers)
            assert config["lora_alpha"] == alpha
            assert scale_of(scaling_from_config(config, "x"), rank) == alpha / rank


def test_a_missing_or_zero_alpha_means_rank() -> None:
    assert scale_of(scaling_from_config({"r": 8}, "x"), 8) == scale_of(Scaling(0.0), 8) == 1.0
    assert scale_of(Scaling(4.0, rslora=True), 16) == 1.0
    assert scale_of(Scaling(4.0), 16) == 0.25


@pytest.mark.parametrize(
    ("arguments", "rslora"),
    [
        ('{"rs_lora": "True"}', True),
        ('{"rs_lora": true}', True),
        ('{"rs_lora": "False"}', False),
        ('{"conv_dim": 4}', False),
        ("[]", False),
        ("{", False),
        ("", False),
    ],
)
def test_rslora_in_the_header_of_lycoris(arguments: str, rslora: bool) -> None:
    assert scaling_from_header({"ss_network_args": arguments}) == Scaling(rslora=rslora)


def test_alpha_of_loha_and_lokr_in_peft() -> None:
    assert scaling_from_config({"alpha": 6}, "x") == Scaling(6.0)


def test_configurations_are_split_by_model() -> None:
    resolved = split_config({"unet.r": 4, "text_encoder.r": 8, "r": 2})
    assert resolved == {"unet": {"r": 4}, "text_encoder": {"r": 8}, "": {"r": 2}}


def test_errors() -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        parse_config("{")
    with pytest.raises(ValueError, match="as a JSON object, found list"):
        parse_config("[]")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lora_alpha": "16"}, "alpha of the adapter as a number, found '16'"),
        ({"lora_alpha": True}, "alpha of the adapter as a number, found True"),
        ({"r": 4.5}, "rank of the adapter as a whole number, found 4.5"),
        ({"r": -4}, "rank of the adapter as a whole number, found -4"),
        ({"use_rslora": "false"}, "use_rslora of the adapter as true or false, found 'false'"),
        ({"alpha_pattern": {"(a+)+": 1}}, "simple patterns in the adapter's alpha_pattern, found a quantifier"),
        ({"alpha_pattern": {f"x{i}.*": 1 for i in range(600)}}, "at most 2000 characters of patterns"),
        ({"alpha_pattern": [1]}, "alpha_pattern of the adapter as an object"),
    ],
)
def test_values_of_a_wrong_type(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        scaling_from_config(config, "blocks.0.to_q")


def test_a_key_that_occurs_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="contains 'r' twice: save the adapter again"):
        parse_config('{"unet": {"r": 4, "r": 8}}')


def test_torch_is_not_needed_for_a_configuration() -> None:
    layers = {"x": factors(2, 2, 1, dtype=torch.float16)}
    assert config_of(layers)["rank_pattern"] == {}
