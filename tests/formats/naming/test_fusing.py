"""lorarar.formats.naming.fusing: kohya files of transformers, written and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.storage.atomic import FormatError
from tests.formats.corpus import shrink_transformers
from tests.formats.reference import by_diffusers, by_us, check_same, effect, factors

KOHYA = (".lora_down.weight", ".lora_up.weight")
W = 3072  # the width of FLUX, which diffusers' conversion expects

KOHYA_FILES = {
    "flux": {
        "transformer_blocks.0.attn.to_q": (W, W),
        "transformer_blocks.0.attn.to_v": (W, W),  # to_k is missing: its rows are zeros
        **{f"single_transformer_blocks.37.attn.{name}": (W, W) for name in ("to_q", "to_k", "to_v")},
        "single_transformer_blocks.37.proj_mlp": (4 * W, W),
        "transformer_blocks.18.ff_context.net.2": (W, 4 * W),
        "transformer_blocks.18.attn.to_add_out": (W, W),
        "norm_out.linear": (2 * W, W),
        "x_embedder": (W, 64),
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj": (768, 768),
        "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q": (4096, 4096),
    },
    "qwen-image": {"transformer_blocks.20.attn.to_q": (W, W), "transformer_blocks.0.txt_mod.1": (6 * W, W)},
    "sd35-large": {
        "transformer_blocks.30.attn.add_q_proj": (2432, 2432),
        "transformer_blocks.37.norm1_context.linear": (2 * 2432, 2432),
        "transformer_blocks.30.norm1_context.linear": (6 * 2432, 2432),
        "norm_out.linear": (2 * 2432, 2432),
        "context_embedder": (2432, 4096),
        "text_encoder_3.encoder.block.0.layer.0.SelfAttention.q": (4096, 4096),
    },
    "z-image": {"noise_refiner.0.attention.to_out.0": (3840, 3840)},
}


@pytest.mark.parametrize("family", KOHYA_FILES)
def test_kohya_files_of_transformers_come_back(family: str, tmp_path: Path) -> None:
    layers = {
        path: LowRank(torch.randn(out, 1 + i % 3), torch.randn(1 + i % 3, width), (0.5, 0.3)[i % 2])
        for i, (path, (out, width)) in enumerate(KOHYA_FILES[family].items())
    }
    save(LoRA(layers, family=family), tmp_path / "x", format="kohya", dtype=torch.float32)
    back = load(tmp_path / "x")
    assert back.family == family
    expected = {path: effect(f.B, f.A, f.scale) for path, f in layers.items()}
    check_same(by_us(tmp_path / "x"), expected)
    assert {path: f.rank for path, f in back.layers.items() if isinstance(f, LowRank)} == {
        path: f.rank for path, f in layers.items()
    }
    if family == "flux":  # diffusers reads fused layers in kohya files only for FLUX
        denoiser = {path: delta for path, delta in expected.items() if not path.startswith("text_encoder")}
        theirs = by_diffusers(tmp_path / "x", FluxPipeline)
        zeros = {path: theirs.pop(path) for path in [p for p, delta in theirs.items() if not delta.any()]}
        assert set(zeros) == {"transformer_blocks.0.attn.to_k"}
        check_same(theirs, denoiser)


def test_a_fused_file_comes_back_in_its_own_keys(tmp_path: Path) -> None:
    """The parts of a layer that was trained fused share one A, which is written once."""
    tensors = factors("lora_unet_single_blocks_0_linear1", 7 * W, W, KOHYA, rank=4, alpha=2.0)
    save_file(tensors, tmp_path / "x")
    save(load(tmp_path / "x"), tmp_path / "y", format="kohya", dtype=torch.float32)
    back = load_file(tmp_path / "y")
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[key], tensor) for key, tensor in tensors.items())


def test_projections_of_equal_scale_with_factors_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_transformers(monkeypatch, 8)
    layers = {
        f"transformer_blocks.0.attn.{name}": LowRank(torch.randn(8, 2), torch.randn(2, 8), 0.5)
        for name in ("to_q", "to_k", "to_v")
    }
    save(LoRA(layers, family="flux"), tmp_path / "x", format="kohya", dtype=torch.float32)
    back = load(tmp_path / "x").layers
    assert list(load_file(tmp_path / "x")["lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight"].shape) == [6, 8]
    for path, layer in layers.items():
        assert torch.equal(back[path].delta(), layer.delta())


def test_dense_layers_and_biases_are_fused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_transformers(monkeypatch, 8)
    stack = "single_transformer_blocks.0"
    layers: dict[str, Layer] = {
        f"{stack}.attn.to_k": Dense(torch.randn(8, 8)),
        f"{stack}.proj_mlp": LowRank(torch.randn(32, 2), torch.randn(2, 8), 0.5),
        f"{stack}.attn.to_v.bias": Dense(torch.randn(8)),
        f"{stack}.attn.norm_q": Dense(0.1 * torch.randn(4)),
        "norm_out.linear": Dense(torch.randn(16, 8)),
        "norm_out.linear.bias": Dense(torch.randn(16)),
    }
    save(LoRA(layers, family="flux"), tmp_path / "x", format="kohya", dtype=torch.float32)
    assert load_file(tmp_path / "x")["lora_unet_single_blocks_0_linear1.diff"].shape == (56, 8)
    back = load(tmp_path / "x").layers
    assert back.keys() == layers.keys()
    for path, layer in layers.items():
        assert_close(back[path].delta(), layer.delta())


def test_errors_of_fusing(tmp_path: Path) -> None:
    layer = LowRank(torch.ones(8, 1), torch.ones(1, 8))
    cases: dict[str, dict[str, Layer]] = {
        "no layer transformer_blocks.0.attn.to_x.*format=.diffusers.": {"transformer_blocks.0.attn.to_x": layer},
        "do not fit one fused layer": {
            "transformer_blocks.0.attn.to_q": layer,
            "transformer_blocks.0.attn.to_k": LowRank(torch.ones(9, 1), torch.ones(1, 8)),
        },
        "found the bias alone": {"norm_out.linear.bias": Dense(torch.ones(16))},
    }
    for message, layers in cases.items():
        with pytest.raises(FormatError, match=f"x was not written: .*{message}"):
            save(LoRA(layers, family="flux"), tmp_path / "x", format="kohya")
