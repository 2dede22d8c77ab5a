"""lorarar.mergers: properties that every merger of the table has, by kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.mergers.methods.direct import direct
from lorarar.mergers.table import MERGERS
from tests.mergers.cases import attention_lora, deltas, mixed_lora, needs, neutral, of_kind, regauged, run, times

ALL = [name for name in MERGERS if name != "fixed_blocks"]  # for SDXL and FLUX.1 alone; see its own tests
FACTORS_MATTER = ["peft_linear", "ziprank"]  # these work on factors
FLATTENED = ["iso_c", "iso_cts"]  # all singular values become equal, those of a single LoRA too
DENSE_REFUSED = ["peft_linear"]
OPTIMISED = ["ziplora", "ziplora_pytorch", "cat", "ziprank", "nsc", "text_guided"]
PAIRS_ONLY = [name for name, merger in MERGERS.items() if merger.pairs_only]
CONTENT, STYLE = mixed_lora(3, 0.5), mixed_lora(2, 2.0, seed=300)


def inputs(name: str) -> list[LoRA]:
    """Return LoRAs of different ranks and alphas, with every sort of layer that the method takes."""
    if name in FACTORS_MATTER:
        return [attention_lora(3, 0.5), attention_lora(3, 2.0, seed=300)]
    return [CONTENT, STYLE]


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_layers_does_not_matter_and_runs_are_repeatable(name: str, tmp_path: Path) -> None:
    loras = inputs(name)
    backwards = [replace(lora, layers=dict(reversed(lora.layers.items()))) for lora in loras]
    found, again, turned = run(name, loras, tmp_path), run(name, loras, tmp_path), run(name, backwards, tmp_path)
    assert found.keys() == turned.keys()
    assert any(delta.any() for delta in found.values())
    for layer, delta in found.items():
        assert torch.equal(delta, again[layer])
        if name in ("paper", "layerwise"):  # stacked layers, a mean over layers: rounding
            assert_close(delta, turned[layer], rtol=1e-4, atol=1e-4)
        else:
            assert torch.equal(delta, turned[layer])


@pytest.mark.parametrize("name", [name for name in ALL if name not in FACTORS_MATTER])
def test_the_factors_do_not_matter_only_the_deltas_do(name: str, tmp_path: Path) -> None:
    found = run(name, inputs(name), tmp_path)
    other = run(name, [regauged(lora, i) for i, lora in enumerate(inputs(name))], tmp_path)
    for layer, delta in found.items():
        assert_close(other[layer], delta, rtol=1e-3, atol=1e-4)


def test_the_factor_wise_merge_is_the_exception(tmp_path: Path) -> None:
    loras = inputs("peft_linear")
    found, other = run("peft_linear", loras, tmp_path), run("peft_linear", [regauged(loras[0]), loras[1]], tmp_path)
    assert any((found[layer] - other[layer]).abs().max() > 0.1 for layer in found)


@pytest.mark.parametrize("name", [name for name in of_kind("delta") if name not in (*FLATTENED, "ssr")])
def test_one_lora_at_weight_one_comes_back_unchanged(name: str, tmp_path: Path) -> None:
    first, second = inputs(name)
    for pair, kept in (([first, times(second, 0)], first), ([times(first, 0), second], second)):
        for layer, delta in run(name, pair, tmp_path, neutral(name)).items():
            assert_close(delta, kept.layers[layer].delta(), rtol=1e-4, atol=1e-4)


def test_one_lora_at_weight_one_comes_back_unchanged_through_coefficients() -> None:
    for weights, kept in (([1.0, 0.0], CONTENT), ([0.0, 1.0], STYLE)):
        for layer, delta in deltas(merge_exactly([CONTENT, STYLE], direct([CONTENT, STYLE], weights))).items():
            assert_close(delta, kept.layers[layer].delta(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["dare", "magnitude_prune", "della_linear", "breadcrumbs", "svd", "np_lora"])
def test_neutral_options_of_a_sum_give_the_sum(name: str, tmp_path: Path) -> None:
    for layer, delta in run(name, inputs(name), tmp_path, neutral(name)).items():
        expected = CONTENT.layers[layer].delta() + STYLE.layers[layer].delta()
        assert_close(delta, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_loras_of_zeros(name: str, tmp_path: Path) -> None:
    loras = inputs(name)
    zeros = [times(lora, 0) for lora in loras]
    assert all(not delta.any() for delta in run(name, zeros, tmp_path).values())
    for pair in ([loras[0], zeros[1]], [zeros[0], loras[1]]):
        found = run(name, pair, tmp_path)
        assert all(delta.isfinite().all() for delta in found.values())
        assert any(delta.any() for delta in found.values())


@pytest.mark.parametrize("name", [name for name in ALL if name not in (*OPTIMISED, *FLATTENED)])
def test_a_layer_that_only_one_lora_has_is_its_own(name: str, tmp_path: Path) -> None:
    first, second = inputs(name)
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_v"
    short = LoRA({la: delta for la, delta in second.layers.items() if la != layer})
    found = {key: delta for key, delta in run(name, [first, short], tmp_path, _mild(name)).items() if layer in key}
    assert found
    whole = first.layers[layer].delta()
    for delta in found.values():
        assert_close(delta, whole / 2 if name == "average" else whole, rtol=1e-4, atol=1e-4)


def _mild(name: str) -> dict[str, float]:
    return dict(neutral(name)) if MERGERS[name].kind == "delta" else {}


@pytest.mark.parametrize("name", [name for name in ALL if name not in DENSE_REFUSED])
def test_norms_and_biases_are_summed_and_kernels_kept(name: str, tmp_path: Path) -> None:
    found = run(name, [CONTENT, STYLE], tmp_path)
    for layer in ("mid_block.norm", "mid_block.norm.bias"):
        both = [lora.layers[layer].delta() for lora in (CONTENT, STYLE)]
        share = {"average": 0.5, "nsc": 0.4}.get(name, 1.0)
        expected = [share * (both[0] + both[1])]
        expected = [*both, *expected] if MERGERS[name].kind == "runtime" else expected
        for key, delta in found.items():
            if key.endswith(layer):
                assert any(torch.allclose(delta, whole, atol=1e-6) for whole in expected)


@pytest.mark.parametrize("name", [name for name in ALL if name not in PAIRS_ONLY])
def test_more_than_two_loras(name: str, tmp_path: Path) -> None:
    three = [attention_lora(3, 1.0, seed) for seed in (0, 300, 600)]
    found, pair = run(name, three, tmp_path), run(name, three[:2], tmp_path)
    assert any(key not in pair or not torch.allclose(found[key], pair[key], atol=1e-3) for key in found)


@pytest.mark.parametrize("name", PAIRS_ONLY)
def test_pair_mergers_refuse_three(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected (two|2) LoRAs.*, found 3"):
        run(name, [attention_lora(3)] * 3, tmp_path)


@pytest.mark.parametrize("name", of_kind("delta", "runtime", "coefficients"))
def test_shapes_that_clash_are_refused(name: str, tmp_path: Path) -> None:
    other = LoRA(
        {
            "mid_block.attentions.0.transformer_blocks.0.attn1.to_q": attention_lora(3).layers[
                "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
            ]
        }
    )
    with pytest.raises(ValueError, match="different base models"):
        run(name, [attention_lora(3), other], tmp_path)


@pytest.mark.parametrize("name", ["paper", "layerwise", "constant", *OPTIMISED])
def test_learned_mergers_name_the_layers_that_they_predict(name: str, tmp_path: Path) -> None:
    merger = MERGERS[name]
    given = needs(merger, [CONTENT, STYLE], tmp_path)
    predicted = merger.predicted([CONTENT, STYLE], given.get("network"))
    assert predicted
    assert ("mid_block.proj.to_q" in predicted) == (name != "ziprank")  # a dense delta has no directions
    assert all("to_" in layer for layer in predicted)
    coefficients = merger.call([CONTENT, STYLE], **given)
    for layer, vectors in coefficients.layers.items():
        assert bool(vectors[0].ndim) == (layer in predicted)
        fixed = merger.pair.fixed if merger.pair else 1.0
        assert vectors[0].ndim or [float(m) for m in vectors] == pytest.approx([fixed, fixed])
