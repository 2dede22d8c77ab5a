"""ComfyUI nodes: with stand-ins for ComfyUI's modules, and against ComfyUI's own source where it is at hand."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from lorarar.datasets.images import load_image
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.lora.families import FAMILIES
from lorarar.lora.lora import LoRA
from lorarar.lora.weights import input_weights, weight_loras
from lorarar.mergers.table import MERGERS
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


class Hooks(list[Any]):
    """A group of hooks."""

    add = list.append


class Clip:
    """Text encoders that remember what was added to them."""

    def __init__(self, layers: Any = None, hooks: Any = None) -> None:
        self.layers, self.apply_hooks_to_conds = layers, hooks

    def clone(self) -> Any:
        return Clip(self.layers, self.apply_hooks_to_conds)


def patch_clip(model: Any, clip: Any, lora: Any, strength_model: float, strength_clip: float) -> tuple[Any, Any]:
    """Add a LoRA to text encoders."""
    assert (model, strength_clip) == (None, 1.0)
    return None, Clip(lora.lora.layers, clip.apply_hooks_to_conds)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of LoRAs with two files for SDXL."""
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
        get_output_directory=lambda: str(folder / "output"),
    )
    management = SimpleNamespace(stop=False)

    def check() -> None:
        if management.stop:
            raise Interrupted

    management.throw_exception_if_processing_interrupted = check
    comfy: Any = ModuleType("comfy")
    comfy.model_management, comfy.utils = management, SimpleNamespace(ProgressBar=Bar)
    comfy.hooks = SimpleNamespace(HookKeyframeGroup=object, WeightHook=SimpleNamespace, HookGroup=Hooks)
    comfy.sd = SimpleNamespace(load_lora_for_models=patch_clip)
    stand_ins = {"folder_paths": paths, "comfy": comfy}
    stand_ins |= {f"comfy.{name}": getattr(comfy, name) for name in ("model_management", "utils", "hooks", "sd")}
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(NODES.parent)
    module: Any = importlib.import_module("comfyui")
    found = {name: node() for name, node in module.NODE_CLASS_MAPPINGS.items()}
    yield SimpleNamespace(**{name.removeprefix("Lorarar"): node for name, node in found.items()}, management=management)
    for name in [name for name in sys.modules if name.partition(".")[0] == "comfyui"]:
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


def write_pair(folder: Path) -> list[Any]:
    """Write a content and a style of four layers, whose sides change in different steps, and return them."""
    pair = []
    for name, seed in (("content", 1), ("style", 50)):
        scales = [0.4 + 0.1 * i if name == "content" else 0.6 for i in range(4)]
        paths = [Q.replace("blocks.1", "blocks.0").replace("to_q", f"to_{part}") for part in ("q", "k", "v", "out.0")]
        layers = {path: factors(320, 320, 2, scales[i], seed + i) for i, path in enumerate(paths)}
        layers[TEXT if seed == 1 else TEXT.replace("q_", "k_")] = factors(768, 768, 2, 0.5, seed)
        save(LoRA(layers, family="sd15"), folder / f"{name}.safetensors")
        pair.append(load(folder / f"{name}.safetensors"))
    return pair


@pytest.mark.parametrize("method", ["klora", "klora_wrapped", "est_lora", "windows", "switch"])
def test_hooks_act_in_each_step_as_the_method_says(method: str, nodes: Any, folder: Path) -> None:
    """By the noise levels of a sampler the hooks sum up to what the method's own schedule holds."""
    pair = weight_loras(write_pair(folder), input_weights([LoRA({})] * 2, [1.0, 0.75]))
    steps, row = 7, MERGERS[method]
    assert method in nodes.Compose.INPUT_TYPES()["required"]["method"][0]
    clip = Clip()
    positive, negative, hooks, _, report = nodes.Compose.run(
        method, steps, clip=clip, content="content.safetensors", style="style.safetensors", style_weight=0.75
    )
    assert f"{steps} steps" in report
    assert positive.apply_hooks_to_conds is hooks
    assert set(positive.layers) == set(negative.layers) == {TEXT, TEXT.replace("q_", "k_")}
    assert (negative.apply_hooks_to_conds is hooks) == (method != "windows")
    denoiser = [LoRA({path: layer for path, layer in lora.layers.items() if path[:4] != "text"}) for lora in pair]
    levels = torch.linspace(14, 0, steps + 1)
    for hook in hooks:
        hook.hook_keyframe.reset()
    for level, entry in zip(levels, row.call(denoiser, steps, **row.settings({})), strict=False):
        for hook in hooks:
            hook.hook_keyframe.prepare_current_keyframe(level, {"sample_sigmas": levels})
        acting = [hook.weights.lora for hook in hooks if hook.hook_keyframe.strength]
        found = {path: layer.delta() for lora in acting for path, layer in lora.layers.items()}
        assert len(found) == sum(len(lora.layers) for lora in acting)
        expected = getattr(entry, "loras", entry)
        assert set(found) == {path for lora in expected for path in lora.layers}
        for lora in expected:
            for path, layer in lora.layers.items():
                torch.testing.assert_close(found[path], layer.delta())


