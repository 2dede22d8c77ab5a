"""lorarar.mergers.accelerators: which files are accelerators, and that a merge keeps them as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lorarar.formats.loading import load_all
from lorarar.formats.metadata import metadata_for
from lorarar.formats.writing import save
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.accelerators import accelerator
from lorarar.mergers.combination import combine
from lorarar.mergers.files import merge_files
from lorarar.mergers.plan import describe_merge_plan, plan_merge
from lorarar.mergers.report import describe_merge
from lorarar.mergers.request import FileMerge, MergeRequest
from tests.tiny import two_block_lora

CONTENT, STYLE = (
    replace(two_block_lora(2, seed=seed), name=f"{name}.safetensors") for seed, name in ((1, "cat"), (40, "oil"))
)
FAST = replace(two_block_lora(1, seed=80), name="Hyper-SDXL-8steps-lora.safetensors")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("lcm-lora-sdv1-5.safetensors", "lcm"),
        ("sdxl_lightning_4step_lora.safetensors", "lightning"),
        ("Qwen-Image-Lightning-8steps-V1.0.safetensors", "lightning"),
        ("FLUX.1-Turbo-Alpha.safetensors", "turbo"),
        ("Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32.safetensors", "lightx2v"),
        ("dmd2_sdxl_4step_lora_fp16.safetensors", "dmd2"),
        ("Wan2.2_I2V_A14B_HIGH_4steps_lora_rank64_Seko_V1.safetensors", "4steps"),
        ("lightning_bolt_style.safetensors", ""),
        ("porsche_turbo_v2.safetensors", ""),
        ("hyperrealism_xl.safetensors", ""),
        ("cadence_zimage_turbo_lora_v1.safetensors", ""),
        ("z-image-turbo-lora.safetensors", ""),
        ("cat-lora-1000steps.safetensors", ""),
        ("filmcm.safetensors", ""),
        ("", ""),
    ],
)
def test_names(name: str, word: str) -> None:
    assert accelerator(LoRA({}, name=name)) == word


def test_the_title_in_the_header_counts() -> None:
    assert accelerator(LoRA({}, {"modelspec.title": "LCM LoRA"}, name="pytorch_lora_weights.safetensors")) == "lcm"
    assert accelerator(LoRA({}, {"ss_output_name": "cat"}, name="pytorch_lora_weights.safetensors")) == ""


def test_a_merge_with_an_accelerator_is_none() -> None:
    cases = [
        (("cat.safetensors", "lcm.safetensors"), ""),
        (("cat+lcm.safetensors", "lcm.safetensors"), ""),  # the first is a merge too
        (("lcm.safetensors", "Hyper-SDXL-8steps-lora.safetensors"), "lcm"),
        (("lcm.safetensors",), "lcm"),  # nothing was merged
    ]
    for inputs, word in cases:
        header = metadata_for(LoRA({}), inputs=[(name, "") for name in inputs], title="cat + lcm")
        assert accelerator(LoRA({}, header, name="cat_lcm.safetensors")) == word, inputs
    of_sd_scripts = {"modelspec.title": "cat_lcm", "modelspec.merged_from": "cat, lcm"}
    assert accelerator(LoRA({}, of_sd_scripts, name="cat_lcm.safetensors")) == ""


def test_a_merge_with_an_accelerator_is_merged_with_another_lora(tmp_path: Path) -> None:
    for lora in (CONTENT, STYLE, FAST):
        save(lora, tmp_path / lora.name)
    files = [tmp_path / lora.name for lora in (CONTENT, FAST, STYLE)]
    merge_files(FileMerge(files[:2], tmp_path / "out.safetensors", MergeRequest("direct")))
    request = MergeRequest("ties")
    merged = combine(load_all([tmp_path / "out.safetensors", files[2]]), request)
    assert not merged.accelerators
    assert merged.method.name == "ties"


@pytest.mark.parametrize("merger", ["auto", "direct", "ties", "iso_c"])
def test_an_accelerator_is_added_unchanged(merger: str) -> None:
    request = MergeRequest(merger=merger, weights=[1, 0.5, 0.7], dense=True)
    merged = combine([CONTENT, FAST, STYLE], replace(request, weights=[1, 0.7, 0.5]))
    alone = combine([CONTENT, STYLE], replace(request, weights=[1, 0.5]))
    for path, layer in merged.lora.layers.items():
        expected = alone.lora.layers[path].delta() + 0.7 * FAST.layers[path].delta()
        torch.testing.assert_close(layer.delta(), expected)
    assert (
        merged.notes[0] == "Hyper-SDXL-8steps-lora.safetensors is an accelerator (hyper): added unchanged, not merged"
    )
    assert merged.accelerators == {1}
    assert merged.weights.weights == (1, 0.7, 0.5)


def test_the_user_can_have_it_merged() -> None:
    loras = [CONTENT, STYLE, FAST]
    merged = combine(loras, MergeRequest(merger="auto", keep_accelerators=False))
    plain = combine([replace(lora, name=f"{i}") for i, lora in enumerate(loras)], MergeRequest(merger="auto"))
    assert not merged.accelerators
    for path, layer in merged.lora.layers.items():
        assert torch.equal(layer.delta(), plain.lora.layers[path].delta())


@pytest.mark.parametrize("loras", [[CONTENT, FAST], [FAST, replace(FAST, name="lcm.safetensors")]])
def test_with_nothing_to_merge_all_are_summed(loras: list[LoRA]) -> None:
    merged = combine(loras)
    assert merged.method.name == "direct"
    for path, layer in merged.lora.layers.items():
        torch.testing.assert_close(layer.delta(), loras[0].layers[path].delta() + loras[1].layers[path].delta())


def test_plan_report_and_header_say_so(tmp_path: Path) -> None:
    files = []
    for lora in (CONTENT, STYLE, FAST):
        save(lora, tmp_path / lora.name)
        files.append(tmp_path / lora.name)
    job = FileMerge(files, tmp_path / "out.safetensors", MergeRequest(merger="ties", weights=[1, 1, 0.5]))
    plan, summary = plan_merge(job), merge_files(job)
    assert [entry["role"] for entry in plan["inputs"]] == ["first", "second", "accelerator"]
    assert plan["inputs"] == summary["inputs"]
    assert plan["output"]["ranks"] == {"5": 8}
    assert summary["rank"] == 5
    assert "accelerator: Hyper" in describe_merge(summary)
    assert "(hyper): added unchanged" in describe_merge_plan(plan)
    assert isinstance(FAST.layers["mid_block.attentions.0.transformer_blocks.0.attn1.to_q"], LowRank)
