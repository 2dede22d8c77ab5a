"""lorarar.formats.base_weights: diffusers folders and single-file checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lorarar.formats.base_weights import BaseWeights
from lorarar.formats.inspection.report import inspect
from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.storage.atomic import FormatError

TO_Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
TO_K = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
TEXT = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"


def write(path: Path, *keys: str, seed: int = 0, shape: tuple[int, ...] = (6, 4)) -> dict[str, Tensor]:
    """Write a file of random weights."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {key: torch.randn(shape, generator=generator) for key in keys}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return tensors


def test_a_diffusers_folder_with_shards_and_variants(tmp_path: Path) -> None:
    first = write(
        tmp_path / "unet/diffusion_pytorch_model-00001-of-00002.safetensors", f"{TO_Q}.weight", "conv_in.bias"
    )
    second = write(tmp_path / "unet/diffusion_pytorch_model-00002-of-00002.safetensors", "mid_block.x.weight", seed=1)
    write(tmp_path / "unet/diffusion_pytorch_model.fp16.safetensors", f"{TO_Q}.weight", seed=2)
    text = write(tmp_path / "text_encoder/model.safetensors", "encoder.layers.0.self_attn.q_proj.weight", seed=3)
    other = write(
        tmp_path / "text_encoder_2/model.safetensors", "text_model.encoder.layers.0.self_attn.q_proj.weight", seed=4
    )
    base = BaseWeights(tmp_path)
    assert torch.equal(base.weight(TO_Q), first[f"{TO_Q}.weight"])
    assert torch.equal(base.weight("mid_block.x"), second["mid_block.x.weight"])
    assert torch.equal(base.weight(TEXT), *text.values())
    assert torch.equal(base.weight(TEXT.replace("text_encoder.", "text_encoder_2.")), *other.values())


def test_a_folder_of_the_denoiser_alone(tmp_path: Path) -> None:
    tensors = write(tmp_path / "diffusion_pytorch_model.fp16.safetensors", f"{TO_Q}.weight")
    assert torch.equal(BaseWeights(str(tmp_path)).weight(TO_Q), tensors[f"{TO_Q}.weight"])


def test_a_checkpoint_in_the_names_of_stability(tmp_path: Path) -> None:
    to_q = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight"
    conv = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight"
    text = "conditioner.embedders.0.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"
    block = "conditioner.embedders.1.model.transformer.resblocks.0"
    names = ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    tensors = write(
        tmp_path / "sdxl.safetensors",
        to_q,
        conv,
        text,
        "first_stage_model.x.weight",
        *(f"{block}.{name}" for name in names),
    )
    base = BaseWeights(tmp_path / "sdxl.safetensors")
    assert torch.equal(base.weight(TO_Q), tensors[to_q])
    assert torch.equal(base.weight("down_blocks.0.resnets.0.conv1"), tensors[conv])
    assert torch.equal(base.weight(TEXT), tensors[text])
    layer = "text_encoder_2.text_model.encoder.layers.0"
    fused = tensors[f"{block}.attn.in_proj_weight"]
    for index, name in enumerate(("q_proj", "k_proj", "v_proj")):
        assert torch.equal(base.weight(f"{layer}.self_attn.{name}"), fused[2 * index : 2 * index + 2])
    assert torch.equal(base.weight(f"{layer}.self_attn.out_proj"), tensors[f"{block}.attn.out_proj.weight"])
    assert torch.equal(base.weight(f"{layer}.mlp.fc1"), tensors[f"{block}.mlp.c_fc.weight"])
    assert torch.equal(base.weight(f"{layer}.mlp.fc2"), tensors[f"{block}.mlp.c_proj.weight"])
    with pytest.raises(FormatError, match=r"sdxl.safetensors has no layer first_stage_model.x among its \d+"):
        base.weight("first_stage_model.x")


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_flux_checkpoint_with_fused_rows(tmp_path: Path, prefix: str) -> None:
    linear1 = f"{prefix}single_blocks.0.linear1.weight"
    file = tmp_path / "flux.safetensors"
    tensors = write(file, linear1, shape=(28, 4))
    base = BaseWeights(file)
    root = "single_transformer_blocks.0"
    parts = [base.weight(f"{root}.{name}") for name in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")]
    assert [len(part) for part in parts] == [4, 4, 4, 16]
    assert torch.equal(torch.cat(parts), tensors[linear1])


def test_the_last_modulation_changes_its_halves(tmp_path: Path) -> None:
    key = "final_layer.adaLN_modulation.1.weight"
    file = tmp_path / "flux.safetensors"
    save_file({key: torch.arange(8.0).reshape(4, 2), "single_blocks.0.linear1.weight": torch.ones(14, 2)}, file)
    assert BaseWeights(file).weight("norm_out.linear").flatten().tolist() == [4, 5, 6, 7, 0, 1, 2, 3]


def test_rows_that_cannot_be_divided(tmp_path: Path) -> None:
    file = tmp_path / "flux.safetensors"
    write(file, "single_blocks.0.linear1.weight", shape=(27, 4))
    with pytest.raises(FormatError, match=r"linear1.weight with a multiple of 7 rows, found 27"):
        BaseWeights(file).weight("single_transformer_blocks.0.attn.to_q")


def test_dora_with_its_base(tmp_path: Path) -> None:
    lora, module = tmp_path / "lora.safetensors", f"unet.{TO_Q}"
    tensors = {
        f"{module}.lora_A.weight": torch.randn(2, 4),
        f"{module}.lora_B.weight": torch.randn(6, 2),
        f"{module}.lora_magnitude_vector": torch.rand(6) + 1,
    }
    save_file(tensors, lora)
    weight = write(tmp_path / "base/unet/diffusion_pytorch_model.safetensors", f"{TO_Q}.weight")[f"{TO_Q}.weight"]
    down, up, magnitude = tensors.values()
    merged = weight + up @ down
    expected = magnitude[:, None] * merged / merged.norm(dim=1, keepdim=True) - weight
    assert torch.allclose(load(lora, tmp_path / "base").layers[TO_Q].delta(), expected, atol=1e-6)
    with pytest.raises(FormatError, match=r"lora.safetensors: 1 of 1 layers \(dora\) need the base.*`base`"):
        load(lora)


def test_invalid_models(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="nowhere does not exist.*download"):
        BaseWeights(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="contains no safetensors weights"):
        BaseWeights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(FormatError, match="model.safetensors is not a complete safetensors file"):
        BaseWeights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(FormatError, match="model.safetensors is a git-LFS pointer.*git lfs pull"):
        BaseWeights(tmp_path)


def test_the_base_determines_shapes_that_the_file_does_not(tmp_path: Path) -> None:
    """The blocks of OFT determine the number of rows, but not the number of columns."""
    key, lora = f"lora_unet_{TO_K.replace('.', '_')}", tmp_path / "oft.safetensors"
    save_file({f"{key}.oft_blocks": torch.zeros(4, 160, 160)}, lora)
    write(tmp_path / "base/unet/model.safetensors", f"{TO_K}.weight", shape=(640, 2048))
    assert read_stored(lora).family == ""
    assert load(lora, tmp_path / "base").family == "sdxl"
    assert (inspect(lora).family, inspect(lora, base=tmp_path / "base").family) == ("", "sdxl")
