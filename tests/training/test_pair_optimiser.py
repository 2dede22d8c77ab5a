"""lorarar.training.pair_optimiser and `lorarar merge`: two LoRA files and two folders of images to one LoRA file."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from lorarar import load, save
from lorarar.cli.main import main
from lorarar.datasets.concepts import Concept, ConceptKind, Pair
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.loading import load_backbone
from lorarar.diffusion.settings import Sampling
from lorarar.diffusion.synthesis import synthesise_pairs
from lorarar.hypernetwork.checkpoint import save_merger
from lorarar.hypernetwork.constant import constant_merger
from lorarar.lora.coefficients import Coefficients
from lorarar.lora.lora import LoRA
from lorarar.mergers.combination import combine
from lorarar.mergers.optimised.cat import CAT
from lorarar.mergers.optimised.text_guided import TEXT_GUIDED
from lorarar.mergers.optimised.ziplora import ZIPLORA
from lorarar.mergers.request import MergeRequest, PairInputs
from lorarar.storage.hashing import sha256
from lorarar.training import pair_optimiser
from lorarar.training.pair_optimiser import PairOptimiser, concept_of
from lorarar.training.pair_training import PairTraining, optimise
from tests.mergers.cases import times
from tests.tiny import dense, factors

STEPS = 3
Arguments = Callable[..., list[str]]


@pytest.fixture
def files(backbone: Backbone, loras: dict[str, LoRA], tmp_path: Path) -> list[Path]:
    """A content and a style LoRA; only the style's file holds its trigger words."""
    paths = [tmp_path / f"{name}.safetensors" for name in ("train_content_00", "train_style_00")]
    save(loras["train_content_00"], paths[0])
    save(loras["train_style_00"], paths[1], metadata={"modelspec.trigger_phrase": "szn style, x"})
    return paths


@pytest.fixture
def arguments(base: Path, folder: Path, files: list[Path], tmp_path: Path) -> Arguments:
    """The command line, some flags of it changed or (None) left out."""

    def build(merger: str = "ziplora", **changed: str | Path | None) -> list[str]:
        flags: dict[str, str | Path | None] = {
            "base": base,
            "content_images": folder / "images" / "train_content_00",
            "style_images": folder / "images" / "train_style_00",
            "content_prompt": "a sks cat",
            "option": f"steps={STEPS}",
            "dtype": "fp32",
        }
        given = [(f"--{key.replace('_', '-')}", str(v)) for key, v in (flags | changed).items() if v is not None]
        options = [word for pair in given for word in pair]
        return ["merge", *map(str, files), "-o", str(tmp_path / "out.safetensors"), "--merger", merger, *options]

    return build


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of each step that is taken."""
    taken: list[int] = []
    original = PairTraining.training_step

    def training_step(self: PairTraining, batch: int, index: int) -> None:
        taken.append(self.global_step)
        original(self, batch, index)

    monkeypatch.setattr(PairTraining, "training_step", training_step)
    return taken


def test_the_command_writes_a_plain_lora_of_the_optimised_coefficients(
    arguments: Arguments,
    files: list[Path],
    base: Path,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*arguments(), "--json"]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)  # the progress bar is on stderr
    assert (summary["method"]["name"], summary["predicted_layers"], summary["rank"]) == ("ziplora", 56, 4)
    assert "optimised in 3 steps; on held-out batches: loss " in captured.err
    found = load(tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["out.safetensors", *(path.name for path in files)]
    )

    paths = [folder / "images" / file.stem for file in files]
    images = [tuple(sorted(path.glob("*.png"))) for path in paths]
    prompts = ("a sks cat", "szn style")
    content, style = (
        Concept(file.stem, "content", prompt, images_, (prompt,) * 3)
        for file, prompt, images_ in zip(files, prompts, images, strict=True)
    )
    both = [load(file) for file in files]
    method = ZIPLORA.configured({"steps": STEPS})
    named = {file.stem: lora for file, lora in zip(files, both, strict=True)}
    (expected,) = optimise(load_backbone(base, device="cpu"), [Pair(content, style)], named, method)
    for layer, (m_c, m_s) in expected.coefficients.layers.items():
        c, s = (dense(lora.layers[layer]) for lora in both)
        assert_close(dense(found.layers[layer]), c * m_c.double() + s * m_s.double(), rtol=1e-3, atol=1e-3)
        assert (m_c - 1).abs().max() > 1e-2

    header = found.metadata
    assert (header["lorarar.method"], header["lorarar.steps"], header["lorarar.base"]) == ("ziplora", "3", str(base))
    assert json.loads(header["lorarar.content_images"]) == {path.name: sha256(path) for path in images[0]}
    assert [entry["sha256"] for entry in json.loads(header["lorarar.inputs"])] == [sha256(file) for file in files]


def test_from_python(files: list[Path], base: Path, folder: Path) -> None:
    """With other layers than the denoiser's, which get the fixed coefficient."""
    both = [load(file) for file in files]
    text = {"text_encoder.text_model.encoder.layers.0.self_attn.q_proj": factors(6, 6, 1)}
    content = LoRA({**both[0].layers, **text}, name="a.safetensors", family=both[0].family)
    images = [folder / "images" / file.stem for file in files]
    optimiser = PairOptimiser(base, PairInputs(*images, "a sks cat", "szn style"))
    with torch.no_grad():
        request = MergeRequest(merger="cat", options={"steps": 1, "fixed": 0.5})
        found = combine([content, both[1]], request, optimiser).lora
    for layer, delta in text.items():
        assert_close(found.layers[layer].delta(), delta.delta() / 2)
    assert len(found.layers) == 57
    with pytest.raises(ValueError, match=r"ziplora optimises each pair .* images, and none is loaded here: merge with"):
        combine(both, MergeRequest(merger="ziplora"))
    with pytest.raises(ValueError, match="for ziplora, .*, text_guided, ssr alone, found one for ties"):
        combine(both, MergeRequest(merger="ties"), optimiser)
    with pytest.raises(ValueError, match="expected two LoRAs for ziplora, a content and a style, found 3"):
        combine([*both, both[0]], MergeRequest(merger="ziplora"), optimiser)


