"""Newer families: files in the names of ComfyUI, musubi-tuner, ai-toolkit and diffusers; names of unknown models."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import lora_conversion_utils as diffusers_loader
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorarar.formats.inspection.report import inspect
from lorarar.formats.loading import load
from lorarar.formats.naming.originals import original_layer
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import save
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.combination import combine
from lorarar.mergers.files import merge_files
from lorarar.mergers.request import FileMerge, MergeRequest
from lorarar.storage.atomic import FormatError
from tests.architectures import NEWER_BUILDERS, first_blocks, kernel
from tests.formats.reference import by_us, check_same, effect, factors

KOHYA, PEFT = (".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight")


def small_lora(family: str) -> LoRA:
    """Return a LoRA of rank 1 for the layers of the first block of each kind and those outside the blocks."""
    generator = torch.Generator().manual_seed(0)
    layers = {}
    for path, (out, width) in first_blocks(family).items():
        up, down = torch.randn(out, 1, generator=generator), torch.randn(1, width, generator=generator)
        layers[path] = LowRank(up, down, 0.5, kernel=kernel(family, path))
    return LoRA(layers, family=family)


def effects(lora: LoRA) -> dict[str, Tensor]:
    return {path: effect(f.B, f.A, f.scale) for path, f in lora.layers.items() if isinstance(f, LowRank)}


QUICK = ("flux2-klein-4b", "lumina2", "krea2", "anima", "hunyuan-video", "wan-1.3b")


@pytest.mark.parametrize(
    "family", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NEWER_BUILDERS]
)
def test_names_come_back_in_each_dialect(family: str, tmp_path: Path) -> None:
    lora = small_lora(family)
    expected = effects(lora)
    for format in ("kohya", "comfyui", "diffusers"):
        save(lora, tmp_path / format, format=format, dtype="fp32")
        back = load(tmp_path / format)
        check_same(effects(back), expected)
        assert back.family == ("" if family == "ltx-video-13b" else family)  # LTX-2 has all layers of that model
    # Without a format, the file keeps its names.
    save(load(tmp_path / "kohya"), tmp_path / "again", dtype="fp32")
    assert load_file(tmp_path / "again").keys() == load_file(tmp_path / "kohya").keys()


# Family -> diffusers' own conversion of ComfyUI's names, and the layers that it leaves out or converts wrongly.
CONVERSIONS: dict[str, tuple[Callable[..., Any], str]] = {
    # The last modulation's halves are not swapped, but are in diffusers' conversion of checkpoints.
    "flux2-klein-4b": (diffusers_loader._convert_non_diffusers_flux2_lora_to_diffusers, r"norm_out.*"),
    "wan-14b": (diffusers_loader._convert_non_diffusers_wan_lora_to_diffusers, r"patch_embedding"),
    "hidream": (diffusers_loader._convert_non_diffusers_hidream_lora_to_diffusers, ""),
    "lumina2": (
        diffusers_loader._convert_non_diffusers_lumina2_lora_to_diffusers,
        r"x_embedder|time_caption_embed.*|norm_out.*",
    ),
    "ltx2": (diffusers_loader._convert_non_diffusers_ltx2_lora_to_diffusers, ""),
    "anima": (diffusers_loader._convert_non_diffusers_anima_lora_to_diffusers, ""),
    "krea2": (diffusers_loader._convert_non_diffusers_krea2_lora_to_diffusers, ""),
    "ideogram4": (diffusers_loader._convert_non_diffusers_ideogram4_lora_to_diffusers, r"(?!layers).*"),
}


def without(lora: LoRA, pattern: str) -> LoRA:
    return LoRA({p: f for p, f in lora.layers.items() if not re.fullmatch(pattern, p)}, family=lora.family)


def products(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return layer path -> effect of its delta in a state with the current diffusers names."""
    stems = [key.removesuffix(".lora_A.weight") for key in state if key.endswith(".lora_A.weight")]
    assert len(state) == 2 * len(stems)
    factors = {stem: (state[f"{stem}.lora_B.weight"], state[f"{stem}.lora_A.weight"]) for stem in stems}
    return {
        stem.removeprefix("transformer."): effect(up.flatten(1), down.flatten(1), 1.0)
        for stem, (up, down) in factors.items()
    }


