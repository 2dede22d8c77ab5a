"""lorarar.mergers.files: two files in, one file out, and nothing half-written when that fails."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from lorarar.diffusion.backbone import Backbone
from lorarar.formats.inspection.report import inspect
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.hypernetwork.build import new_merger
from lorarar.hypernetwork.checkpoint import save_merger
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.mergers.combination import combine
from lorarar.mergers.files import merge_files
from lorarar.mergers.plan import describe_merge_plan, plan_merge
from lorarar.mergers.report import describe_merge
from lorarar.mergers.request import FileMerge, MergeRequest
from lorarar.storage.atomic import FormatError
from lorarar.storage.hashing import sha256
from tests import ROOT
from tests.tiny import dense, factors, lora_for, tiny_unet, two_block_lora

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
@pytest.mark.parametrize("format", ["diffusers", "peft", "kohya"])
def test_a_merge_loads_in_diffusers_and_is_the_sum(
    backbone: Backbone, files: Files, network: Path, merger: str, format: str, tmp_path: Path
) -> None:
    output = tmp_path / ("adapter" if format == "peft" else "merged.safetensors")
    how: dict[str, object] = {"network": network} if merger == "hypernetwork" else {"merger": merger}
    found = merge_files(FileMerge(files, output, MergeRequest(**how), dtype="fp32", format=format))  # type: ignore[arg-type]
    assert found["files"][0] == str(output / "adapter_model.safetensors" if format == "peft" else output)
    merged, content, style = load(output), load(files[0]), load(files[1])
    layer = next(la for la in merged.layers if la.endswith("to_v"))  # the paper's network does not predict to_v
    weight = 0.5 if merger == "average" else 1.0
    expected = weight * (dense(content.layers[layer]) + dense(style.layers[layer]))
    assert_close(dense(merged.layers[layer]), expected, rtol=1e-5, atol=1e-6)
    if format != "peft":
        linear = backbone.denoiser.get_submodule(layer)
        before = linear.weight.clone()
        backbone.pipeline.load_lora_weights(output)
        backbone.pipeline.fuse_lora()
        fused = backbone.denoiser.get_submodule(layer).base_layer.weight
        assert_close((fused - before).double(), expected, rtol=1e-4, atol=1e-5)


def test_the_summary_states_the_role_of_each_file(files: Files, network: Path, tmp_path: Path) -> None:
    found = merge_files(
        FileMerge(files, tmp_path / "merged.safetensors", MergeRequest(network=network, weights=[0.5, 1], rank=2))
    )
    assert [(entry["role"], entry["file"], entry["weight"]) for entry in found["inputs"]] == [
        ("content", "cat.safetensors", 0.5),
        ("style", "oil.safetensors", 1.0),
    ]
    assert (found["layers"], found["predicted_layers"], found["rank"]) == (56, 28, 2)
    assert 0 < found["truncation"]["error"] <= found["truncation"]["worst"] < 1
    assert json.loads(json.dumps(found)) == found
    text = describe_merge(found)
    for part in (
        "content: cat.safetensors",
        "style: oil.safetensors",
        "method: paper",
        "predicted: 28 layers",
        "summed with fixed coefficients: 28 layers",
        "relative error",
    ):
        assert part in text


def test_the_summary_and_the_plan_state_the_kinds_that_are_given(tmp_path: Path) -> None:
    files = [ROOT / f"data/embedded/loras/test_{kind}_00.safetensors" for kind in ("content", "style")]
    job = FileMerge(files, tmp_path / "merged.safetensors", MergeRequest(kinds=["style", "content"]))
    for text in (describe_merge_plan(plan_merge(job)), describe_merge(merge_files(job))):
        assert text.splitlines()[0].startswith("style: test_content_00.safetensors")
        assert text.splitlines()[1].startswith("content: test_style_00.safetensors")
        assert "  merged as style, content" in text.splitlines()
        assert "test_content_00.safetensors is merged as a style, though its file states content: correct" in text


def test_the_header_states_how_the_file_was_made(files: Files, network: Path, tmp_path: Path) -> None:
    merge_files(FileMerge(files, tmp_path / "merged.safetensors", MergeRequest(network=network)))
    facts = load(tmp_path / "merged.safetensors").metadata
    assert facts["lorarar.method"] == "paper"
    assert facts["modelspec.merged_from"] == "cat.safetensors, oil.safetensors"
    assert json.loads(facts["lorarar.inputs"]) == [{"name": path.name, "sha256": sha256(path)} for path in files]
    assert facts["lorarar.merger_sha256"] == sha256(network)
    assert json.loads(facts["lorarar.coefficients"])["mid_block"]["to_v"][0]["mean"] == 1.0


def test_saved_coefficients_make_the_same_merge(files: Files, network: Path, tmp_path: Path) -> None:
    output, kept = tmp_path / "merged.safetensors", tmp_path / "m.safetensors"
    merge_files(
        FileMerge(files, output, MergeRequest(network=network, weights=[0.5, 2]), dtype="fp32", save_coefficients=kept)
    )
    merged, inputs, m = load(output), [load(path) for path in files], load_file(kept)
    assert set(m) == {f"{layer}.{role}" for layer in merged.layers for role in ("content", "style")}
    for layer, delta in merged.layers.items():
        parts = [
            dense(lora.layers[layer]) * m[f"{layer}.{role}"].double()
            for lora, role in zip(inputs, ("content", "style"), strict=True)
        ]
        assert m[f"{layer}.content"].dtype == torch.float32
        assert_close(dense(delta), parts[0] + parts[1], rtol=1e-5, atol=1e-5)
    merge_files(
        FileMerge([*files, files[0]], output, MergeRequest(merger="average"), save_coefficients=kept, force=True)
    )
    third = next(iter(merged.layers))
    assert_close(load_file(kept)[f"{third}.2"], torch.full((merged.layers[third].shape[1],), 1 / 3))
    with pytest.raises(
        ValueError, match="a merger with coefficients to save, found ties, .*: drop `save_coefficients`"
    ):
        merge_files(
            FileMerge(
                files,
                tmp_path / "t.safetensors",
                MergeRequest(merger="ties"),
                save_coefficients=tmp_path / "t.m.safetensors",
            )
        )
    assert not list(tmp_path.glob("t.*"))


def test_names_of_saved_coefficients(tmp_path: Path) -> None:
    """Check text encoders, convolutions, norms and biases too: they have the coefficient that was applied."""
    text, norm = "text_model.encoder.layers.0.self_attn.q_proj", "mid_block.resnets.0.norm1"
    extra: dict[str, Layer] = {
        f"text_encoder.{text}": factors(48, 48, 2),
        f"text_encoder_2.{text}": factors(64, 64, 2),
        "mid_block.resnets.0.conv1": replace(factors(6, 18, 2), kernel=(3, 3)),
        norm: Dense(torch.full((5,), 0.1)),
        f"{norm}.bias": Dense(torch.ones(5)),
    }
    content = two_block_lora(2)
    lora, kept = replace(content, layers={**content.layers, **extra}), tmp_path / "m.safetensors"
    files = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for file in files:
        save(lora, file, format="kohya", dtype=torch.float32)
    network = tmp_path / "network.safetensors"
    save_merger(new_merger("paper", content, {"hidden": 4, "fixed": 0.75}), network)
    for chosen, given, names, number in (
        (files[:2], {"network": network, "text_encoder": [2, 1]}, ("content", "style"), 0.75),
        (files, {"merger": "average", "text_encoder": [2, 1, 1]}, ("0", "1", "2"), 1 / 3),
        (files[:1], {"merger": "average", "text_encoder": [2]}, ("0",), 1.0),
    ):
        request = MergeRequest(**given)  # type: ignore[arg-type]
        output = tmp_path / "out.safetensors"
        merge_files(FileMerge(chosen, output, request, format="kohya", save_coefficients=kept, force=True))
        found = load_file(kept)
        assert found.keys() == {f"{layer}.{name}" for layer in lora.layers for name in names}
        for layer, delta in lora.layers.items():
            for i, name in enumerate(names):
                m = found[f"{layer}.{name}"]
                assert (m.dtype, tuple(m.shape)) == (torch.float32, delta.shape[-1:])
                strength = 2 if layer.startswith("text_encoder") and i == 0 else 1
                if layer in extra:
                    assert_close(m, torch.full_like(m, strength * number))


def test_strengths_and_predicted_layers_are_in_the_header_and_the_summary(
    files: Files, network: Path, tmp_path: Path
) -> None:
    output = tmp_path / "merged.safetensors"
    found = merge_files(
        FileMerge(files, output, MergeRequest(network=network, weights=[0.5, 1], blocks={"mid_block": [1, 0]}))
    )
    facts = load(output).metadata
    assert (facts["lorarar.predicted_layers"], facts["lorarar.fixed_layers"]) == ("28", "28")
    assert (facts["lorarar.weights"], facts["lorarar.blocks"]) == ("[0.5,1.0]", '{"mid_block":[1.0,0.0]}')
    assert found["strengths"] == {"weights": [0.5, 1.0], "blocks": {"mid_block": [1.0, 0.0]}}
    assert "lorarar.predicted_layers: 28" in inspect(output).text()
    merge_files(FileMerge(files, output, MergeRequest(merger="average"), force=True))
    assert not {"lorarar.weights", "lorarar.blocks", "lorarar.predicted_layers"} & set(load(output).metadata)


def test_trigger_words_of_our_own_loras_reach_the_merge(loras: dict[str, LoRA], tmp_path: Path) -> None:
    files = [tmp_path / "cat.safetensors", tmp_path / "oil.safetensors"]
    for path, phrase in zip(files, ("a sks cat", "szn style"), strict=True):
        save(loras["train_content_00"], path, metadata={"phrase": phrase})
    merge_files(FileMerge(files, tmp_path / "merged.safetensors", MergeRequest(merger="direct")))
    assert load(tmp_path / "merged.safetensors").metadata["modelspec.trigger_phrase"] == "a sks cat, szn style"


def test_equal_inputs_give_equal_bytes(files: Files, tmp_path: Path) -> None:
    for name in ("a", "b"):
        merge_files(FileMerge(files, tmp_path / f"{name}.safetensors", MergeRequest(merger="dare_ties", rank=3)))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_folder_with_one_file_is_read_as_the_file(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    save(load(files[0]), folder, format="peft", dtype=torch.float32)
    found = merge_files(FileMerge((folder, files[1]), tmp_path / "merged.safetensors"))
    assert found["inputs"][0]["sha256"] == sha256(folder / "adapter_model.safetensors")


def truncated(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:-10])
    return "cat.safetensors is not a complete safetensors file"


def missing(path: Path) -> str:
    path.unlink()
    return "cat.safetensors does not exist"


def of_another_base(path: Path) -> str:
    save(lora_for(tiny_unet()), path, force=True)
    return "cat.safetensors and oil.safetensors were made for different base models"


def not_finite(path: Path) -> str:
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = torch.nan
    save_file(tensors, path)
    return "cat.safetensors contains NaN or infinite weights in 1 of 112 tensors"


@pytest.mark.parametrize("spoil", [truncated, missing, of_another_base, not_finite])
def test_a_bad_input_is_named_and_leaves_nothing(files: Files, spoil: object, tmp_path: Path) -> None:
    message = spoil(files[0])  # type: ignore[operator]
    output = tmp_path / "out"
    output.mkdir()
    with pytest.raises(ValueError, match=message):
        merge_files(FileMerge(files, output / "merged.safetensors", MergeRequest(merger="average")))
    assert list(output.iterdir()) == []


@pytest.mark.parametrize("format", ["diffusers", "peft"])
def test_a_bad_output_is_named_and_leaves_nothing(files: Files, format: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    cases = (
        (tmp_path / "nowhere" / "merged.safetensors", "its folder .*nowhere does not exist, create it first"),
        (files[0] / "merged.safetensors", "its folder .*cat.safetensors does not exist"),
        (files[1], "oil.safetensors exists already: choose another name"),
    )
    folders = (
        (files[1], "expected a folder of its own for a peft adapter, found .*oil.safetensors: give a name without"),
        (files[1].parent, "a folder of its own for a peft adapter, found .* with other files, first .*: give a new"),
    )
    for output, message in folders if format == "peft" else cases:
        with pytest.raises(FormatError, match=message):
            merge_files(FileMerge(files, output, format=format))  # type: ignore[arg-type]
    assert sorted(tmp_path.rglob("*")) == before
    assert load(files[1]).metadata.get("lorarar.method") is None


def test_an_overflow_in_fp16_leaves_the_old_file(files: Files, loras: dict[str, LoRA], tmp_path: Path) -> None:
    output = tmp_path / "merged.safetensors"
    merge_files(FileMerge(files, output))
    old = output.read_bytes()
    big = loras["train_content_00"].to(dtype=torch.float32)
    next(iter(big.layers.values())).B.mul_(1e20)
    save(big, files[0], dtype=torch.float32, force=True)
    with pytest.raises(FormatError, match=r"torch.float16.*: write it with fp32"):
        merge_files(FileMerge(files, output, force=True))
    assert output.read_bytes() == old
    assert not list(tmp_path.glob(".*"))


def test_a_merger_and_a_network_exclude_each_other(files: Files, network: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected `merger` or `network`, found both"):
        merge_files(FileMerge(files, tmp_path / "merged.safetensors", MergeRequest(merger="direct", network=network)))


def test_the_size_of_a_dense_result_is_said_before_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [ROOT / f"data/embedded/loras/test_{kind}_00.safetensors" for kind in ("content", "style")]
    sizes = {}
    for name, how in (("whole", {"dense": True}), ("small", {}), ("chosen", {"rank": 4})):
        output = tmp_path / f"{name}.safetensors"
        merge_files(FileMerge(files, output, MergeRequest(merger="ties", **how), "kohya"))  # type: ignore[arg-type]
        sizes[name] = output.stat().st_size
        said = capsys.readouterr().err
        found = re.search(rf"writing {re.escape(str(output))}: kohya, fp16, ([\d.]+) MB", said)
        assert (found is None) == (name == "chosen")
        assert not found or abs(float(found[1]) - sizes[name] / 1e6) < 0.02
    assert sizes["small"] < sizes["whole"]


def test_dense_deltas_are_cast_once_to_the_dtype_of_the_file(files: Files, tmp_path: Path) -> None:
    request = MergeRequest(merger="ties", dense=True)
    loras = [load(file) for file in files]
    whole, cast = combine(loras, request).lora, combine(loras, request, dense_dtype=torch.float16).lora
    merge_files(FileMerge(files, tmp_path / "out.safetensors", request, format="kohya"))
    written = load(tmp_path / "out.safetensors").layers
    for layer, delta in whole.layers.items():
        made, stored = cast.layers[layer], written[layer]
        assert isinstance(delta, Dense)
        assert isinstance(made, Dense)
        assert isinstance(stored, Dense)
        assert made.tensor.dtype == torch.float16
        assert torch.equal(made.tensor, delta.tensor.half())
        assert torch.equal(stored.tensor, made.tensor)


def test_no_option_replaces_an_input(files: Files, network: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (*files, network)}
    output = tmp_path / "merged.safetensors"
    direct, learned = MergeRequest("direct"), MergeRequest(network=network)
    for job in (
        FileMerge(files, files[0], direct, force=True),
        FileMerge(files, output, direct, save_coefficients=files[1], force=True),
        FileMerge(files, network, learned, force=True),
        FileMerge(files, output, learned, save_coefficients=network, force=True),
    ):
        with pytest.raises(FormatError, match="an output that is no input, found .*, which is read too"):
            merge_files(job)
    (tmp_path / "x.pt").write_text("")
    for job in (
        FileMerge(files, tmp_path / "x.pt", direct, force=True),
        FileMerge(files, output, direct, save_coefficients=tmp_path / "x.pt", force=True),
    ):
        with pytest.raises(FormatError, match="a name that ends in .safetensors, found .*x.pt"):
            merge_files(job)
    assert {path: path.read_bytes() for path in before} == before
    assert not output.exists()


def test_embeddings_beside_a_merge_replace_no_input(files: Files, tmp_path: Path) -> None:
    beside = tmp_path / "merged.embeddings.safetensors"
    files[1].rename(beside)
    with pytest.raises(FormatError, match="found .*merged.embeddings.safetensors, which is read too"):
        merge_files(FileMerge((files[0], beside), tmp_path / "merged.safetensors", MergeRequest("direct"), force=True))