def test_a_sampler_with_other_steps_takes_the_nearest_share(nodes: Any) -> None:
    keyframes = sys.modules["comfyui.sampling"].StepKeyframes([True, True, False, False])
    levels, strengths, changes = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.0]), [], []
    for level in (8.0, 4.0, 2.0, 1.00001, 0.7, 0.5, 0.05):  # 0.7 lies between two levels, as for Heun's method
        changes.append(
            keyframes.prepare_current_keyframe(torch.tensor(level, dtype=torch.float64), {"sample_sigmas": levels})
        )
        strengths.append(keyframes.strength)
    assert strengths == [1, 1, 1, 1, 1, 0, 0]
    assert changes == [False, False, False, False, False, True, False]
    assert keyframes.clone().strength == 1


def test_methods_that_hooks_cannot_do_are_left_out(nodes: Any) -> None:
    offered = nodes.Compose.INPUT_TYPES()["required"]["method"][0]
    assert not {"composite", "kl_choice", "direct", "ties"} & set(offered)
    schedule = [(LoRA({}), LoRA({}))]
    with pytest.raises(ValueError, match="one LoRA acts in each step"):
        sys.modules["comfyui.sampling"].layers_by_steps(schedule)


def test_verify(nodes: Any, folder: Path) -> None:
    lora, _, _ = nodes.Merge.run("direct", content="cat.safetensors", style="ink.safetensors", style_weight=0.5)
    nodes.Save.run(lora, "merged", "fp16", True)
    pair = {"content": "cat.safetensors", "style": "ink.safetensors"}
    text, good = nodes.Verify.run("merged.safetensors", "ComfyUI", "what the file states", **pair)["result"]
    assert good, text
    assert nodes.Verify.run("merged.safetensors", "any of them", "what the file states")["result"][1]
    text, good = nodes.Verify.run("merged.safetensors", "ComfyUI", "direct", **pair)["result"]
    assert not good
    assert "fault" in text
    key = {"merged": "merged.safetensors", "tool": "ComfyUI", "method": "direct"}
    before = nodes.Verify.IS_CHANGED(**key)
    nodes.Save.run(lora, "merged", "fp32", True)
    assert nodes.Verify.IS_CHANGED(**key) != before


def pictures(*names: str) -> torch.Tensor:
    """Return images of the embedded world as ComfyUI has them, (n, height, width, 3)."""
    folder = ROOT / "data" / "embedded" / "images"
    images = [np.asarray(load_image(folder / name)) for name in names]
    return torch.from_numpy(np.stack(images)).float() / 255


TREE = pictures("test_content_03/0.png", "test_content_03/1.png")
CHECKS = pictures("test_style_03/0.png", "train_style_03/0.png")


def test_a_share_of_unscored_images_is_not_known(nodes: Any) -> None:
    share = sys.modules["comfyui.checks"]._share
    assert share([True, False]) == 0.5
    assert np.isnan(share([True, None]))
    assert np.isnan(share([]))


@pytest.mark.slow
def test_an_image_without_an_answer_is_unscored(nodes: Any, folder: Path) -> None:
    """The mock knows the right answers of the calibration, and none about the images."""
    images = pictures("test_content_03/2.png", "test_content_03/3.png")
    ask = {"images": images, "content": "tree", "content_references": TREE, "style": "checks"}
    ask["style_references"] = CHECKS
    shown = nodes.Judge.run(**ask, judge="mock:truth", calibration=4, uncalibrated=False)
    report, verdicts, score = shown["result"]
    assert "calibration: passed" in report
    assert verdicts == "0: content unscored, style unscored\n1: content unscored, style unscored"
    assert np.isnan(score)
    assert shown["ui"]["text"] == [report, verdicts]
    nodes.management.stop = True
    with pytest.raises(Interrupted):
        nodes.Judge.run(**ask, judge="mock:truth", calibration=3, uncalibrated=True)
    with pytest.raises(ValueError, match="what content and style are called"):
        nodes.Judge.run(**ask | {"style": " "}, judge="mock:truth", calibration=4, uncalibrated=False)


