"""lorarar.files: two files in, one file out, and nothing half-written when that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from lorarar.backbone import Backbone
from lorarar.files import merge_files
from lorarar.formats import FormatError, load, save, sha256
from lorarar.lora import LoRA
from lorarar.mergers.build import new_merger
from lorarar.mergers.files import save_merger
from tests.tiny import dense, lora_for, tiny_unet

Files = tuple[Path, Path]


@pytest.fixture
def files(loras: dict[str, LoRA], tmp_path: Path) -> Files:
    paths = tmp_path / "cat.safetensors", tmp_path / "oil.safetensors"
    for path, name in zip(paths, ("train_content_00", "train_style_00"), strict=True):
        save(loras[name], path, dtype=torch.float32)
    return paths


@pytest.fixture
def network(loras: dict[str, LoRA], tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "network.safetensors"
    save_merger(new_merger("paper", loras["train_content_00"], {"hidden": 4}), path)
    return path


@pytest.mark.parametrize("merger", ["direct", "average", "hypernetwork"])
@pytest.mark.parametrize("format", ["diffusers", "peft"])
def test_a_merge_loads_in_diffusers_and_is_the_sum(
    backbone: Backbone, files: Files, network: Path, merger: str, format: str, tmp_path: Path
) -> None:
    output = tmp_path / "merged.safetensors"
    how: dict[str, object] = {"merger_file": network} if merger == "hypernetwork" else {"merger": merger}
    said = merge_files(*files, output, dtype="fp32", format=format, **how)  # type: ignore[arg-type]
    assert said.startswith(f"{output}: cat.safetensors as content + oil.safetensors as style, ")
    assert "56 layers, merged in" in said
    merged, content, style = load(output), load(files[0]), load(files[1])
    layer = next(la for la in merged.layers if la.endswith("to_v"))  # the paper's network does not predict to_v
    weight = 0.5 if merger == "average" else 1.0
    expected = weight * (dense(content.layers[layer]) + dense(style.layers[layer]))
    assert_close(dense(merged.layers[layer]), expected, rtol=1e-5, atol=1e-6)
    if format == "diffusers":
        linear = backbone.denoiser.get_submodule(layer)
        before = linear.weight.clone()
        backbone.pipeline.load_lora_weights(output)
        backbone.pipeline.fuse_lora()
        fused = backbone.denoiser.get_submodule(layer).base_layer.weight
        assert_close((fused - before).double(), expected, rtol=1e-4, atol=1e-5)


def test_the_file_says_how_it_was_made(files: Files, network: Path, tmp_path: Path) -> None:
    merge_files(*files, tmp_path / "merged.safetensors", merger_file=network)
    facts = load(tmp_path / "merged.safetensors").metadata
    assert facts["method"] == "paper"
    assert facts["merged_from"] == "cat.safetensors, oil.safetensors"
    assert (facts["content_sha256"], facts["style_sha256"]) == (sha256(files[0]), sha256(files[1]))
    assert facts["merger_sha256"] == sha256(network)
    assert json.loads(facts["coefficients"])["mid_block"]["to_v"][0]["mean"] == 1.0


def test_a_folder_with_one_file_is_as_good_as_the_file(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    save(load(files[0]), folder, format="peft", dtype=torch.float32)
    merge_files(folder, files[1], tmp_path / "merged.safetensors")
    facts = load(tmp_path / "merged.safetensors").metadata
    assert facts["content_sha256"] == sha256(folder / "adapter_model.safetensors")


def truncated(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:-10])
    return "cat.safetensors is no whole safetensors file"


def missing(path: Path) -> str:
    path.unlink()
    return "cat.safetensors does not exist: check the path"


def of_another_base(path: Path) -> str:
    save(lora_for(tiny_unet()), path, force=True)
    return "the LoRAs hold different layers: cat.safetensors has 32, oil.safetensors has 56"


def not_finite(path: Path) -> str:
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = torch.nan
    save_file(tensors, path)
    return "cat.safetensors holds NaN or infinite weights in 1 of 112 tensors"


@pytest.mark.parametrize("spoil", [truncated, missing, of_another_base, not_finite])
def test_a_bad_input_is_named_and_leaves_nothing(files: Files, spoil: object, tmp_path: Path) -> None:
    message = spoil(files[0])  # type: ignore[operator]
    output = tmp_path / "out"
    output.mkdir()
    with pytest.raises(ValueError, match=message):
        merge_files(*files, output / "merged.safetensors", merger="average")
    assert list(output.iterdir()) == []


@pytest.mark.parametrize("format", ["diffusers", "peft"])
def test_a_bad_output_is_named_and_leaves_nothing(files: Files, format: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for output, message in (
        (tmp_path / "nowhere" / "merged.safetensors", "its folder .*nowhere does not exist, create it first"),
        (files[0] / "merged.safetensors", "its folder .*cat.safetensors does not exist"),
        (files[1], "oil.safetensors exists: choose another name, or pass --force"),
    ):
        with pytest.raises(FormatError, match=message):
            merge_files(*files, output, format=format)  # type: ignore[arg-type]
    assert sorted(tmp_path.rglob("*")) == before
    assert load(files[1]).metadata.get("method") is None


def test_an_overflow_in_fp16_leaves_the_old_file(files: Files, loras: dict[str, LoRA], tmp_path: Path) -> None:
    output = tmp_path / "merged.safetensors"
    merge_files(*files, output)
    old = output.read_bytes()
    big = loras["train_content_00"].to(dtype=torch.float32)
    next(iter(big.layers.values())).B.mul_(1e6)
    save(big, files[0], dtype=torch.float32, force=True)
    with pytest.raises(FormatError, match=r"not finite in torch.float16.*write it with dtype=torch.float32"):
        merge_files(*files, output, force=True)
    assert output.read_bytes() == old
    assert not list(tmp_path.glob(".*"))


def test_a_merger_and_a_network_are_one_too_many(files: Files, network: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected --merger or --hypernetwork, found both"):
        merge_files(*files, tmp_path / "merged.safetensors", merger="direct", merger_file=network)