@pytest.mark.parametrize("family", CONVERSIONS)
def test_deltas_equal_those_of_diffusers_conversion(family: str, tmp_path: Path) -> None:
    convert, other = CONVERSIONS[family]
    lora = without(small_lora(family), other)
    save(lora, tmp_path / "x", format="comfyui", dtype="fp32")
    check_same(products(convert(load_file(tmp_path / "x"))), effects(lora), tolerance=1e-5)


def test_hunyuan_video_in_its_authors_names_equals_diffusers_conversion(tmp_path: Path) -> None:
    # diffusers also swaps the factor A of the last modulation and divides that of the refiner, which is wrong.
    lora = without(small_lora("hunyuan-video"), r"norm_out.*|.*token_refiner.*to_[qkv]")
    named = [original_layer(path, "hunyuan-video") for path in lora.layers]
    dotted = {f"diffusion_model.{name}": rows for name, rows in named}
    save(replace(lora, names=dotted), tmp_path / "x", dtype="fp32")
    theirs = diffusers_loader._convert_hunyuan_video_lora_to_diffusers(load_file(tmp_path / "x"))
    check_same(products(theirs), effects(lora), tolerance=1e-5)
    check_same(by_us(tmp_path / "x"), effects(lora))


def test_musubi_wan_equals_diffusers_conversion(tmp_path: Path) -> None:
    lora = without(small_lora("wan-1.3b"), r"(?!blocks).*")
    save(lora, tmp_path / "x", format="kohya", dtype="fp32")
    theirs = diffusers_loader._convert_musubi_wan_lora_to_diffusers(load_file(tmp_path / "x"))
    check_same(products(theirs), effects(lora), tolerance=1e-5)


# Name of a file -> (names of its layers, (out, in)), as the tools write them; the sizes of some are those of no model.
MUSUBI, COMFYUI = "lora_unet_", "diffusion_model."
TOOLS = {
    "Wan, ComfyUI": (f"{COMFYUI}blocks.#.self_attn.q", 1536, 1536),
    "Wan, musubi-tuner": (f"{MUSUBI}blocks_#_self_attn_q", 1536, 1536),
    "HiDream, ComfyUI": (f"{COMFYUI}double_stream_blocks.#.block.attn1.to_q", 2560, 2560),
    "Anima, sd-scripts": (f"{MUSUBI}blocks_#_cross_attn_q_proj", 2048, 2048),
    "LTX, ComfyUI": (f"{COMFYUI}transformer_blocks.#.attn1.to_q", 2048, 2048),
    "Krea 2 of another width": (f"{COMFYUI}transformer_blocks.#.attn.to_gate", 64, 64),
    "Qwen-Image 2 of another width": (f"{COMFYUI}transformer_blocks.#.img_mlp.gate_layer", 96, 32),
    "HunyuanVideo, musubi-tuner": (f"{MUSUBI}double_blocks_#_img_mlp_fc1", 12288, 3072),
    "HunyuanVideo 1.5, musubi-tuner": (f"{MUSUBI}double_blocks_#_img_attn_q", 2048, 2048),
    "ACE-Step, ComfyUI": (f"{COMFYUI}decoder.layers.#.self_attn.q_proj", 64, 64),
    "a text model, peft": ("base_model.model.model.layers.#.self_attn.q_proj", 64, 64),
    "SimpleTuner": ("lycoris_foo_blocks_#_bar", 32, 32),
}


def tool_file(path: Path, tool: str, blocks: int = 2, seed: int = 0, **header: str) -> Path:
    name, out, width = TOOLS[tool]
    ends, alpha = (PEFT, None) if "." in name else (KOHYA, 2.0)
    tensors: dict[str, Tensor] = {}
    for number in range(blocks):
        tensors |= factors(name.replace("#", str(number)), out, width, ends, seed=seed + number, rank=1, alpha=alpha)
    save_file(tensors, path, metadata=header or None)
    return path


def raw_effects(path: Path) -> dict[str, Tensor]:
    """Return the name of each layer in a file -> the effect of its delta, by the file's endings alone."""
    tensors = load_file(path)
    found: dict[str, Tensor] = {}
    for down, up in (PEFT, KOHYA):
        for key in [key for key in tensors if key.endswith(down)]:
            stem = key.removesuffix(down)
            alpha = tensors.get(f"{stem}.alpha")
            scale = 1.0 if alpha is None else float(alpha) / len(tensors[key])
            found[stem] = effect(tensors[stem + up], tensors[key], scale)
    return found


