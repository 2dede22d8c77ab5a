"""Every dialect is read, and told by its keys alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.storage.atomic import FormatError

Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"
FLUX = "transformer_blocks.0.attn.to_q"
BARE_TEXT = "text_encoder.encoder.layers.0.self_attn.q_proj"  # of transformers 5
FULL_TEXT = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
TEXT = "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj"
DOWN, UP = torch.arange(6.0).view(2, 3) / 7, torch.arange(8.0).view(4, 2) / 5


def write(path: Path, *stems: tuple[str, str], header: dict[str, str] | None = None, **more: Tensor) -> Path:
    """A file with `DOWN` and `UP` under each (down key, up key)."""
    tensors = {down: DOWN.clone() for down, _ in stems} | {up: UP.clone() for _, up in stems}
    save_file({**tensors, **more}, path, metadata=header)
    return path


def old(attention: str, name: str) -> tuple[str, str]:
    stem = f"{attention}.processor.{name}_lora"
    return f"{stem}.down.weight", f"{stem}.up.weight"


def current(layer: str, middle: str = "lora") -> tuple[str, str]:
    return f"{layer}.{middle}.down.weight", f"{layer}.{middle}.up.weight"


def peft(layer: str) -> tuple[str, str]:
    return f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"


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
def test_layers_are_found(case: str, tmp_path: Path) -> None:
    stems, layers = CASES[case]
    lora = load(write(tmp_path / "x.bin", *stems))
    assert sorted(lora.layers) == sorted(layers)
    for f in lora.layers.values():
        assert torch.equal(f.A, DOWN)
        assert torch.equal(f.B, UP)
        assert f.scale == 1.0  # no alpha means alpha = rank
    assert lora.name == "x.bin"


@pytest.mark.parametrize("stem", [f"unet.{Q}", f"unet.{Q}.lora", f"unet.{Q[:-5]}.processor.to_q_lora"])
def test_alpha_beside_a_layer(stem: str, tmp_path: Path) -> None:
    down_up = old(f"unet.{Q[:-5]}", "to_q") if "processor" in stem else current(f"unet.{Q}")
    for alpha, scale in ((3.0, 1.5), (0.0, 1.0)):
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


def test_alpha_in_adapter_config_beside_the_file(tmp_path: Path) -> None:
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({"r": 2, "lora_alpha": 6, "use_rslora": False}))
    path = write(tmp_path / "adapter_model.safetensors", peft(f"base_model.model.{Q}"))
    assert load(path).layers[Q].scale == 3.0
    assert load(tmp_path).layers[Q].scale == 3.0  # the folder that holds one file
    config.write_text("{")
    with pytest.raises(FormatError, match=r"adapter_config\.json: the adapter's configuration is no JSON"):
        load(path)


def test_files_that_are_no_known_lora(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    unknown = {
        "another's names": [peft("diffusion_model.foo.bar")],
        "underscores of unknown names": [("lora_unet_foo.lora_down.weight", "lora_unet_foo.lora_up.weight")],
        "a whole model's": [(f"{Q}.bias", f"{Q}.weight")],
    }
    for stems in unknown.values():
        with pytest.raises(
            FormatError, match=rf"x\.safetensors: 2 of 2 keys.*first \['{stems[0][0]}.*kohya, diffusers.*save it"
        ):
            load(write(path, *stems))
    with pytest.raises(FormatError, match="2 of 4 keys"):
        load(write(path, peft(f"unet.{Q}"), *unknown["another's names"]))


def test_a_mixture_is_read_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "x", peft(f"unet.{Q}"), peft(TEXT), old(OUT[:-9], "to_out"))
    contents = read_stored(path)
    assert set(contents.layers) == {Q, TEXT, OUT}
    assert contents.warnings == ("the file mixes the layouts of diffusers (4 keys), diffusers (old) (2 keys)",)
    with pytest.raises(FormatError, match="holds layer down_blocks.*twice, as down_.*and unet.*it mixes two layouts"):
        load(write(path, peft(f"unet.{Q}"), peft(Q)))


def test_inconsistent_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    down, up = peft(f"unet.{Q}")
    cases: dict[str, dict[str, Tensor]] = {
        r"1 of 1 layers lack a part.*first \['unet.*lora_A": {down: DOWN},
        r"layer down_blocks.*\(4, 3\).*\(2, 3\)": {down: DOWN, up: torch.ones(4, 3)},
        "floating.point|int32": {down: DOWN.int(), up: UP},
        "twice, as .*it mixes two layouts": {down: DOWN, up: UP, current(f"unet.{Q}")[0]: DOWN + 1},
    }
    for message, tensors in cases.items():
        save_file(tensors, path)
        with pytest.raises(FormatError, match=message):
            load(path)
    header = {"lora_adapter_metadata": json.dumps({"unet.use_dora": True})}
    with pytest.raises(FormatError, match="layer down_blocks.*DoRA.*are no magnitudes"):
        load(write(path, (down, up), header=header))
    with pytest.raises(FormatError, match="no JSON"):
        load(write(path, (down, up), header={"lora_adapter_metadata": "{"}))


def test_a_folder_must_hold_one_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a folder with 0 safetensors files"):
        load(tmp_path)
