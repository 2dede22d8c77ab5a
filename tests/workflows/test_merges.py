"""lorarar.workflows.merges: one function for LoRAs in memory, files and hub ids, by any merger."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lorarar import load, merge, save
from lorarar.lora.lora import LoRA
from lorarar.mergers.request import FileMerge, MergeRequest, PairInputs
from lorarar.workflows import merges
from lorarar.workflows.merges import merge_to_file
from tests.tiny import two_block_lora


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A content and a style LoRA."""
    paths = [tmp_path / f"{name}.safetensors" for name in ("cat", "oil")]
    for seed, path in enumerate(paths, start=1):
        save(
            replace(two_block_lora(2, 0.5, seed=seed), metadata={"phrase": f"{path.stem} x"}), path, dtype=torch.float32
        )
    return paths


def deltas(lora: LoRA) -> dict[str, list[float]]:
    return {path: layer.delta().flatten().tolist() for path, layer in lora.layers.items()}


def test_all_forms_give_equal_tensors(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorarar.formats.reading.local_path", lambda name, _: tmp_path / "hub" / Path(name).name)
    for file in files:
        (tmp_path / "hub" / file.stem).mkdir(parents=True)
        (tmp_path / "hub" / file.stem / file.name).write_bytes(file.read_bytes())
    a, b = map(load, files)
    ways: list[tuple[Any, ...]] = [
        (a, b),
        ([a, b],),
        tuple(files),
        ([str(file) for file in files],),
        ("owner/cat", "owner/oil"),
        ([a], files[1]),
    ]
    how: dict[str, Any] = {"merger": "ties", "weights": [1, 0.5], "dense": True}
    expected = deltas(merge(a, b, **how))
    assert [deltas(merge(*way, **how)) == expected for way in ways] == [True] * len(ways)
    with pytest.warns(UserWarning, match="`dense=True` keeps all"):
        merge(a, b, merger="ties")


def test_the_result_says_how_it_was_made(files: list[Path], tmp_path: Path) -> None:
    merged = merge(files, merger="dare", options={"density": 0.5}, weights=[1, 0.5], energy=0.9)
    assert merged.name == "cat + oil"
    job = FileMerge(
        files,
        tmp_path / "out.safetensors",
        MergeRequest(merger="dare", options={"density": 0.5}, weights=[1, 0.5], energy=0.9),
        dtype="fp32",
    )
    merge_to_file(job)
    save(merged, tmp_path / "again.safetensors", dtype=torch.float32)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "out.safetensors").read_bytes()


def test_every_argument_reaches_the_request(monkeypatch: pytest.MonkeyPatch, files: list[Path]) -> None:
    seen: list[MergeRequest] = []
    monkeypatch.setattr(merges, "_merge", lambda loras, request: seen.append(request))
    pair = {"content_images": "c", "style_images": Path("s"), "content_prompt": "a", "style_prompt": "b", "init": "n"}
    pair |= {"content_description": "d", "style_description": "e", "runs": "r"}
    own = {"merger": "m", "network": "n", "kinds": ["content"], "weights": [2.0], "blocks": {"x": 1.0}, "rank": 3}
    own |= {"text_encoder": 0.5, "options": {"o": 1.0}, "energy": 0.5, "base": "base", "device": "cuda"}
    merge(files, **own, **pair)  # type: ignore[arg-type]
    paths = {key: Path(str(pair[key])) for key in ("content_images", "style_images", "runs")}
    assert seen == [MergeRequest(**own, pair=PairInputs(**{**pair, **paths}))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "settings", "error", "message"),
    [
        ((), {}, ValueError, "at least one LoRA"),
        (([5],), {}, TypeError, "expected LoRAs, paths or hub ids, found int"),
        (("nowhere.safetensors",), {}, ValueError, "nowhere.safetensors"),
        (("owner/none",), {}, FileNotFoundError, "owner/none"),
        ((), {"merger": "ziplora"}, ValueError, "give `base`, `content_images`, `style_images`$"),
        ((), {"merger": "ties", "content_images": "x"}, ValueError, "expected `content_images` only with the mergers"),
        ((), {"merger": "ties", "network": "x"}, ValueError, "expected `merger` or `network`, found both"),
    ],
)
def test_mistakes_are_named(
    given: tuple[Any, ...],
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=message):
        merge(*given, **settings)


def test_a_merger_that_optimises_each_pair(base: Path, folder: Path, loras: dict[str, LoRA], tmp_path: Path) -> None:
    names = ("train_content_00", "train_style_00")
    files = [tmp_path / f"{name}.safetensors" for name in names]
    for name, file in zip(names, files, strict=True):
        save(loras[name], file, dtype=torch.float32)
    images = [folder / "images" / name for name in names]
    prompts = {"content_prompt": "a sks cat", "style_prompt": "szn style"}
    found = merge(
        files,
        merger="ziplora",
        base=base,
        content_images=str(images[0]),
        style_images=images[1],
        options={"steps": 1},
        device="cpu",
        **prompts,
    )
    assert (found.metadata["lorarar.method"], found.metadata["lorarar.base"]) == ("ziplora", str(base))
    assert len(json.loads(found.metadata["lorarar.content_images"])) == 3
    assert found.layers.keys() == loras[names[0]].layers.keys()
    assert deltas(found) != deltas(merge(files, merger="direct"))
