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
    alpha_warnings,
    check_config,
    config_of,
    parse_config,
    scaling_from_config,
    scaling_from_header,
    split_config,
)
from lorarar.formats.stored import StoredLayer
from lorarar.lora.lowrank import LowRank
from lorarar.lora.rows import whole_layer
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


def test_a_missing_alpha_means_rank() -> None:
    assert scale_of(scaling_from_config({"r": 8}, "x"), 8) == scale_of(Scaling(), 8) == 1.0
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


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "PiSSA"])
def test_adapters_that_change_the_base_are_refused(start: str) -> None:
    with pytest.raises(ValueError, match=f"began with '{start.lower()}', which changes the base.*as a plain LoRA"):
        check_config({"init_lora_weights": start}, "x", "lora")


@pytest.mark.parametrize("config", [{"use_qalora": True}, {"kasa_config": {}} | {"use_bdlora": {"nblocks": 2}}])
def test_factors_with_another_meaning_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected a plain LoRA, found (QALoRA|a block-diagonal LoRA), whose"):
        check_config(config, "x", "lora")


def test_peft_itself_moves_the_base_for_these_starts() -> None:
    config = {"r": 2, "lora_alpha": 2, "target_modules": ["0"]}
    moved = {}
    for start in (True, "gaussian", "orthogonal", "olora", "pissa"):
        model = nn.Sequential(nn.Linear(6, 6, bias=False))
        before = model[0].weight.detach().clone()
        get_peft_model(model, LoraConfig(**config, init_lora_weights=start), low_cpu_mem_usage=False)
        moved[start] = not torch.equal(before, model[0].base_layer.weight)
    assert [start for start, changed in moved.items() if changed] == ["olora", "pissa"]
    for start in (True, False, "gaussian", "eva", "orthogonal", None):
        check_config({"init_lora_weights": start}, "x", "lora")


def layer(rank: int, alpha: float | None = None) -> StoredLayer:
    parts = {"down": torch.ones(rank, 3), "up": torch.ones(4, rank)}
    parts |= {} if alpha is None else {"alpha": torch.tensor(alpha)}
    return StoredLayer(whole_layer("x"), parts, "lora", Scaling())


def test_alphas_that_change_the_strength_are_told() -> None:
    stated = {"alpha": "8"}
    assert list(alpha_warnings(stated, [layer(128), layer(128)])) == [
        "the header's alpha is 8, no layer has an alpha, and the scale is 1, as in other tools: "
        "the weight 0.0625 gives that strength"
    ]
    assert list(alpha_warnings(stated, [layer(8)])) == list(alpha_warnings(stated, [layer(4, 2.0)])) == []
    assert list(alpha_warnings({"lora_alpha": "many"}, [layer(4)])) == list(alpha_warnings({}, [layer(4)])) == []
    (warning,) = alpha_warnings({}, [layer(4, 0.0), layer(4, 4.0)])
    assert warning.startswith("1 of 2 layers have alpha 0 and no effect")
