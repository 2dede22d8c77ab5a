"""Actions on the embedded files: what the buttons do."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lorarar.diffusion import Sampling
from lorarar.formats import load
from lorarar.library import Library
from lorarar.storage import EMBEDDED
from lorarar.studio import actions
from lorarar.studio.access import Access
from lorarar.studio.choices import Choices
from lorarar.studio.history import read_results

FILES = [str(EMBEDDED / "loras" / f"test_{name}_03.safetensors") for name in ("content", "style")]
BASE = str(EMBEDDED / "base")
pytestmark = pytest.mark.slow


def test_two_files_are_recommended_and_one_alone_is_not() -> None:
    found = actions.recommend_for(FILES[::-1], actions.look(FILES[::-1]))
    assert found.recommendation is not None
    assert found.recommendation.order == (1, 0)
    assert actions.recommend_for(FILES, actions.look(FILES)).prompt == "a sks tree in szn style"
    assert actions.recommend_for(FILES[:1], actions.look(FILES[:1])).recommendation is None
    assert actions.concept_name(FILES[0]) == "test_content_03"


@pytest.mark.parametrize(
    "choices",
    [
        Choices(weights=(1.0, 0.5)),
        Choices(merger="direct", weights=(0.8, 1.0), blocks="mid_block=1,0.5", size="rank 8", tool="diffusers"),
        Choices(goal="base", base=BASE),
    ],
    ids=["fast", "direct", "base"],
)
def test_a_merge_is_saved_verified_and_kept(tmp_path: Path, choices: Choices) -> None:
    saved = actions.merge_and_verify(FILES, choices, tmp_path)
    assert saved.verification.faults == ()
    (result,) = read_results(tmp_path)
    assert result == saved.result
    assert (result.choices, result.method) == (choices, saved.summary["method"]["name"])
    assert {sha256 for _, sha256 in result.sources} == {load(file).sha256 for file in FILES}
    assert (result.error is not None) == (choices.size != "full")


def test_smaller_sizes_have_larger_errors(tmp_path: Path) -> None:
    rows = {row.name: row for row in actions.compare_sizes(FILES, Choices(merger="direct"), tmp_path)}
    assert rows["full"].error == rows["rank 16"].error == 0
    assert 0 < rows["99.9 %"].error < rows["99 %"].error < 0.11
    assert rows["99 %"].bytes < rows["99.9 %"].bytes < rows["full"].bytes
    with pytest.raises(ValueError, match="found one that computes on a base: merge first"):
        actions.compare_sizes(FILES, Choices(goal="base", base=BASE), tmp_path)


def test_a_preview_has_the_chosen_merge(tmp_path: Path) -> None:
    sheet = actions.preview(
        FILES,
        Choices(merger="direct", blocks="mid_block=0", base=BASE),
        tmp_path,
        prompt="",
        seeds=[0],
        methods=["direct", "ties"],
        columns=[[1.0, 1.0]],
        sampling=Sampling(1, 1.0),
    )
    with Image.open(sheet) as image:
        assert image.width > 300


def test_the_library_is_listed_with_what_its_entries_are(tmp_path: Path) -> None:
    index = tmp_path / "library.sqlite"
    with Library(index) as library:
        library.add(FILES)
    entries = Access((), tmp_path, index).entries()
    assert [(name, Path(path).name) for name, path in entries] == [
        ("test_content_03 · content · embedded", "test_content_03.safetensors"),
        ("test_style_03 · style · embedded", "test_style_03.safetensors"),
    ]
