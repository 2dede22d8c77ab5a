"""lorarar.library.page: one file that loads nothing, with every entry, its neighbours and the duplicates."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from lorarar import save
from lorarar.library import Library, export_library, library_page
from lorarar.storage import FormatError
from tests.library.test_index import write
from tests.tiny import two_block_lora


@pytest.fixture
def library(tmp_path: Path) -> Library:
    for i in range(6):
        write(tmp_path / "loras" / f"lora{i}.safetensors", i, phrase=f"word{i}")
    save(two_block_lora(2, seed=0), tmp_path / "loras" / "<b>twin.safetensors", format="kohya")
    (tmp_path / "loras" / "bad.safetensors").write_bytes(b"")
    library = Library(tmp_path / "index.sqlite")
    library.add([tmp_path / "loras"])
    return library


def test_the_page_has_everything_and_loads_nothing(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorarar.library.page._NEIGHBOURS", 3)
    page = library_page(library)
    entries = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    by_name = {entry["name"]: entry for entry in entries}
    assert len(entries) == page.count("<circle") == 7
    assert by_name["lora0"]["neighbours"][0] == [list(by_name).index("<b>twin"), pytest.approx(1, abs=2e-3)]
    assert all(i not in [j for j, _ in entry["neighbours"]] for i, entry in enumerate(entries))
    assert {len(entry["neighbours"]) for entry in entries} == {3}
    assert by_name["lora3"]["facts"]["trigger words"] == "word3"
    assert "same weights" in page
    assert "is empty (0 bytes)" in page
    assert "<b>" not in page.replace("<body>", "")
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)
    assert "default-src 'none'" in page


def test_export_by_the_ending(library: Library, tmp_path: Path) -> None:
    for ending in (".html", ".csv", ".json"):
        output = export_library(library, tmp_path / f"out{ending}")
        assert output.stat().st_size > 100
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["name"] for row in rows] == [row["name"] for row in json.loads((tmp_path / "out.json").read_text())]
    with pytest.raises(ValueError, match="expected a file ending in .html, .csv, .json, found .*out.txt: rename"):
        export_library(library, tmp_path / "out.txt")
    with pytest.raises(FormatError, match="exists already"):
        export_library(library, tmp_path / "out.csv")
    library.remove([entry.sha256 for entry in library])
    with pytest.raises(ValueError, match="expected entries to show, found none: add folders first"):
        export_library(library, tmp_path / "other.html")
