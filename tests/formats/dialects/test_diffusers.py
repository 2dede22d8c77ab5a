"""lorarar.formats.dialects.diffusers: old and current keys, and the places of alpha."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lorarar.formats.loading import load
from tests.formats.dialects.files import BARE_TEXT, DOWN, FLUX, FULL_TEXT, OUT, TEXT, UP, Q, current, old, peft, write

CASES = {
    "old diffusers": ([old(f"unet.{Q[:-5]}", "to_q"), old(f"unet.{OUT[:-9]}", "to_out")], [Q, OUT]),
    "old diffusers without unet": ([old(Q[:-5], "to_q"), old(OUT[:-9], "to_out")], [Q, OUT]),
    "LoRA.rar's own": ([old(f"unet.unet.{Q[:-5]}", "to_q")], [Q]),
    "current diffusers": ([current(f"unet.{Q}"), current(TEXT, "lora_linear_layer")], [Q, TEXT]),
    "current diffusers, lora_A": ([peft(f"unet.{Q}"), peft(f"unet.{OUT}"), peft(TEXT)], [Q, OUT, TEXT]),
    "transformer": ([peft(f"transformer.{FLUX}")], [FLUX]),
    "peft": ([peft(f"base_model.model.{Q}"), peft(f"base_model.model.{OUT}")], [Q, OUT]),
    "peft with unet": ([peft(f"base_model.model.unet.{Q}")], [Q]),
    "peft, of a text encoder": ([peft(f"base_model.model.{FULL_TEXT[13:]}")], [FULL_TEXT]),
    "bare peft": ([peft(Q), peft(FLUX)], [Q, FLUX]),
    "transformers 5's text encoder": ([peft(BARE_TEXT)], [FULL_TEXT]),
    "old diffusers, text encoder": (
        [(f"{FULL_TEXT[:-6]}to_q_lora.down.weight", f"{FULL_TEXT[:-6]}to_q_lora.up.weight")],
        [FULL_TEXT],
    ),
    "bare peft outside the blocks": ([peft("conv_in")], ["conv_in"]),
    "peft with the adapter's name": ([(f"{Q}.lora_A.default.weight", f"{Q}.lora_B.default.weight")], [Q]),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_of_each_kind_of_key(case: str, tmp_path: Path) -> None:
    stems, layers = CASES[case]
    lora = load(write(tmp_path / "x.bin", *stems))
    assert sorted(lora.layers) == sorted(layers)
    for f in lora.layers.values():
        assert torch.equal(f.A, DOWN)
        assert torch.equal(f.B, UP)
        assert f.scale == 1.0  # without alpha, alpha = rank
    assert lora.name == "x.bin"


@pytest.mark.parametrize("stem", [f"unet.{Q}", f"unet.{Q}.lora", f"unet.{Q[:-5]}.processor.to_q_lora"])
def test_alpha_beside_a_layer(stem: str, tmp_path: Path) -> None:
    down_up = old(f"unet.{Q[:-5]}", "to_q") if "processor" in stem else current(f"unet.{Q}")
    for alpha, scale in ((3.0, 1.5), (0.0, 0.0)):
        path = write(tmp_path / "x", down_up, **{f"{stem}.alpha": torch.tensor(alpha)})
        assert load(path).layers[Q].scale == scale


def test_alpha_in_the_header_by_model(tmp_path: Path) -> None:
    config = {
        "unet.r": 2,
        "unet.lora_alpha": 8,
        "unet.alpha_pattern": {OUT: 1},
        "text_encoder_2.lora_alpha": 8,
        "text_encoder_2.use_rslora": True,
    }
    header = {"lora_adapter_metadata": json.dumps(config), "format": "pt", "trigger": "sks"}
    lora = load(write(tmp_path / "x", peft(f"unet.{Q}"), peft(f"unet.{OUT}"), peft(TEXT), header=header))
    assert {layer: f.scale for layer, f in lora.layers.items()} == {Q: 4.0, OUT: 0.5, TEXT: 8 / 2**0.5}
    assert lora.metadata == {"trigger": "sks"}
