"""lorarar.formats.loading: from stored layers to deltas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.lora.lowrank import LowRank
from lorarar.storage.atomic import FormatError
from tests.formats.reference import factors

KOHYA = (".lora_down.weight", ".lora_up.weight")
PEFT = (".lora_A.weight", ".lora_B.weight")
SGM = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def test_dora_is_read_and_needs_its_base(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file(factors(SGM, 640, 640, KOHYA) | {f"{SGM}.dora_scale": torch.ones(640, 1)}, path)
    contents = read_stored(path)
    assert contents.algorithms == {Q: "dora"}
    assert contents.shapes == {Q: (640, 640)}
    with pytest.raises(FormatError, match=r"x: 1 of 1 layers \(dora\) need the base.*give `base`"):
        load(path)


def test_alphas_and_rslora_of_peft_patterns(tmp_path: Path) -> None:
    config = {"r": 2, "lora_alpha": 6, "use_rslora": True, "alpha_pattern": {r"attn2\.to_k": 1}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    k = Q.replace("attn1.to_q", "attn2.to_k")
    tensors = factors(f"base_model.model.{Q}", 640, 640, PEFT) | factors(f"base_model.model.{k}", 640, 2048, PEFT)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    scales = {path: f.scale for path, f in load(tmp_path).layers.items() if isinstance(f, LowRank)}
    assert scales == {Q: 6 / 2**0.5, k: 1 / 2**0.5}


def test_embeddings_are_separated(tmp_path: Path) -> None:
    tensors = factors(SGM, 640, 640, KOHYA) | {"bundle_emb.tok.string_to_param.*": torch.ones(2, 768)}
    save_file(tensors, tmp_path / "x")
    lora = load(tmp_path / "x")
    assert list(lora.layers) == [Q]
    assert list(lora.embeddings) == ["bundle_emb.tok.string_to_param.*"]
    save_file({"<s1>": torch.ones(4)}, tmp_path / "x")
    with pytest.raises(FormatError, match="0 of 0 keys|no LoRA layers"):
        read_stored(tmp_path / "x")


def test_fused_layers_of_an_unknown_width_are_not_divided(tmp_path: Path) -> None:
    save_file(factors("lora_unet_single_blocks_0_linear1", 9 * 16, 16, KOHYA), tmp_path / "x")
    lora = load(tmp_path / "x")
    assert (list(lora.layers), lora.family) == (["single_blocks.0.linear1"], "")


def test_the_name_determines_a_flattened_kernel(tmp_path: Path) -> None:
    """LoHa of a convolution without a core: the product of the factors is the flattened kernel."""
    stem = "lora_unet_down_blocks_1_resnets_0_conv1"
    parts = {"hada_w1_a": (640, 1), "hada_w1_b": (1, 2880), "hada_w2_a": (640, 1), "hada_w2_b": (1, 2880)}
    tensors = {f"{stem}.{role}": torch.randn(shape) for role, shape in parts.items()}
    projection = "lora_unet_down_blocks_0_attentions_0_proj_in"
    tensors |= factors(projection, 320, 320, KOHYA)
    save_file(tensors, tmp_path / "x", metadata={"ss_base_model_version": "sd_v1"})
    lora = load(tmp_path / "x")
    assert lora.family == "sd15"
    assert lora.layers["down_blocks.1.resnets.0.conv1"].kernel == (3, 3)
    assert lora.layers["down_blocks.0.attentions.0.proj_in"].kernel == (1, 1)
