"""lorarar.lora.display: a LoRA as one line and as a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lorarar import load
from lorarar.lora import display
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank, norm
from tests.tiny import factors

Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
TEXT = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"


def low_rank(rank: int, size: float) -> LowRank:
    """A delta of a known norm."""
    layer = factors(8, 6, rank, seed=rank)
    return replace(layer, scale=layer.scale * size / float(norm(layer)))


def test_one_line() -> None:
    layers = {Q: low_rank(2, 3.0), f"{Q}_2": low_rank(4, 4.0), TEXT: low_rank(2, 12.0)}
    lora = LoRA(layers, name="cat.safetensors", family="sdxl")
    assert repr(lora) == "LoRA(sdxl, 3 layers: 2 unet + 1 text_encoder, rank 2-4, norm 13, 'cat.safetensors')"
    assert repr(LoRA({Q: low_rank(2, 1.5)}, family="flux")) == "LoRA(flux, 1 layer: 1 transformer, rank 2, norm 1.5)"


def test_dense_layers_and_no_layers() -> None:
    dense = Dense(torch.full((4, 9), 0.5), (3, 3))  # norm 3
    assert repr(LoRA({"conv_in": dense})) == "LoRA(unknown family, 1 layer: 1 denoiser, 1 dense, norm 3)"
    mixed = LoRA({"conv_in": dense, Q: low_rank(2, 4.0)})
    assert repr(mixed) == "LoRA(unknown family, 2 layers: 2 denoiser, rank 2, 1 dense, norm 5)"
    assert repr(LoRA({})) == "LoRA(unknown family, 0 layers)"
    assert "<table><tr><td>part</td>" in LoRA({})._repr_html_()


def test_a_lokr_file(tmp_path: Path) -> None:
    key = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file({f"{key}.lokr_w1": torch.ones(2, 2), f"{key}.lokr_w2": torch.ones(2, 2)}, tmp_path / "x.safetensors")
    assert "1 layer: 1 " in repr(load(tmp_path / "x.safetensors"))
    assert "norm 4, 'x.safetensors')" in repr(load(tmp_path / "x.safetensors"))


def test_a_norm_that_takes_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "_AFFORDABLE", 2 * 2 * (8 + 6) - 1)
    monkeypatch.setattr(LowRank, "delta", None)
    lora = LoRA({Q: low_rank(2, 3.0)}, family="sdxl")
    assert repr(lora) == "LoRA(sdxl, 1 layer: 1 unet, rank 2)"
    monkeypatch.setattr(display, "_AFFORDABLE", 2 * 2 * (8 + 6))
    assert repr(lora) == "LoRA(sdxl, 1 layer: 1 unet, rank 2, norm 3)"


def test_factors_that_are_trained_give_no_warning() -> None:
    layer = low_rank(2, 3.0)
    lora = LoRA({Q: replace(layer, A=layer.A.requires_grad_())})
    assert "norm 3" in repr(lora)


def test_the_table_has_a_row_for_each_part() -> None:
    layers = {Q: low_rank(2, 3.0), TEXT: low_rank(4, 4.0)}
    lora = LoRA(layers, {"modelspec.trigger_phrase": "a sks cat", "lorarar.method": "ties"}, "cat", "sdxl")
    html = lora._repr_html_()
    for row in (("down_blocks", "1", "2", "3"), ("text_encoder", "1", "4", "4"), ("all", "2", "2-4", "5")):
        assert "".join(f"<td>{cell}</td>" for cell in row) in html
    for text in ("<b>cat</b>", "LoRA for Stable Diffusion XL", "trigger words: a sks cat", "merged by: ties"):
        assert text in html


def test_text_of_a_file_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    lora = LoRA({f"{evil}.to_q": low_rank(2, 3.0)}, {"phrase": evil, "lorarar.method": evil}, evil)
    assert "<script" not in lora._repr_html_()
    assert lora._repr_html_().count("&lt;script&gt;") == 4
