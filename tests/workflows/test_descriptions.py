"""lorarar.workflows.descriptions: drawn, described by a server's model, kept, corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lorarar import merge, save
from lorarar.datasets.images import list_images, save_image
from lorarar.diffusion.settings import Sampling
from lorarar.evaluation.judge.ask.backends import open_backend
from lorarar.evaluation.judge.ask.descriptions import DESCRIBE
from lorarar.formats.loading import load_all
from lorarar.lora.lora import LoRA
from lorarar.mergers.request import FileMerge, MergeRequest, PairInputs
from lorarar.training import pair_optimiser
from lorarar.training.pair_optimiser import PairOptimiser
from lorarar.workflows import descriptions
from lorarar.workflows.descriptions import describe_loras
from lorarar.workflows.merges import merge_to_file
from tests.evaluation.judge.ask.backends.server import MODEL, answer, serving

Drawn = list[tuple[str, list[int]]]
Asked = list[tuple[str, str, list[str]]]


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch) -> tuple[Drawn, Asked]:
    """Prompts and seeds that a base without a model draws, and what a model without one is asked."""
    drawn: Drawn = []
    asked: Asked = []

    def sample(prompt: str, seeds: list[int]) -> Tensor:
        drawn.append((prompt, seeds))
        return torch.zeros(1, 3, 8, 8)

    def describe(backend: object, images: Sequence[Path], axis: str, option: str) -> str:
        asked.append((axis, option, [path.name for path in images]))
        return f"{axis} {len(asked)}"

    monkeypatch.setattr(PairOptimiser, "load", lambda self: "loaded")
    monkeypatch.setattr(descriptions, "open_sampler", lambda base, loras, sampling: sample)
    monkeypatch.setattr(descriptions, "open_backend", lambda name, settings: settings)
    monkeypatch.setattr(descriptions, "describe_images", describe)
    return drawn, asked


@pytest.fixture
def files(loras: dict[str, LoRA], tmp_path: Path) -> list[Path]:
    """A content and two styles."""
    paths = [tmp_path / f"{name}.safetensors" for name in ("train_content_00", "train_style_00", "train_style_01")]
    for path in paths:
        save(loras[path.stem], path, dtype=torch.float32)
    return paths


def test_a_lora_is_drawn_and_described_once(
    files: list[Path], tmp_path: Path, stood_in: tuple[Drawn, Asked], capfd: pytest.CaptureFixture[str]
) -> None:
    drawn, asked = stood_in
    content, style, other = load_all(files)
    pair = PairInputs(content_prompt="a sks cat", style_prompt="szn style", describe="x", runs=tmp_path / "a.run")
    first = describe_loras(PairOptimiser("base", pair), [content, style])
    assert (first.inputs.content_description, first.inputs.style_description) == ("content 1", "style 2")
    assert drawn[:4] == [("a sks cat", [seed]) for seed in range(4)]
    assert len({prompt for prompt, _ in drawn[4:]}) == 4  # a style draws different things
    names = [f"{seed}.png" for seed in range(4)]
    assert asked == [(axis, f"{axis}_description", names) for axis in ("content", "style")]
    assert first.loaded == "loaded"
    kept = sorted((tmp_path / "descriptions").iterdir())
    assert f"content, described by x: content 1; correct it in {kept[0] / 'description.txt'}" in capfd.readouterr().err
    (kept[0] / "description.txt").write_text("a blue cat\n")  # the user corrects it
    second = describe_loras(PairOptimiser("base", pair), [content, other])
    assert (second.inputs.content_description, second.inputs.style_description) == ("a blue cat", "style 3")
    third = describe_loras(PairOptimiser("base", pair), [content, other])
    assert (third.inputs, third.loaded, len(asked)) == (second.inputs, None, 3)
    given = replace(pair, content_description="a dog", style_description="ink style")
    assert describe_loras(PairOptimiser("base", given), [content, style]).inputs == given


@pytest.mark.parametrize("kind", ["content", "style"])
def test_two_loras_of_one_kind_are_described_as_such(
    kind: str, files: list[Path], tmp_path: Path, stood_in: tuple[Drawn, Asked], capfd: pytest.CaptureFixture[str]
) -> None:
    drawn, asked = stood_in
    loras = [replace(lora, metadata={"kind": kind}) for lora in load_all(files[:2])]
    pair = PairInputs(content_prompt="one", style_prompt="another", describe="x", runs=tmp_path / "a.run")
    found = describe_loras(PairOptimiser("base", pair), loras).inputs
    assert (found.content_description, found.style_description) == (f"{kind} 1", f"{kind} 2")
    assert [(axis, option) for axis, option, _ in asked] == [(kind, "content_description"), (kind, "style_description")]
    prompts = [prompt for prompt, _ in drawn]
    if kind == "content":
        assert prompts == ["one"] * 4 + ["another"] * 4
    else:
        assert prompts[0] == "a cat in one"
        assert prompts[4:] == [f"a {subject} in another" for subject in ("cat", "house", "tree", "car")]
    assert capfd.readouterr().err.count(f"{kind}, described by x: {kind} ") == 2


@pytest.mark.usefixtures("stood_in")
def test_a_back_end_is_opened_before_anything_is_drawn(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loras = load_all(files[:2])
    given = PairInputs(content_prompt="a sks cat", style_prompt="szn style", describe="bogus", runs=tmp_path / "a.run")
    with monkeypatch.context() as patched:
        patched.setattr(descriptions, "open_backend", open_backend)
        patched.setattr(descriptions, "open_sampler", lambda *_: pytest.fail("drew"))
        with pytest.raises(ValueError, match="expected a back end of the form tiny, .*, found 'bogus'"):
            describe_loras(PairOptimiser("base", given), loras)
    first = describe_loras(PairOptimiser("base", given), loras).inputs
    monkeypatch.setattr(descriptions, "open_backend", lambda *_: pytest.fail("opened for descriptions that are kept"))
    assert describe_loras(PairOptimiser("base", given), loras).inputs == first


@pytest.mark.usefixtures("stood_in")
def test_a_missing_prompt_is_refused_before_anything_is_drawn(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "open_sampler", lambda *_: pytest.fail("drew"))
    loras = [replace(lora, metadata={}) for lora in load_all(files[:2])]
    with pytest.raises(ValueError, match="give `style_prompt`"):
        describe_loras(PairOptimiser("base", PairInputs(content_prompt="a sks cat", describe="x")), loras)


def test_a_style_before_a_content_is_refused_before_anything_is_drawn(
    files: list[Path], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "describe_loras", lambda *_: pytest.fail("described"))
    content, style = (
        replace(lora, metadata={"kind": kind})
        for kind, lora in zip(("content", "style"), load_all(files[:2]), strict=True)
    )
    fast = replace(content, name="lcm.safetensors")  # takes no part
    request = MergeRequest("text_guided", weights=[1, 1, 1], base=base, pair=PairInputs(describe="tiny"))
    with pytest.raises(ValueError, match="expected the content before the style, .*: swap the two"):
        descriptions.open_described(request, [style, fast, content])


@pytest.mark.slow
def test_a_servers_model_describes_the_loras_of_a_merge(
    files: list[Path], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "SAMPLING", Sampling(1, 1.0))
    monkeypatch.setattr(pair_optimiser, "_SYNTHESIS", Sampling(1, 1.0))
    with serving(answer("<think>hm</think> A red cat.\n")) as server:
        prompts = {"content_prompt": "a sks cat", "style_prompt": "szn style"}
        pair = PairInputs(**prompts, describe=f"openai:{MODEL}@{server.url}", runs=tmp_path / "a.run")
        request = MergeRequest("text_guided", options={"steps": 1}, base=base, device="cpu", pair=pair)
        merge_to_file(FileMerge(files[:2], tmp_path / "a.safetensors", request))
    contents = [request["messages"][0]["content"] for request in server.requests[1:]]  # the first tries the server
    assert [content[-1]["text"] for content in contents] == [DESCRIBE["content"], DESCRIBE["style"]]
    assert [[part["type"] for part in content] for content in contents] == [["image_url"] * 4 + ["text"]] * 2
    assert [len(list_images(folder)) for folder in (tmp_path / "descriptions").iterdir()] == [4, 4]
    assert load_all([tmp_path / "a.safetensors"])[0].metadata["lorarar.content_description"] == "A red cat"


def test_it_starts_from_the_shipped_network_in_few_steps(
    files: list[Path], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "describe_loras", lambda optimiser, loras: optimiser)
    monkeypatch.setattr(descriptions, "fitting_network", lambda loras: Path("a.safetensors"))
    pair = PairInputs(describe="tiny")
    request = MergeRequest("text_guided", balance=0.5, options={"steps": 3}, base=base, pair=pair)
    found, optimiser = descriptions.open_described(request, files[:2])
    assert optimiser.balance == 0.5
    assert (found.options, optimiser.inputs.init) == ({"steps": 3, "learning_rate": 0.1}, Path("a.safetensors"))
    monkeypatch.setattr(descriptions, "fitting_network", lambda loras: None)
    found, optimiser = descriptions.open_described(request, files[:2])
    assert (found.options, optimiser.inputs.init) == ({"steps": 3, "learning_rate": 0.1}, "auto")
    with pytest.raises(ValueError, match="expected two LoRAs to describe, a content and a style, found 3"):
        descriptions.open_described(request, files)


def test_the_embedded_describer_refuses_other_images(tmp_path: Path) -> None:
    save_image(torch.zeros(3, 64, 64), tmp_path / "0.png")
    with pytest.raises(ValueError, match="32 pixels wide, found 64 pixels"):
        descriptions._check_known("tiny", tmp_path / "0.png")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"merger": "ziplora", "describe": "tiny"}, "expected `describe` only with the mergers text_guided"),
        ({"merger": "text_guided", "describe": "tiny"}, "give `base`$"),
        ({"merger": "text_guided"}, "give `base`, `content_description`, `style_description`"),
    ],
)
def test_mistakes_are_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merge(**settings)  # type: ignore[arg-type]
