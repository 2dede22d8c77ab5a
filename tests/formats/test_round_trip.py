"""Round trip: written files are read back, here and by diffusers and peft."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from peft import PeftModel
from safetensors import safe_open
from torch.testing import assert_close

from lorarar.diffusion.adaptation import adapted
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.lora.coefficients import Coefficients, merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.storage.atomic import FormatError
from tests.tiny import factors, lora_for, tiny_pixart, tiny_unet, two_block_lora, unet_inputs

RANKS, SCALES = (2, 3, 5), (0.25, 1.0, 1 / 3, 2.0)


def header_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def pipeline() -> StableDiffusionXLPipeline:
    parts = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"))
    return StableDiffusionXLPipeline(unet=tiny_unet(sdxl=True), **parts)


@pytest.mark.parametrize("format", ["diffusers", "peft"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_written_file_comes_back(tmp_path: Path, format: Literal["diffusers", "peft"], dtype: torch.dtype) -> None:
    lora = replace(lora_for(tiny_unet(), RANKS, SCALES).to(dtype=dtype), metadata={"trigger": "sks"})
    path = tmp_path / ("x.safetensors" if format == "diffusers" else "adapter")
    (path,) = save(lora, path, format=format, dtype=dtype, metadata={"made": "by hand"})[:1]
    back = load(path)
    assert sorted(back.layers) == sorted(lora.layers)
    for layer, f in lora.layers.items():
        assert torch.equal(back.layers[layer].A, f.A)
        assert torch.equal(back.layers[layer].B, f.B)
        assert back.layers[layer].scale == f.scale
    assert back.metadata.keys() == {"trigger", "made", "lorarar_version"}
    assert not any(key.endswith(".alpha") for key in safe_open(path, framework="pt").keys())  # noqa: SIM118


def test_one_lora_merged_at_weight_one_gives_the_same_file(tmp_path: Path) -> None:
    lora = lora_for(tiny_unet(), RANKS, SCALES).to(dtype=torch.float16)
    merged = merge_exactly([lora], Coefficients({layer: (torch.ones(()),) for layer in lora.layers}))
    save(lora, tmp_path / "a.safetensors")
    save(merged, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_text_encoders_and_transformers_keep_their_prefix(tmp_path: Path) -> None:
    text = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    lora = two_block_lora(2)
    lora = LoRA({**lora.layers, text: factors(4, 4, 3, 0.5)})
    save(lora, tmp_path / "unet.safetensors", dtype=torch.float32)
    config = json.loads(header_of(tmp_path / "unet.safetensors")["lora_adapter_metadata"])
    assert (config["text_encoder.r"], config["text_encoder.lora_alpha"], config["unet.r"]) == (3, 1.5, 2)
    assert config["text_encoder.target_modules"] == [text.removeprefix("text_encoder.")]
    back = load(tmp_path / "unet.safetensors")
    assert back.layers[text].scale == 0.5
    save(lora_for(tiny_pixart()), tmp_path / "transformer.safetensors")
    with safe_open(tmp_path / "transformer.safetensors", framework="pt") as file:
        assert all(key.startswith("transformer.transformer_blocks.") for key in file.keys())  # noqa: SIM118


def test_a_zero_scale_comes_back_as_a_zero_delta(tmp_path: Path) -> None:
    lora = LoRA({"mid_block.to_q": factors(4, 5, 2, 0.0)})
    save(lora, tmp_path / "x.safetensors")
    assert not load(tmp_path / "x.safetensors").layers["mid_block.to_q"].delta().any()


@torch.no_grad()
def test_diffusers_reads_the_written_file(tmp_path: Path) -> None:
    pipe, x = pipeline(), unet_inputs(2, sdxl=True)
    content = lora_for(pipe.unet, RANKS, SCALES, seed=1)
    style = lora_for(pipe.unet, (4, 1), (0.5,), seed=50)
    half = LoRA({layer: f for layer, f in style.layers.items() if "up_blocks" in layer})
    ones = {layer: (torch.tensor(1.0), torch.tensor(0.5)) for layer in content.layers}
    base = pipe.unet(**x).sample
    for name, lora in {"alone": content, "merged": merge_exactly([content, half], Coefficients(ones))}.items():
        path = tmp_path / f"{name}.safetensors"
        save(lora, path, dtype=torch.float32)
        with adapted(pipe.unet, lora):
            expected = pipe.unet(**x).sample
        pipe.load_lora_weights(str(tmp_path), weight_name=path.name)
        got = pipe.unet(**x).sample
        pipe.unload_lora_weights()
        assert (expected - base).abs().max() > 0.01
        assert_close(got, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_files_of_diffusers_are_read(tmp_path: Path) -> None:
    pipe, x = pipeline(), unet_inputs(2, sdxl=True)
    save(lora_for(pipe.unet, RANKS, SCALES), tmp_path / "ours.safetensors", dtype=torch.float32)
    pipe.load_lora_weights(str(tmp_path), weight_name="ours.safetensors")
    pipe.unet.save_lora_adapter(str(tmp_path), adapter_name="default_0", weight_name="theirs.safetensors")
    got = pipe.unet(**x).sample
    pipe.unload_lora_weights()
    with adapted(pipe.unet, load(tmp_path / "theirs.safetensors")):
        assert_close(got, pipe.unet(**x).sample, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_peft_reads_the_written_folder(tmp_path: Path) -> None:
    unet, x = tiny_unet(), unet_inputs(2)
    lora = lora_for(unet, RANKS, SCALES)
    save(lora, tmp_path / "adapter", format="peft", dtype=torch.float32)
    with adapted(unet, load(tmp_path / "adapter")):
        expected = unet(**x).sample
    assert_close(PeftModel.from_pretrained(unet, tmp_path / "adapter")(**x).sample, expected, rtol=1e-4, atol=1e-5)


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    lora, path = two_block_lora(2), tmp_path / "adapter_model.safetensors"
    for format, target in (("diffusers", path), ("peft", tmp_path)):
        path.write_text("precious")
        with pytest.raises(FormatError, match="exists already"):
            save(lora, target, format=format)
        assert path.read_text() == "precious"
        assert list(tmp_path.iterdir()) == [path]
    save(lora, path, force=True)
    assert len(load(path).layers) == 8


def test_errors_of_writing(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    big = LoRA({"mid_block.to_q": LowRank(torch.full((2, 1), 1e12), torch.ones(1, 2))})
    text = LoRA({"text_encoder.x": factors(2, 2, 1)})
    with pytest.raises(FormatError, match=r"torch.float16.*: write it with fp32"):
        save(big, path)
    with pytest.raises(FormatError, match="expected a LoRA with layers, found none"):
        save(LoRA({}), path)
    with pytest.raises(FormatError, match="1 text-encoder layers.*format=.diffusers."):
        save(text, tmp_path / "adapter", format="peft")
    with pytest.raises(FormatError, match="a format among kohya, comfyui, diffusers, peft, same, found 'onnx'"):
        save(big, path, format="onnx")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="cannot be created.*another folder"):
        save(two_block_lora(1), tmp_path / "file" / "adapter", format="peft")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
