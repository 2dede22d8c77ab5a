"""ComfyUI nodes: with stand-ins for ComfyUI's modules, and against ComfyUI's own source where it is at hand."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open

from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.lora.families import FAMILIES
from tests import ROOT
from tests.tiny import factors

NODES = ROOT / "integrations" / "comfyui"
Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
TEXT = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"


class Interrupted(Exception):  # noqa: N818
    """What ComfyUI raises when the user stops the work."""


class Bar:
    """Progress bar that remembers what it showed."""

    shown: list[tuple[int, int]] = []  # noqa: RUF012

    def __init__(self, total: int) -> None:
        self.total = total

    def update_absolute(self, value: int) -> None:
        Bar.shown.append((value, self.total))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of LoRAs with two files for SDXL."""
    from lorarar.lora.lora import LoRA

    for name, seed in (("cat", 1), ("ink", 2)):
        layers = {Q: factors(640, 640, 4, 0.5, seed), TEXT: factors(768, 768, 4, 0.5, seed + 5)}
        lora = LoRA(layers, family="sdxl", metadata={"modelspec.trigger_phrase": f"a {name}"})
        save(lora, tmp_path / f"{name}.safetensors")
    return tmp_path


@pytest.fixture
def nodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The nodes, with stand-ins for ComfyUI's modules."""
    paths = SimpleNamespace(
        get_filename_list=lambda kind: sorted(path.name for path in folder.glob("*.safetensors")),
        get_full_path_or_raise=lambda kind, name: str(folder / name),
        get_folder_paths=lambda kind: [str(folder)],
    )
    management = SimpleNamespace(stop=False)

    def check() -> None:
        if management.stop:
            raise Interrupted

    management.throw_exception_if_processing_interrupted = check
    comfy: Any = ModuleType("comfy")
    comfy.model_management, comfy.utils = management, SimpleNamespace(ProgressBar=Bar)
    stand_ins = {
        "folder_paths": paths,
        "comfy": comfy,
        "comfy.model_management": management,
        "comfy.utils": comfy.utils,
    }
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(NODES.parent)
    module: Any = importlib.import_module("comfyui")
    found = {name: node() for name, node in module.NODE_CLASS_MAPPINGS.items()}
    yield SimpleNamespace(**{name.removeprefix("Lorarar"): node for name, node in found.items()}, management=management)
    for name in ("comfyui", "comfyui.nodes"):
        sys.modules.pop(name)


def test_merge_and_save(nodes: Any, folder: Path) -> None:
    lora, words, report = nodes.Merge.run(
        "direct",
        content="cat.safetensors",
        lora_stack=[("ink.safetensors", 0.5, 0.25)],
        block_weights="down_blocks.1=1,2",
    )
    assert words == "a cat, a ink"
    assert "method: direct" in report
    assert {key.split(".")[0] for key in lora} == {
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
    }
    shown = nodes.Save.run(lora, "sub/merged", "fp32", False)
    path, text = shown["result"]
    assert shown["ui"]["text"] == [path, text]
    assert "verified: 2 layers read again" in text
    assert "ComfyUI uses 2 of 2 layers" in text
    assert Path(path) == folder / "sub" / "merged.safetensors"
    cat, ink, merged = (load(folder / name).layers for name in ("cat.safetensors", "ink.safetensors", path))
    for layer, weight in ((Q, 0.5 * 2), (TEXT, 0.25)):
        expected = cat[layer].delta() + weight * ink[layer].delta()
        torch.testing.assert_close(merged[layer].delta(), expected, rtol=1e-3, atol=1e-3)
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["lorarar.method"] == "direct"
        assert file.metadata()["modelspec.trigger_phrase"] == "a cat, a ink"
    assert Path(nodes.Save.run(lora, "sub/merged", "fp16", False)["result"][0]).name == "merged_2.safetensors"