@pytest.mark.slow
def test_the_embedded_judge_sees_the_content(nodes: Any, folder: Path) -> None:
    ask = {"content": "tree", "content_references": TREE, "style": "checks", "style_references": CHECKS}
    _, verdicts, score = nodes.Judge.run(images=TREE, **ask, judge="tiny", calibration=1, uncalibrated=True)["result"]
    assert verdicts == "0: content yes, style no\n1: content yes, style no"
    assert score == 0
    assert len(list((folder / "output" / "lorarar_judge").iterdir())) == 1


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


@pytest.mark.parametrize(
    ("file", "kinds"),
    [("merge_two_loras", {"Inspect", "Merge", "Apply", "Save"}), ("compose_while_sampling", {"Compose"})],
)
def test_example_workflows_fit_the_nodes(file: str, kinds: set[str], nodes: Any) -> None:
    """Their nodes, widgets and links are those of the node classes, and the picture shows them."""
    workflow = json.loads((NODES / "example_workflows" / f"{file}.json").read_text())
    by_id = {node["id"]: node for node in workflow["nodes"]}
    ours = {number: node for number, node in by_id.items() if node["type"].startswith("Lorarar")}
    assert {node["type"] for node in ours.values()} == {f"Lorarar{name}" for name in kinds}
    for node in ours.values():
        kind = getattr(nodes, node["type"].removeprefix("Lorarar"))
        inputs = {name: spec for group in kind.INPUT_TYPES().values() for name, spec in group.items()}
        sockets = ("LORA_STACK", "LORA_MODEL", "MODEL", "CLIP")
        assert {entry["name"] for entry in node["inputs"]} == {n for n, spec in inputs.items() if spec[0] in sockets}
        assert len(node["widgets_values"]) == len(inputs) - len(node["inputs"]), node["type"]
        assert [entry["type"] for entry in node["outputs"]] == list(kind.RETURN_TYPES)
        assert [entry["name"] for entry in node["outputs"]] == list(getattr(kind, "RETURN_NAMES", kind.RETURN_TYPES))
    for number, source, out, target, place, type_ in workflow["links"]:
        start, end = by_id[source]["outputs"][out], by_id[target]["inputs"][place]
        assert start["type"] == end["type"] == type_
        assert number in start["links"]
        assert number == end["link"]
    drawing = runpy.run_path(str(ROOT / "docs" / "images" / "comfyui_workflow.py"))
    shown = drawing["picture"](workflow, sys.modules["comfyui"].NODE_CLASS_MAPPINGS)
    assert shown == (ROOT / "docs" / "images" / f"{drawing['WORKFLOWS'][file]}.svg").read_text(encoding="utf-8")


def test_the_project_of_the_nodes_has_what_the_registry_reads() -> None:
    project = tomllib.loads((NODES / "pyproject.toml").read_text(encoding="utf-8"))
    assert "comfyui" not in project["project"]["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])
    assert project["project"]["urls"]["Repository"].startswith("https://")
    assert {"PublisherId", "DisplayName", "requires-comfyui"} == set(project["tool"]["comfy"])
    assert project["project"]["dependencies"] == (NODES / "requirements.txt").read_text().split("\n")[:-1]


def run_in_comfyui(script: str, folder: Path) -> Any:
    """Run a script within ComfyUI's own source, where it is at hand, and return what it prints."""
    source = os.environ.get("COMFYUI_SOURCE", "")
    if not (Path(source) / "comfy" / "lora.py").is_file():
        pytest.skip("COMFYUI_SOURCE names no checkout of ComfyUI")
    command = [sys.executable, Path(__file__).parent / script, source, folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_against_the_source_of_comfyui(tmp_path: Path) -> None:
    """A workflow of two LoRAs, merge, save, load: ComfyUI's patches equal the sum of its patches of the two files."""
    found = run_in_comfyui("comfyui_source.py", tmp_path)
    assert found.keys() == {"sd15", "sdxl", "flux"}
    for family, result in found.items():
        assert family in FAMILIES
        assert result["patches"] > 20
        assert result["unused"] == []
        assert result["memory_error"] < 1e-3
        assert result["file_error"] < 1e-3
        assert result["ignored_alike"]


@pytest.mark.slow
def test_hooks_in_the_samplers_of_comfyui(tmp_path: Path) -> None:
    """In every call of the model ComfyUI's weights are those of the method's step, and afterwards those of before."""
    found = run_in_comfyui("comfyui_sampling.py", tmp_path)
    assert len(found) == 9
    for case, result in found.items():
        assert (result["steps"], result["passes"]) == (6, 12), case
        assert result["error"] < 1e-3, case
        assert result["text_error"] < 1e-3, case
        assert result["left"] == [], case
