"""The README: short, its numbers are those of the results, its picture is what its script draws."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lorarar.mergers import MERGERS
from tests.docs.blocks import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def results(name: str) -> Any:
    return json.loads((ROOT / "experiments" / name).read_text(encoding="utf-8"))


def number(pattern: str) -> str:
    found = re.search(pattern, TEXT)
    assert found, pattern
    return found[1]


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 160


def test_its_numbers_are_those_of_the_results() -> None:
    assert {int(number(r"(\d+) unseen pairs"))} == {
        len(results(f"claims/{zoo}/results.json")["pairs"]) for zoo in ("one_recipe", "wild")
    }
    assert int(number(r"strengths\*: (\d+) pairs")) == len(results("ablations/mixed/results.json")["pairs"])
    times_faster = results("speedup/results.json")["networks"]["ours"]["times_faster"]
    assert number(r"takes ZipLoRA <!-- ratio -->([\d,]+)<!-- /ratio --> times") == f"{times_faster:,.0f}"
    assert int(number(r"any other of (\d+) methods")) == len(MERGERS)


def test_its_rows_are_those_of_the_experiments() -> None:
    """A second look beside experiments/tables.py: the numbers are read from the results here."""
    folders = ("claims/one_recipe", "claims/wild", "ablations/mixed", "auto/mixed")
    one_recipe, wild, mixed, auto = (results(f"{name}/results.json")["methods"] for name in folders)
    lines = TEXT.partition("<!-- rows -->")[2].partition("<!-- /rows -->")[0].replace("\xa0", " ").splitlines()[3:]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines if line]
    assert len(rows) == 6
    of_sum = results("claims/whole_merges.json")["over direct"]
    for label, time, *shown in rows:
        name = "direct" if "direct" in label else label
        in_mixed = auto[name] if name == "auto" else mixed.get(name.removesuffix(", tuned"))
        for text, value in zip(shown, (one_recipe[name], wild[name], in_mixed), strict=True):
            each = value["joint"] if value else None
            expected = f"{each['mean']:.2f} [{each['low']:.2f}, {each['high']:.2f}]" if each else "not measured"
            assert text == expected, label
        share = of_sum[{"ZipLoRA, tuned": "ZipLoRA, 50 steps"}.get(name, name)]
        assert float(time) == pytest.approx(share, abs=0.5 if share >= 10 else 0.05), label


def test_its_picture_is_what_the_script_draws(tmp_path: Path) -> None:
    script = ROOT / "docs/images/mixed_strengths.py"
    spec = importlib.util.spec_from_file_location("mixed_strengths", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as drawn, Image.open(script.with_suffix(".png")) as kept:
        assert drawn.size == kept.size
        difference = np.abs(np.asarray(drawn, dtype=float) - np.asarray(kept, dtype=float))
    assert difference.mean() < 1  # another version of Pillow may draw letters differently
