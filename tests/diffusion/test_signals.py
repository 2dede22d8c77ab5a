"""lorarar.diffusion.signals: moments against the layers' inputs, and a merge of files that is fitted to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from lorarar.diffusion.adaptation import adapted
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.sampling import starting_latents
from lorarar.diffusion.signals import SignalProbe, rank_signals
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.combination import combine
from lorarar.mergers.request import FileMerge, MergeRequest, PairInputs
from lorarar.workflows.merges import merge_to_file

PROMPTS = ["a sks cat", "szn style"]


@pytest.fixture
def pair(loras: dict[str, LoRA]) -> list[LoRA]:
    return [loras["train_content_00"], loras["train_style_00"]]


def test_moments_are_those_of_each_loras_own_pass(backbone: Backbone, pair: list[LoRA]) -> None:
    layer = list(pair[0].layers)[-1]
    seen: list[Tensor] = []
    module = backbone.denoiser.get_submodule(layer)
    found = rank_signals(backbone, pair, PROMPTS)
    handle = module.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    for lora, prompt in zip(pair, PROMPTS, strict=True):
        with torch.no_grad(), adapted(backbone.denoiser, lora):
            time = torch.tensor([999])
            backbone.predict(starting_latents(backbone, [42]), time, backbone.encode_prompts([prompt]))
    handle.remove()
    rows = torch.cat([delta.A for lora in pair if isinstance(delta := lora.layers[layer], LowRank)])
    assert set(found) == set(pair[0].layers)
    for moment, x in zip(found[layer], seen, strict=True):
        z = x.reshape(-1, x.shape[-1]) @ rows.T
        assert_close(moment, z.T @ z / len(z), rtol=1e-3, atol=1e-4)
    assert (found[layer][0] - found[layer][1]).abs().max() > 1e-4


def test_convolutions_and_layers_of_one_lora(backbone: Backbone) -> None:
    conv = "down_blocks.0.resnets.0.conv1"
    weight = backbone.denoiser.get_submodule(conv).weight
    both = [
        LoRA({conv: LowRank(torch.randn(len(weight), r), torch.randn(r, weight[0].numel()), 0.1, (3, 3))})
        for r in (1, 2)
    ]
    (moments,) = rank_signals(backbone, both, PROMPTS).values()
    assert [moment.shape for moment in moments] == [(3, 3), (3, 3)]
    assert rank_signals(backbone, [both[0], LoRA({})], PROMPTS) == {}


def test_a_file_is_merged_by_ssr(base: Path, pair: list[LoRA], tmp_path: Path) -> None:
    files = [save(lora, tmp_path / f"{i}.safetensors", dtype=torch.float32)[0] for i, lora in enumerate(pair)]
    inputs = PairInputs(content_prompt=PROMPTS[0], style_prompt=PROMPTS[1])
    request = MergeRequest(merger="ssr", base=str(base), pair=inputs, device="cpu")
    summary = merge_to_file(FileMerge(files, tmp_path / "merged.safetensors", request, dtype="fp32"))
    assert summary["method"]["name"] == "ssr"
    merged = load(tmp_path / "merged.safetensors")
    expected = combine(pair, request, SignalProbe(base, inputs, "cpu")).lora
    for layer, delta in expected.layers.items():
        assert isinstance(delta, LowRank)
        assert delta.rank == sum(lora.layers[layer].rank for lora in pair)  # type: ignore[union-attr]
        assert_close(merged.layers[layer].delta(), delta.delta(), rtol=1e-3, atol=1e-5)
    total = sum(lora.layers[layer].delta() for lora in pair)
    assert (merged.layers[layer].delta() - total).abs().max() > 1e-4


def test_a_missing_base_and_a_missing_prompt_are_named(pair: list[LoRA]) -> None:
    with pytest.raises(ValueError, match="ssr measures each LoRA with a base model and .*' prompts, .*`base`"):
        MergeRequest(merger="ssr").check_pair()
    with pytest.raises(ValueError, match="ssr measures each LoRA .* none is loaded here"):
        combine(pair, MergeRequest(merger="ssr"))
    nameless = [LoRA(lora.layers) for lora in pair]
    with pytest.raises(ValueError, match="no trigger words in LoRA 2: .*`style_prompt`"):
        SignalProbe("base", PairInputs(content_prompt="a sks cat")).prompts(nameless)
