"""lorarar.mergers.combination: any method of the table on LoRAs in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import lorarar
from lorarar.hypernetwork.build import new_merger
from lorarar.hypernetwork.checkpoint import save_merger
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.truncation import relative_error
from lorarar.lora.weights import input_weights, weight_loras
from lorarar.mergers.combination import LARGE_ERROR, combine
from lorarar.mergers.request import MergeRequest
from lorarar.mergers.table import MERGERS
from tests.tiny import dense, factors, two_block_lora

CONTENT, STYLE = two_block_lora(2, 0.5, seed=1), two_block_lora(3, 2.0, seed=2)
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_v"
# fixed_blocks takes SDXL and FLUX.1 alone; see its own tests.
SAVED = [
    name for name, merger in MERGERS.items() if merger.kind != "runtime" and not merger.needs and name != "fixed_blocks"
]


def merge(*loras: LoRA, **settings: Any) -> LoRA:
    return combine(loras, MergeRequest(**settings)).lora


def delta(lora: LoRA, layer: str = LAYER) -> torch.Tensor:
    return lora.layers[layer].delta().double()


@pytest.fixture
def network(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "network.safetensors"
    save_merger(new_merger("paper", CONTENT, {"hidden": 4, "fixed": 0.75}), path)
    return path


@pytest.mark.parametrize("name", [name for name in SAVED if name != "peft_linear"])
def test_every_method_merges_any_ranks_and_can_be_truncated(name: str) -> None:
    whole = combine([CONTENT, STYLE], MergeRequest(merger=name, dense=True))
    assert list(whole.lora.layers) == list(CONTENT.layers)
    assert whole.losses == {}
    small = combine([CONTENT, STYLE], MergeRequest(merger=name, rank=1))
    assert {f.rank for f in small.lora.layers.values()} == {1}  # type: ignore[union-attr]
    for layer, loss in small.losses.items():
        error = (delta(whole.lora, layer) - delta(small.lora, layer)).norm() / delta(whole.lora, layer).norm()
        assert_close(loss.relative, float(error), rtol=1e-3, atol=1e-5)


def test_dense_results_are_truncated_to_the_sum_of_the_ranks() -> None:
    whole = combine([CONTENT, STYLE], MergeRequest(merger="ties", dense=True))
    found = combine([CONTENT, STYLE], MergeRequest(merger="ties"))
    ranks = [lora.layers[LAYER].rank for lora in (CONTENT, STYLE)]  # type: ignore[union-attr]
    assert found.lora.layers[LAYER].rank == min(sum(ranks), *found.lora.layers[LAYER].shape)  # type: ignore[union-attr]
    assert isinstance(whole.lora.layers[LAYER], Dense)
    errors = [float((delta(whole.lora, name) - delta(found.lora, name)).norm()) for name in found.losses]
    assert_close([loss.lost for loss in found.losses.values()], errors, rtol=1e-3, atol=1e-4)
    assert len(found.losses) == 8
    [said] = found.notes + found.warnings
    assert "sum of the inputs' ranks" in said
    assert "`dense=True` keeps all" in said
    assert combine([CONTENT, STYLE], MergeRequest(merger="svd")).losses == {}  # low-rank already


def test_a_truncation_that_loses_much_is_a_warning() -> None:
    thin = two_block_lora(1, seed=3), two_block_lora(1, seed=60)
    found = combine(thin, MergeRequest(merger="ties"))
    assert relative_error(found.losses.values()) > LARGE_ERROR
    assert "a larger `rank` keeps more" in found.warnings[0]
    assert combine(thin, MergeRequest(merger="ties", rank=1)).warnings == ()


def test_a_dense_input_stays_dense() -> None:
    full = replace(CONTENT, layers={**CONTENT.layers, LAYER: Dense(CONTENT.layers[LAYER].delta())})
    found = combine([full, STYLE], MergeRequest(merger="ties"))
    assert isinstance(found.lora.layers[LAYER], Dense)
    assert LAYER not in found.losses


def test_direct_with_strengths_is_the_weighted_sum() -> None:
    found = combine([CONTENT, STYLE], MergeRequest(merger="direct", weights=[0.8, 1.2], blocks={"mid_block": [0.5, 2]}))
    expected = 0.4 * dense(CONTENT.layers[LAYER]) + 2.4 * dense(STYLE.layers[LAYER])  # type: ignore[arg-type]
    assert_close(delta(found.lora), expected, rtol=1e-5, atol=1e-6)
    assert found.coefficients
    assert [float(m) for m in found.coefficients.layers[LAYER]] == pytest.approx([0.4, 2.4])


def test_strengths_reach_delta_methods_before_they_prune() -> None:
    found = combine([CONTENT, STYLE], MergeRequest(merger="ties", weights=[1, 0], options={"density": 1.0}))
    assert_close(delta(found.lora), dense(CONTENT.layers[LAYER]), rtol=1e-5, atol=1e-6)  # type: ignore[arg-type]


def test_a_network_predicts_some_layers_and_sums_the_others(network: Path) -> None:
    found = combine([CONTENT, STYLE], MergeRequest(network=network))
    assert found.method.name == "paper"
    assert found.predicted == {layer for layer in CONTENT.layers if layer.endswith(("to_q", "to_out.0"))}
    expected = 0.75 * (dense(CONTENT.layers[LAYER]) + dense(STYLE.layers[LAYER]))  # type: ignore[arg-type]
    assert_close(delta(found.lora), expected, rtol=1e-5, atol=1e-6)


def test_without_a_method_a_rule_merges_with_a_note() -> None:
    found = combine([CONTENT, STYLE])
    assert found.method.name == "auto"
    assert found.balance == MERGERS["auto"].balance
    assert found.notes[0].startswith("merged by a rule (auto): no network is shipped")
    assert "(balance 0.5, " in found.notes[1]


def test_without_a_method_the_network_of_the_family_is_used() -> None:
    shipped = lorarar.load("data/embedded/loras/test_content_00.safetensors")
    found = combine([shipped, lorarar.load("data/embedded/loras/test_style_00.safetensors")])
    assert found.method.name == "layerwise"
    assert found.notes == ("used the network that is shipped for the family embedded",)
    assert found.lora.family == "embedded"
    assert combine([shipped] * 3).method.name == "layerwise"


def test_a_lora_of_weight_0_is_left_out_by_the_default_and_refused_by_a_network(network: Path) -> None:
    pair = [lorarar.load(f"data/embedded/loras/test_{name}_00.safetensors") for name in ("content", "style")]
    found = combine(pair, MergeRequest(weights=[1.0, 0.0]))
    assert found.notes == ("test_style_00.safetensors takes no part: the weight of its layers is 0",)
    for layer, delta_ in pair[0].layers.items():
        assert_close(found.lora.layers[layer].delta(), delta_.delta())
    with pytest.raises(ValueError, match="weights other than 0 for paper, .*, found 0 for LoRA 2: leave it out"):
        combine([CONTENT, STYLE], MergeRequest(network=network, weights=[1.0, 0.0]))


def test_kinds_reach_a_network() -> None:
    names = ("test_content_00", "test_content_01", "test_style_00")
    loras = [lorarar.load(f"data/embedded/loras/{name}.safetensors") for name in names]
    by_request = combine(loras, MergeRequest(kinds=["content", "content", "style"]))
    assert by_request.coefficients is not None
    layer = next(iter(by_request.coefficients.layers))
    by_file = combine(loras)
    assert by_file.coefficients is not None
    other = combine(loras, MergeRequest(kinds=["content", "style", "style"]))
    assert other.coefficients is not None
    rows = [[float(m[0]) for m in found.coefficients.layers[layer]] for found in (by_request, by_file, other)]  # type: ignore[union-attr]
    assert by_file.notes[-1] == "merged as content, content, style"
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
    with pytest.raises(ValueError, match="`kinds` only with a network that takes any number of LoRAs, found direct"):
        combine(loras, MergeRequest(merger="direct", kinds=["content", "content", "style"]))


def test_what_a_file_states_otherwise_is_noted() -> None:
    content, *styles = (
        lorarar.load(f"data/embedded/loras/test_{name}.safetensors") for name in ("content_00", "style_00", "style_01")
    )
    assert combine(styles).notes[-1] == (
        "test_style_00.safetensors is merged as a content, though its file states style: `kinds` can say otherwise"
    )
    assert combine(styles, MergeRequest(kinds=["style", "style"])).notes[-1] == "merged as style, style"
    swapped = combine([content, styles[0]], MergeRequest(kinds=["style", "content"])).notes
    assert swapped[-3] == "merged as style, content"
    assert swapped[-1] == (
        "test_style_00.safetensors is merged as a content, though its file states style: correct `kinds` if the file "
        "is right"
    )


def test_a_shipped_network_that_predicts_none_of_the_layers_is_not_used() -> None:
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"
    loras = [LoRA({layer: factors(80, 320, rank)}, family="embedded") for rank in (1, 2)]
    found = combine(loras)
    assert found.method.name == "auto"
    assert "the network that is shipped for their family does not fit them" in found.notes[0]


def test_a_shipped_network_far_outside_its_training_is_not_used() -> None:
    names = ("test_content_00", "test_style_00")
    loras = [lorarar.load(f"data/embedded/loras/{name}.safetensors") for name in names]
    short = weight_loras(loras, input_weights(loras, [0.001, 0.001]))
    assert [combine(inputs).method.name for inputs in (loras, short)] == ["layerwise", "auto"]


@pytest.mark.parametrize("name", SAVED)
def test_all_strengths_at_zero_change_nothing_also_in_the_file(name: str, tmp_path: Path) -> None:
    equal = [two_block_lora(2, 0.5, seed=1), two_block_lora(2, 2.0, seed=2)]
    merged = merge(*equal, merger=name, weights=[0, 0])
    lorarar.save(merged, tmp_path / "x.safetensors", format="kohya")
    back = lorarar.load(tmp_path / "x.safetensors")
    assert back.layers.keys() == equal[0].layers.keys()
    assert not any(layer.delta().any() for layer in back.layers.values())


def test_three_loras_and_a_single_one() -> None:
    three = merge(CONTENT, STYLE, CONTENT, merger="average")
    expected = (2 * dense(CONTENT.layers[LAYER]) + dense(STYLE.layers[LAYER])) / 3  # type: ignore[arg-type]
    assert_close(delta(three), expected, rtol=1e-5, atol=1e-6)
    assert merge(CONTENT, merger="direct").layers[LAYER].A is CONTENT.layers[LAYER].A  # type: ignore[union-attr]


def test_a_layer_of_one_input_and_dense_layers_are_kept() -> None:
    extra = replace(
        STYLE, layers={**STYLE.layers, "conv_in": Dense(torch.ones(4, 9), (3, 3)), "norm": Dense(torch.ones(3))}
    )
    for name in SAVED:
        if name != "peft_linear":
            found = merge(
                CONTENT, extra, merger=name, options={"density": 1} if "density" in MERGERS[name].options else {}
            )
            assert found.layers["conv_in"].kernel == (3, 3)
            assert found.layers["norm"].shape == (3,)


def test_learned_tokens_are_kept_under_distinct_names() -> None:
    a, b = (replace(lora, embeddings={"<s1>": torch.full((3,), float(i))}) for i, lora in enumerate((CONTENT, STYLE)))
    found = merge(a, b, merger="direct").embeddings
    assert {name: float(tensor[0]) for name, tensor in found.items()} == {"<s1>": 0.0, "1.<s1>": 1.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"merger": "tiess"}, "expected a merger among auto, .*did you mean 'ties'"),
        ({"merger": "klora"}, "found klora, which acts while sampling: use it in `lorarar generate`"),
        ({"merger": "paper"}, "found paper, whose coefficients a trained network predicts: drop"),
        ({"merger": "ties", "options": {"densty": 1}}, "densty"),
        ({"merger": "direct", "rank": 2, "energy": 0.5}, "either `rank` or `energy`"),
        ({"merger": "direct", "network": "x"}, "found both"),
        ({"merger": "direct", "device": "gpu7"}, "expected a device among auto, cpu, cuda, mps, found 'gpu7'"),
        ({"merger": "peft_linear"}, "rank"),
    ],
)
def test_requests_that_cannot_be_executed_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        combine([CONTENT, STYLE], MergeRequest(**given))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one LoRA"):
        combine([], MergeRequest(**given))  # type: ignore[arg-type]


def test_auto_leaves_a_merge_on_a_mac_to_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """MPS lacks float64, which KnOTS computes in; here it is not even there, so that taking it would fail."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for merger in ("direct", "ties", "knots"):
        merged = combine([CONTENT, STYLE], MergeRequest(merger=merger)).lora
        assert {delta.device.type for delta in merged.layers.values()} == {"cpu"}


def test_families_do_not_mix() -> None:
    a, b = LoRA({"a.to_q": factors(4, 4, 1)}, family="sdxl"), LoRA({"b.to_q": factors(4, 4, 1)}, family="flux")
    with pytest.raises(ValueError, match=r"LoRA 1 .Stable Diffusion XL., LoRA 2 .FLUX"):
        combine([a, b])
