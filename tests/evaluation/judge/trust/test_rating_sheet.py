"""The blinded sheet: nothing on it tells the method, and the key leads back."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lorarar.datasets.records import Axis, Item, ReferenceConcept
from lorarar.evaluation.judge.trust.agreement import read_human_labels
from lorarar.evaluation.judge.trust.rating_sheet import write_sheet
from tests.evaluation.judge.synthetic import make_items

METHODS = ("secretmethod", "othersecret")
CONCEPTS: dict[tuple[Axis, str], ReferenceConcept] = {
    ("content", "c0"): ReferenceConcept("c0", "content", "<b>cat</b>", ("c0.png",)),
    ("style", "s0"): ReferenceConcept("s0", "style", "oil painting", ("s0.png",)),
}


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    items = make_items(METHODS, 1, 1, 3)
    info = PngInfo()
    info.add_text("parameters", "made by secretmethod")
    for n, item in enumerate(items):
        path = tmp_path / "images" / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (n * 20, 0, 0)).save(path, pnginfo=info)
    for name in ("c0", "s0"):
        Image.new("RGB", (8, 8), "blue").save(tmp_path / f"{name}.png")
    return items


def write(
    folder: Path, items: list[Item], name: str = "sheet", seed: int = 0, sample: int | None = None
) -> dict[str, str]:
    return write_sheet(
        folder / name,
        folder / f"{name}-key.csv",
        items,
        CONCEPTS,
        image_root=folder / "images",
        reference_root=folder,
        sample=sample,
        seed=seed,
    )


def test_the_sheet_does_not_tell_the_method(tmp_path: Path, items: list[Item]) -> None:
    assert write(tmp_path, items) == {}
    files = sorted(path for path in (tmp_path / "sheet").rglob("*") if path.is_file())
    assert len(files) == 2 + 6 + 2  # page and sheet, images, references
    for path in files:
        assert b"secret" not in path.read_bytes()
        assert "secret" not in path.name
    page = (tmp_path / "sheet/index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;cat&lt;/b&gt;" in page
    assert page.count("<section") == 6
    assert page.count("<script>") == 1
    assert "script-src &#39;sha256-" in page
    assert page.count('data-label="1"') == page.count("<fieldset") == 2 * 6
    assert len(re.findall(r'data-sheet="[0-9a-f]{64}"', page)) == 1


def test_the_key_leads_back(tmp_path: Path, items: list[Item]) -> None:
    write(tmp_path, items)
    with open(tmp_path / "sheet-key.csv", encoding="utf-8", newline="") as file:
        key = {row["id"]: row["item"] for row in csv.DictReader(file)}
    assert sorted(key.values()) == sorted(item.id for item in items)
    assert list(key.values()) != sorted(key.values())
    for name, item in key.items():
        with (
            Image.open(tmp_path / f"sheet/images/{name}.png") as shown,
            Image.open(tmp_path / "images" / f"{item}.png") as true,
        ):
            assert shown.getpixel((0, 0)) == true.getpixel((0, 0))
    sheet = (tmp_path / "sheet/sheet.csv").read_text(encoding="utf-8")
    filled = tmp_path / "filled.csv"
    filled.write_text(sheet.replace(",,", ",1,ann"), encoding="utf-8")
    labels = read_human_labels(filled, items, key=tmp_path / "sheet-key.csv")
    assert labels == {"ann": {(item.id, axis): 1 for item in items for axis in ("content", "style")}}


def test_the_shuffle_follows_its_seed(tmp_path: Path, items: list[Item]) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        write(tmp_path, items, name, seed)
    keys = [(tmp_path / f"{name}-key.csv").read_text(encoding="utf-8") for name in ("one", "two", "three")]
    assert keys[0] == keys[1] != keys[2]


def test_a_sample_is_drawn_from_all_methods(tmp_path: Path, items: list[Item]) -> None:
    write(tmp_path, items, sample=4)
    assert len(list((tmp_path / "sheet/images").iterdir())) == 4
    with open(tmp_path / "sheet-key.csv", encoding="utf-8", newline="") as file:
        assert {row["item"].partition("/")[0] for row in csv.DictReader(file)} == set(METHODS)
    with pytest.raises(ValueError, match="positive number of images in `sample`"):
        write(tmp_path, items, "other", sample=0)


def test_refused_images_are_named(tmp_path: Path, items: list[Item]) -> None:
    (tmp_path / "images" / items[0].path).write_text("no image", encoding="utf-8")
    refused = write(tmp_path, items)
    assert list(refused) == [items[0].id]
    assert "expected a PNG, JPEG or WebP image" in refused[items[0].id]
    assert len((tmp_path / "sheet/sheet.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 5


def test_the_key_must_lie_outside(tmp_path: Path, items: list[Item]) -> None:
    with pytest.raises(ValueError, match="raters must not see it"):
        write_sheet(tmp_path, tmp_path / "key.csv", items, CONCEPTS, image_root=tmp_path, reference_root=tmp_path)