@pytest.mark.parametrize("tool", TOOLS)
def test_a_merge_keeps_the_names_of_its_inputs(tool: str, tmp_path: Path) -> None:
    one, other = tool_file(tmp_path / "a.safetensors", tool), tool_file(tmp_path / "b.safetensors", tool, 3, seed=9)
    out = tmp_path / "out.safetensors"
    summary = merge_files(FileMerge([one, other], out, MergeRequest(merger="direct"), dtype="fp32"))
    first, second = raw_effects(one), raw_effects(other)
    check_same(raw_effects(out), {name: first.get(name, 0) + delta for name, delta in second.items()}, 1e-5)
    unknown = read_stored(one).family == "" and "LTX" not in tool
    assert any("unknown model, names kept" in note for note in summary["notes"]) == unknown
    assert ("names kept" in inspect(one).text()) == unknown


def test_what_is_said_of_a_model_that_is_not_in_the_table(tmp_path: Path) -> None:
    stated = tool_file(tmp_path / "x", "ACE-Step, ComfyUI", ss_base_model_version="hunyuan_video_1_5")
    assert "known model, names kept: HunyuanVideo 1.5, by its header ('hunyuan_video_1_5')" in inspect(stated).warnings
    sizes = tool_file(tmp_path / "x", "Krea 2 of another width")
    assert "the names are those of Krea 2, but not the sizes" in inspect(sizes).text()


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("ACE-Step, ComfyUI", "a text model, peft", "no layer in common"),
        ("ACE-Step, ComfyUI", "Wan, ComfyUI", "no layer in common"),
        ("Wan, ComfyUI", "HunyuanVideo, musubi-tuner", "different base models: .*Wan 1.3B.*HunyuanVideo"),
        ("Wan, musubi-tuner", "Anima, sd-scripts", "different base models: .*Wan 1.3B.*Anima"),
    ],
)
def test_different_models_are_refused(one: str, other: str, message: str, tmp_path: Path) -> None:
    loras = [load(tool_file(tmp_path / "x", one)), load(tool_file(tmp_path / "y", other))]
    with pytest.raises(ValueError, match=message):
        combine(loras, MergeRequest(merger="direct"))


def test_two_dialects_of_one_model_merge_under_the_names_of_the_first(tmp_path: Path) -> None:
    one, other = tool_file(tmp_path / "a", "Wan, musubi-tuner"), tool_file(tmp_path / "b", "Wan, ComfyUI", 3)
    merged = combine([load(one), load(other)], MergeRequest(merger="direct")).lora
    save(merged, tmp_path / "c", dtype="fp32")
    assert set(raw_effects(tmp_path / "c")) == {
        *(f"lora_unet_blocks_{i}_self_attn_q" for i in range(2)),
        "diffusion_model.blocks.2.self_attn.q",
    }
    check_same(by_us(tmp_path / "c"), effects(merged))


def test_fused_names_outrank_those_of_their_parts(tmp_path: Path) -> None:
    qkv = factors("diffusion_model.double_blocks.0.img_attn.qkv", 9216, 3072, PEFT, rank=1)
    query = factors("transformer.transformer_blocks.0.attn.to_q", 3072, 3072, PEFT, rank=1, seed=5)
    header = {"ss_base_model_version": "flux_2_klein_4b"}
    save_file(query, tmp_path / "a", metadata=header)
    save_file(qkv, tmp_path / "b", metadata=header)
    merged = combine([load(tmp_path / "a"), load(tmp_path / "b")], MergeRequest(merger="direct")).lora
    save(merged, tmp_path / "c", dtype="fp32", metadata=header)
    assert set(raw_effects(tmp_path / "c")) == {"diffusion_model.double_blocks.0.img_attn.qkv"}
    check_same(by_us(tmp_path / "c"), effects(merged))


def test_names_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    unknown = load(tool_file(tmp_path / "x", "SimpleTuner"))
    for format, message in (
        ("diffusers", "diffusers' names depend on the model.*format=.same"),
        ("kohya", "kohya's names depend on the model"),
        ("comfyui", "expected a transformer that is known.*format=.same"),
    ):
        with pytest.raises(FormatError, match=f"y was not written: {message}"):
            save(unknown, tmp_path / "y", format=format)
    with pytest.raises(FormatError, match="expected the name of each layer in a file, found 2 without one"):
        save(replace(unknown, names={}), tmp_path / "y", format="same")
