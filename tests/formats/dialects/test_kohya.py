"""kohya dialect, reading and writing, against the reading of diffusers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from lorarar.formats.dialects.kohya import parse, write
from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import save
from lorarar.lora.dense import Dense
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.storage.atomic import FormatError
from tests.architectures import kernel, matrices, text_modules

TEXT = {"sdxl": ("text_encoder", "text_encoder_2"), "sd15": ("text_encoder",)}
PIPELINES = {"sdxl": StableDiffusionXLPipeline, "sd15": StableDiffusionPipeline}


def whole_lora(family: str, dtype: torch.dtype = torch.float16) -> LoRA:
    """Return rank 1 on all linear layers and convolutions of the UNet and, with real names, on a text-encoder layer."""
    generator = torch.Generator().manual_seed(0)
    sizes = {path: (*shape, kernel(family, path)) for path, shape in matrices(family).items()}
    for model in TEXT[family]:
        width = {"text_encoder": 768, "text_encoder_2": 1280}[model]
        inner = {
            path: (out * width // 1280, columns * width // 1280) for path, (out, columns) in text_modules().items()
        }
        sizes |= {f"{model}.{path}": (*shape, ()) for path, shape in inner.items() if "text_projection" not in path}
    if family == "sdxl":
        sizes["text_encoder_2.text_projection"] = (1280, 1280, ())
    layers: dict[str, Any] = {}
    for i, (path, (out, columns, size)) in enumerate(sizes.items()):
        b, a = torch.randn(out, 1, generator=generator), torch.randn(1, columns, generator=generator)
        layers[path] = LowRank(b.to(dtype), a.to(dtype), (0.5, 1.0, 0.3)[i % 3], size)
    return LoRA(layers, family=family)


def by_diffusers(path: Path, family: str) -> dict[str, Tensor]:
    """Return every tensor of the file, including alphas, under the key that diffusers assigns to it."""
    config = SimpleNamespace(layers_per_block=2)
    state, alphas = PIPELINES[family].lora_state_dict(load_file(path), unet_config=config)
    return {**state, **{key: torch.tensor(alpha) for key, alpha in alphas.items()}}


def as_path(key: str) -> str:
    """Return our layer path for a key of diffusers."""
    path = key.split(".lora.")[0].split(".lora_linear_layer.")[0].removesuffix(".alpha").removeprefix("unet.")
    for end in (".down.weight", ".up.weight"):
        path = path.removesuffix(end)
    if path.endswith("_lora"):
        module, _, name = path.removesuffix("_lora").rpartition(".")
        names = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
        unet = {"to_out": "to_out.0"}
        return f"{module.removesuffix('.processor')}.{(names if 'self_attn' in module else unet).get(name, name)}"
    return path


@pytest.mark.parametrize("family", ["sdxl", "sd15"])
def test_diffusers_reads_every_written_layer(family: str, tmp_path: Path) -> None:
    lora = whole_lora(family)
    path = tmp_path / "x.safetensors"
    assert save(lora, path) == [path]
    tensors_by_key = by_diffusers(path, family)
    down = {as_path(key): tensor for key, tensor in tensors_by_key.items() if key.endswith("down.weight")}
    up = {as_path(key): tensor for key, tensor in tensors_by_key.items() if key.endswith("up.weight")}
    alpha = {as_path(key): float(tensor) for key, tensor in tensors_by_key.items() if key.endswith(".alpha")}
    assert down.keys() == up.keys() == alpha.keys() == lora.layers.keys()
    for name, layer in lora.layers.items():
        assert isinstance(layer, LowRank)
        assert_close(alpha[name] * down[name].flatten(1).float(), layer.scale * layer.A.float(), rtol=1e-3, atol=1e-6)
        assert torch.equal(up[name].flatten(1), layer.B), name
        assert down[name].shape[2:] == layer.kernel, name
    assert len(set(alpha.values())) == 1  # diffusers applies one alpha to all attention layers


@pytest.mark.parametrize("family", ["sdxl", "sd15"])
def test_every_layer_comes_back(family: str, tmp_path: Path) -> None:
    lora = whole_lora(family)
    save(lora, tmp_path / "x.safetensors")
    back = load(tmp_path / "x.safetensors")
    assert back.family == family
    assert back.layers.keys() == lora.layers.keys()
    for name, layer in lora.layers.items():
        other = back.layers[name]
        assert isinstance(layer, LowRank)
        assert isinstance(other, LowRank)
        assert_close(other.scale * other.A.float(), layer.scale * layer.A.float(), rtol=1e-3, atol=1e-6)
        assert torch.equal(other.B, layer.B)
        assert other.kernel == layer.kernel


def test_names_for_other_tools() -> None:
    layer = LowRank(torch.ones(2, 1), torch.ones(1, 2))
    expected = {
        "sdxl": {
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0":
                "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_out_0",
            "up_blocks.0.upsamplers.0.conv": "lora_unet_output_blocks_2_2_conv",
            "down_blocks.0.resnets.0.conv1": "lora_unet_input_blocks_1_0_in_layers_2",
            "text_encoder.text_model.encoder.layers.0.mlp.fc1": "lora_te1_text_model_encoder_layers_0_mlp_fc1",
            "text_encoder_2.text_projection": "lora_te2_text_projection",
        },
        "sd15": {
            "down_blocks.0.attentions.0.proj_in": "lora_unet_down_blocks_0_attentions_0_proj_in",
            "text_encoder.text_model.encoder.layers.0.self_attn.q_proj":
                "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
        },
        "flux": {
            "transformer_blocks.0.attn.to_out.0": "lora_unet_double_blocks_0_img_attn_proj",
            "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q":
                "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
        },
        "qwen-image": {"transformer_blocks.0.img_mlp.net.2": "lora_unet_transformer_blocks_0_img_mlp_net_2"},
        "": {"mid_block.attentions.0.proj_in": "lora_unet_mid_block_attentions_0_proj_in"},
    }  # fmt: skip
    for family, names in expected.items():
        keys = write(LoRA(dict.fromkeys(names, layer)), FAMILIES.get(family))
        assert list(keys) == [f"{n}.{end}" for n in names.values() for end in
                              ("lora_down.weight", "lora_up.weight", "alpha")]  # fmt: skip
    with pytest.raises(FormatError, match="is not in SDXL's blocks.*format=.diffusers."):
        write(LoRA({"foo.0.bar": layer}), FAMILIES["sdxl"])


def test_dense_layers_norms_and_biases_come_back(tmp_path: Path) -> None:
    resnet, norm = "down_blocks.1.resnets.0", "down_blocks.1.attentions.0.transformer_blocks.0.norm1"
    lora = LoRA(
        {
            f"{resnet}.conv1": Dense(torch.randn(640, 9 * 320), (3, 3)),
            f"{resnet}.conv1.bias": Dense(torch.randn(640)),
            f"{resnet}.norm2": Dense(torch.randn(640)),
            f"{resnet}.norm2.bias": Dense(torch.randn(640)),
            f"{norm}.bias": Dense(torch.randn(640)),
            "down_blocks.2.attentions.0.proj_in": Dense(torch.randn(1280, 1280)),
            "mid_block.attentions.0.proj_in.bias": Dense(torch.randn(1280)),
        },
        family="sdxl",
    )
    path = tmp_path / "x.safetensors"
    save(lora, path, dtype=torch.float32)
    stem = "lora_unet_input_blocks_4_0"
    assert {key: tuple(t.shape) for key, t in load_file(path).items()} == {
        f"{stem}_in_layers_2.diff": (640, 320, 3, 3),
        f"{stem}_in_layers_2.diff_b": (640,),
        f"{stem}_out_layers_0.w_norm": (640,),
        f"{stem}_out_layers_0.b_norm": (640,),
        "lora_unet_input_blocks_4_1_transformer_blocks_0_norm1.b_norm": (640,),
        "lora_unet_input_blocks_7_1_proj_in.diff": (1280, 1280),
        "lora_unet_middle_block_1_proj_in.diff_b": (1280,),
    }
    back = load(path)
    assert back.family == "sdxl"
    assert back.layers.keys() == lora.layers.keys()
    for name, layer in lora.layers.items():
        assert torch.equal(back.layers[name].delta(), layer.delta())
        assert back.layers[name].kernel == layer.kernel


def test_a_bias_beside_factors_comes_back(tmp_path: Path) -> None:
    q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
    lora = LoRA({q: LowRank(torch.randn(640, 2), torch.randn(2, 640), 0.5), f"{q}.bias": Dense(torch.randn(640))})
    save(lora, tmp_path / "x", format="kohya", dtype=torch.float32)
    back = load(tmp_path / "x")
    assert {name: torch.equal(back.layers[name].delta(), lora.layers[name].delta()) for name in lora.layers} == {
        q: True,
        f"{q}.bias": True,
    }


KEYS = {
    "lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight":
        ("kohya", "", "down_blocks.1.attentions.0.proj_in"),
    "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha":
        ("kohya", "text_encoder", "text_model.encoder.layers.0.mlp.fc1"),
    "lora_te3_encoder_block_0_layer_0_SelfAttention_q.lora_up.weight":
        ("kohya", "text_encoder_3", "encoder.block.0.layer.0.SelfAttention.q"),
    "lora_transformer_single_transformer_blocks_3_proj_mlp.lora_up.weight":
        ("OneTrainer", "", "single_transformer_blocks.3.proj_mlp"),
    "lycoris_down_blocks_1_resnets_0_time_emb_proj.lora_up.weight":
        ("SimpleTuner", "", "down_blocks.1.resnets.0.time_emb_proj"),
    "lora_unet_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q_lora_down.weight":
        ("malformed kohya", "", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"),
    "lora_unet_unet_mid_block_attentions_0_transformer_blocks_0_attn2_processor_to_out_lora_up.weight":
        ("malformed kohya", "", "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_keys(name: str) -> None:
    key = parse(name)
    assert key is not None
    assert (key.dialect, key.model, key.path) == KEYS[name]
    assert key.role in ("down", "up", "alpha")


@pytest.mark.parametrize(
    "name",
    ["lora_unet_foo_bar.lora_down.weight", "lora_unet_mid_block.lora_sideways.weight", "lora_te4_x.alpha", "x.alpha"],
)
def test_rejected_keys(name: str) -> None:
    assert parse(name) is None


def test_both_kinds_of_block_names(tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = {}
    for stem in ("input_blocks_4_1", "up_blocks_0_attentions_0"):
        width = 640 if "4" in stem else 1280
        name = f"lora_unet_{stem}_transformer_blocks_0_attn1_to_q"
        tensors |= {f"{name}.lora_down.weight": torch.ones(1, width), f"{name}.lora_up.weight": torch.ones(width, 1)}
    save_file(tensors, tmp_path / "x")
    stored = read_stored(tmp_path / "x")
    assert set(stored.layers) == {
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    }
    assert stored.warnings == ("the file mixes block names of Stability and diffusers; diffusers drops the former",)
    twice = {key.replace("input_blocks_4_1", "down_blocks_1_attentions_0"): t.clone() for key, t in tensors.items()}
    save_file(tensors | twice, tmp_path / "x")
    with pytest.raises(FormatError, match="contains layer down_blocks.1.* twice, as lora_unet_.*mixes two dialects"):
        read_stored(tmp_path / "x")


def test_sgm_numbers_of_an_unknown_model_are_refused(tmp_path: Path) -> None:
    name = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    save_file({f"{name}.lora_down.weight": torch.ones(1, 384), f"{name}.lora_up.weight": torch.ones(384, 1)},
              tmp_path / "x")  # fmt: skip
    with pytest.raises(
        FormatError, match=r"Stability's block numbers.*expected layers of Stable Diffusion 1 or .*take a file"
    ):
        read_stored(tmp_path / "x")