def test_inspect_and_cache_key(nodes: Any, folder: Path) -> None:
    report, words = nodes.Inspect.run("cat.safetensors")["result"]
    assert "Stable Diffusion XL" in report
    assert words == "a cat"
    key = {"content": "cat.safetensors", "method": "direct"}
    before = nodes.Merge.IS_CHANGED(**key)
    assert nodes.Merge.IS_CHANGED(**key) == before != nodes.Merge.IS_CHANGED(**key | {"method": "ties"})
    (folder / "cat.safetensors").write_bytes((folder / "ink.safetensors").read_bytes())
    os.utime(folder / "cat.safetensors", ns=(1, 1))
    assert nodes.Merge.IS_CHANGED(**key) != before


def test_progress_and_interruption(nodes: Any) -> None:
    Bar.shown.clear()
    pair = {"content": "cat.safetensors", "style": "ink.safetensors"}
    nodes.Merge.run("ties", options="density=0.5", **pair)
    assert Bar.shown[-1] == (2, 2)
    nodes.management.stop = True
    with pytest.raises(Interrupted):
        nodes.Merge.run("ties", **pair)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": "None"}, "expected LoRAs to merge, found none"),
        ({"block_weights": "mid_block"}, "expected a block and its weights"),
        ({"options": "density"}, "expected a setting and its number"),
        ({"lora_stack": [("ink.safetensors", 0.0, 1.0)]}, "expected a model strength other than 0"),
    ],
)
def test_mistakes(nodes: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nodes.Merge.run("direct", **({"content": "cat.safetensors"} | change))


def test_names_outside_the_folder_and_foreign_loras_are_refused(nodes: Any) -> None:
    lora, _, _ = nodes.Merge.run("direct", content="cat.safetensors")
    with pytest.raises(ValueError, match=r"without \.\."):
        nodes.Save.run(lora, "../x", "fp16", True)
    with pytest.raises(ValueError, match="of the node that merges"):
        nodes.Save.run({}, "x", "fp16", True)


def test_example_workflow_fits_the_nodes(nodes: Any) -> None:
    """Its nodes, widgets and links are those of the node classes."""
    workflow = json.loads((NODES / "example_workflows" / "merge_two_loras.json").read_text())
    by_id = {node["id"]: node for node in workflow["nodes"]}
    ours = {number: node for number, node in by_id.items() if node["type"].startswith("Lorarar")}
    assert {node["type"] for node in ours.values()} == {
        f"Lorarar{name}" for name in ("Inspect", "Merge", "Apply", "Save")
    }
    for node in ours.values():
        kind = getattr(nodes, node["type"].removeprefix("Lorarar"))
        inputs = {name: spec for group in kind.INPUT_TYPES().values() for name, spec in group.items()}
        widgets = [
            name for name, spec in inputs.items() if spec[0] not in ("LORA_STACK", "LORA_MODEL", "MODEL", "CLIP")
        ]
        assert len(node["widgets_values"]) == len(widgets), node["type"]
        assert {entry["name"] for entry in node.get("inputs", [])} <= set(inputs)
        assert [entry["type"] for entry in node["outputs"]] == list(kind.RETURN_TYPES)
    for _, source, out, target, place, type_ in workflow["links"]:
        assert by_id[source]["outputs"][out]["type"] == by_id[target]["inputs"][place]["type"] == type_


@pytest.mark.slow
def test_against_the_source_of_comfyui(tmp_path: Path) -> None:
    """A workflow of two LoRAs, merge, save, load: ComfyUI's patches equal the sum of its patches of the two files."""
    source = os.environ.get("COMFYUI_SOURCE", "")
    if not (Path(source) / "comfy" / "lora.py").is_file():
        pytest.skip("COMFYUI_SOURCE names no checkout of ComfyUI")
    script = Path(__file__).parent / "comfyui_source.py"
    done = subprocess.run(
        [sys.executable, script, source, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == {"sd15", "sdxl", "flux"}
    for family, result in found.items():
        assert family in FAMILIES
        assert result["patches"] > 20
        assert result["unused"] == []
        assert result["memory_error"] < 1e-3
        assert result["file_error"] < 1e-3
        assert result["ignored_alike"]