@pytest.mark.parametrize("name", ["ziplora", "cat", "ziprank", "nsc"])
def test_two_contents_are_merged_as_well(name: str, loras: dict[str, LoRA], base: Path, folder: Path) -> None:
    names = ("train_content_00", "train_content_01")
    both = [replace(loras[one], metadata={"kind": "content"}) for one in names]
    images = [folder / "images" / one for one in names]
    optimiser = PairOptimiser(base, PairInputs(*images, "a sks cat", "a vck dog"), "cpu")
    with torch.no_grad():
        found = combine(both, MergeRequest(merger=name, options={"steps": 1}), optimiser)
    assert found.predicted
    places: tuple[ConceptKind, ConceptKind] = ("content", "style")
    concepts = [
        concept_of(lora, lora.name, kind, None, prompt)
        for lora, kind, prompt in zip(both, places, ("a sks cat", "a vck dog"), strict=True)
    ]
    assert Pair(*concepts).prompt == "a sks cat and a vck dog"
    nameless = concept_of(loras[names[0]], "x", "style", None, "szn style")
    assert Pair(concepts[0], nameless).prompt == "a sks cat in szn style"


def test_descriptions_in_place_of_images(
    arguments: Arguments, files: list[Path], base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    descriptions = {
        "content_description": "a red cat with white dots",
        "style_description": "deep blue grid bare flat style",
    }
    assert main(arguments("text_guided", content_images=None, style_images=None, **descriptions)) == 0
    found = load(tmp_path / "out.safetensors")
    assert {found.metadata[f"lorarar.{key}"] for key in descriptions} == set(descriptions.values())
    assert "optimised in 3 steps; on held-out batches: loss" in capsys.readouterr().err

    backbone = load_backbone(base, device="cpu")
    content = Concept(files[0].stem, "content", "a sks cat", (), (), descriptions["content_description"])
    pair = Pair(content, Concept(files[1].stem, "style", "szn style", (), (), descriptions["style_description"]))
    named = {file.stem: load(file) for file in files}
    synthetic = synthesise_pairs(backbone, [pair], sampling=Sampling(30, 5.0))
    (expected,) = optimise(backbone, [pair], named, TEXT_GUIDED.configured({"steps": STEPS}), synthetic=synthetic)
    for layer, (m_c, m_s) in expected.coefficients.layers.items():
        c, s = (dense(lora.layers[layer]) for lora in named.values())
        assert_close(dense(found.layers[layer]), c * m_c[0].double() + s * m_s[0].double(), rtol=1e-3, atol=1e-3)
    assert max((m_c - 1).abs().max() for m_c, _ in expected.coefficients.layers.values()) > 1e-2


def test_it_starts_from_a_trained_merger(arguments: Arguments, files: list[Path], tmp_path: Path) -> None:
    both = [load(file) for file in files]
    layers = [layer for layer in both[0].layers if "attn" in layer]
    start = constant_merger({layer: (0.5, 0.25 + 0.01 * i) for i, layer in enumerate(layers)}, "layer")
    save_merger(start, tmp_path / "start.safetensors", {})
    for merger in ("ziplora", "cat"):
        command = arguments(merger, init=tmp_path / "start.safetensors", option="learning_rate=1e-9")
        assert main([*command, "--option", "steps=1", "--force"]) == 0
        found = load(tmp_path / "out.safetensors")
        for i, layer in enumerate(layers):
            c, s = (dense(lora.layers[layer]) for lora in both)
            assert_close(dense(found.layers[layer]), 0.5 * c + (0.25 + 0.01 * i) * s, rtol=1e-4, atol=1e-5)
        assert found.metadata["lorarar.init_sha256"] == sha256(tmp_path / "start.safetensors")


def test_it_starts_from_the_coefficients_of_auto(arguments: Arguments, files: list[Path], tmp_path: Path) -> None:
    command = arguments("cat", init="auto", option="learning_rate=1e-9")
    assert main([*command, "--option", "steps=1"]) == 0
    found, expected = (
        load(tmp_path / "out.safetensors"),
        combine([load(file) for file in files], MergeRequest("auto")).lora,
    )
    both = [load(file) for file in files]
    layers = [layer for layer in found.layers if layer.endswith(("to_q", "to_out.0"))]
    assert layers
    for layer in layers:
        assert_close(dense(found.layers[layer]), dense(expected.layers[layer]), rtol=1e-4, atol=1e-5)
        plain = sum(dense(lora.layers[layer]) for lora in both)
        assert (plain - dense(expected.layers[layer])).abs().max() > 1e-4
    assert found.metadata["lorarar.init"] == "auto"


def test_balanced_loras_start_from_autos_rule_without_a_second_balance(
    arguments: Arguments, files: list[Path], tmp_path: Path
) -> None:
    save(times(load(files[1]), 4.0), files[1], force=True, metadata={"modelspec.trigger_phrase": "szn style, x"})
    command = arguments("cat", init="auto", option="learning_rate=1e-9", balance="0.5")
    assert main([*command, "--option", "steps=1"]) == 0
    found = load(tmp_path / "out.safetensors")
    expected = combine([load(file) for file in files], MergeRequest("auto", balance=0.5)).lora
    for layer in (layer for layer in found.layers if layer.endswith(("to_q", "to_out.0"))):
        assert_close(dense(found.layers[layer]), dense(expected.layers[layer]), rtol=1e-4, atol=1e-5)


def test_coefficients_without_the_layers_are_refused_as_a_start(files: list[Path]) -> None:
    both = [load(file) for file in files]
    with pytest.raises(ValueError, match="coefficients for each layer.* start from a merger for the same base"):
        CAT.initial(both).start_from(Coefficients({}))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base": None}, "ziplora optimises each pair .*: give --base$"),
        ({"content_images": None, "style_images": None}, "give --content-images, --style-images$"),
        ({"merger": "direct"}, "expected --content-images only with the mergers ziplora, .*, cat, ziprank, nsc, found"),
        (
            {"merger": "text_guided"},
            "expected --content-images only with the mergers ziplora, ziplora_pytorch, cat, ziprank, nsc, found",
        ),
        (
            {"merger": "text_guided", "content_images": None, "style_images": None},
            "give --content-desc.*, --style-desc",
        ),
        (
            {"style_description": "light grid style"},
            "expected --style-description only with the mergers text_guided, found",
        ),
        (
            {"merger": "direct", "content_images": None, "style_images": None, "init": "x"},
            "expected --init only with the mergers ziplora, .*, nsc, text_guided, found the merger direct",
        ),
        ({"base": "nowhere/at/all"}, "nowhere/at/all does not exist: check the path"),
        ({"style_images": "nowhere"}, "nowhere does not exist: check the path"),
        ({"content_prompt": None}, "found no trigger words in train_content_00.safetensors: give --content-prompt"),
        ({"option": "steps=0"}, "expected steps and images of at least 1"),
        ({"option": "step=5"}, "did you mean 'steps'"),
    ],
)
def test_what_is_missing_or_wrong_is_named_before_anything_is_written(
    arguments: Arguments,
    files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str | None],
    message: str,
) -> None:
    assert main(arguments(**changed)) == 1  # type: ignore[arg-type]
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("lorarar: ")
    assert re.search(message, lines[-1]), lines[-1]
    assert set(tmp_path.iterdir()) == set(files)


