"""What ComfyUI and sd-scripts make of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from lorarar.formats.naming.originals import comfyui_scheme, original_layer
from lorarar.formats.reading import read_stored
from lorarar.formats.tools import ToolView, _known_names, tool_views
from lorarar.formats.writing import save
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.lora import LoRA
from lorarar.lora.rows import whole_layer
from tests.formats.test_readers import lora_with_all_layers, stems
from tests.tiny import factors

Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "down_blocks.1.attentions.0.proj_in"
STATED = {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "sd35-medium"])
def test_every_layer_has_a_known_name_that_is_written(family: str) -> None:
    lora = lora_with_all_layers(family)
    written = stems(lora, "kohya", family)
    scheme = comfyui_scheme(family)
    for path in lora.layers:
        fused = scheme and not path.startswith("text_encoder")
        rows = original_layer(path, scheme)[1] if fused and scheme else whole_layer(path)
        for tool in ("ComfyUI", "sd-scripts"):
            assert written & set(_known_names(tool, rows, FAMILIES[family])), (tool, path)


def views(lora: LoRA, path: Path, format: str) -> dict[str, ToolView]:
    save(lora, path, format=format)
    return {view.tool: view for view in tool_views(read_stored(path))}


def test_names_and_scales_that_tools_do_not_read(tmp_path: Path) -> None:
    """ComfyUI knows diffusers' names of attentions in old files alone, and no alpha in the header."""
    lora = LoRA({Q: factors(640, 640, 4, 0.5), CONV: factors(640, 640, 4, 0.5)}, STATED, family="sdxl")
    assert all(view.complete for view in views(lora, tmp_path / "a.safetensors", "kohya").values())
    found = views(lora, tmp_path / "b.safetensors", "diffusers")
    assert found["ComfyUI"].ignored == {f"unet.{Q}": "a name that it does not know"}
    assert found["ComfyUI"].strengths == {2.0: 1}
    assert "it applies 1 of them at 2 times their strength" in found["ComfyUI"].text()
    assert len(found["sd-scripts"].ignored) == 2


def test_algorithms_and_an_alpha_of_zero(tmp_path: Path) -> None:
    lora = LoRA({Q: factors(640, 640, 4), CONV: factors(640, 640, 4)}, family="sdxl")
    save(lora, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    stem = next(key for key in tensors if key.endswith("to_q.alpha")).removesuffix(".alpha")
    tensors[f"{stem}.alpha"].zero_()
    save_file(tensors, tmp_path / "muted.safetensors")
    found = {view.tool: view for view in tool_views(read_stored(tmp_path / "muted.safetensors"))}
    assert found["ComfyUI"].complete
    assert found["sd-scripts"].strengths == {float("inf"): 1, 1.0: 1}
    lokr = {f"{stem}.lokr_w1": tensors[f"{stem}.lora_up.weight"][:4].clone(),
            f"{stem}.lokr_w2": tensors[f"{stem}.lora_up.weight"].repeat(1, 40)[:160].clone()}  # fmt: skip
    save_file({key: t for key, t in tensors.items() if stem not in key} | lokr, tmp_path / "lokr.safetensors")
    found = {view.tool: view for view in tool_views(read_stored(tmp_path / "lokr.safetensors"))}
    assert found["ComfyUI"].complete
    assert found["sd-scripts"].ignored == {stem: "lokr, which it does not read"}