def test_an_unreadable_image_is_named(arguments: Arguments, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "images"
    broken.mkdir()
    (broken / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert main(arguments(style_images=broken, base=tmp_path)) == 1  # before the base, which is none, is loaded
    assert f"{broken / '0.png'}: expected an image" in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_keeps_the_checkpoint_and_other_settings_are_refused_there(
    arguments: Arguments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = PairTraining.training_step

    def training_step(self: PairTraining, batch: int, index: int) -> None:
        with torch.no_grad():
            self.mergers[0].values.fill_(torch.nan)
        original(self, batch, index)

    monkeypatch.setattr(PairTraining, "training_step", training_step)
    assert main(arguments()) == 1
    captured = capsys.readouterr().err
    assert "found ['nan'] at step 0 for pairs ['train_content_00+train_style_00']" in captured
    assert not (tmp_path / "out.safetensors").exists()
    monkeypatch.setattr(PairTraining, "training_step", original)
    assert main(arguments(option="learning_rate=0.5")) == 1
    assert "out.run holds a run of another configuration" in (captured := capsys.readouterr().err)
    assert "learning_rate: 0.01 there, 0.5 here" in captured
    assert "steps: 3 there, 100 here" in captured
    assert main(arguments(balance="0.5")) == 1
    assert "holds a run of another configuration" in (captured := capsys.readouterr().err)
    assert "balance" in captured
    assert main(arguments()) == 0
    assert not (tmp_path / "out.run").exists()


def test_a_full_disk_leaves_no_half_file_and_the_run_goes_on_from_its_end(
    arguments: Arguments,
    steps: list[int],
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, runs = tmp_path / "out.safetensors", tmp_path / "elsewhere"
    runs.mkdir()
    (runs / "other.txt").touch()
    original = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target) == output:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(source, target)

    monkeypatch.setattr(os, "replace", full)
    command = [*arguments(), "--runs", str(runs)]
    assert main(command) == 1
    assert f"{output} cannot be written: No space left on device" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == {*files, runs}
    monkeypatch.setattr(os, "replace", original)
    assert main(command) == 0
    assert steps == [0, 1, 2]  # none was taken twice
    assert set(tmp_path.iterdir()) == {*files, output, runs}
    assert [path.name for path in runs.iterdir()] == ["other.txt"]


def test_captions_beside_the_images(loras: dict[str, LoRA], folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for source in (folder / "images" / "train_style_00").iterdir():
        (images / source.name).write_bytes(source.read_bytes())
    (images / "1.txt").write_text("a dog in szn style\n")
    (images / "2.txt").write_text("\n")
    lora = LoRA(loras["train_style_00"].layers, metadata={"phrase": "szn style"})
    found = concept_of(lora, "x", "style", images, None)
    assert found.captions == ("szn style", "a dog in szn style", "szn style")
    assert (found.phrase, [path.name for path in found.images]) == ("szn style", ["0.png", "1.png", "2.png"])
    assert concept_of(lora, "x", "style", images, "other").phrase == "other"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_on_a_gpu_encoders_and_autoencoder_are_offloaded(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(pair_optimiser, "pick_device", torch.device)
    monkeypatch.setattr(pair_optimiser, "load_backbone", lambda base, **settings: given.update(settings))
    PairOptimiser("base", PairInputs(), device).load()
    on_gpu = device == "cuda"
    assert (given["offload"], given["gradient_checkpointing"]) == (on_gpu, on_gpu)
