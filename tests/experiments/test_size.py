"""experiments/size: each shipped configuration fits a card of 24 GB, or of 80 GB where its weights alone exceed 24."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from tests import ROOT

sys.path.insert(0, str(ROOT / "experiments" / "size"))
shipped_sizes = __import__("shipped_sizes")
ROWS = json.loads((ROOT / "experiments" / "size" / "shipped_sizes.json").read_text(encoding="utf-8"))
# FLUX.1's weights take 23.8 GB.
LARGE = {"zoo/flux", "train/flux", "analogies/kontext"}
LARGE_BASES = ("stabilityai/", "stable-diffusion-v1-5/", "black-forest-labs/", "etri-vilab/")


def test_the_results_are_those_of_the_counts_and_the_configurations() -> None:
    assert json.loads(json.dumps(shipped_sizes.rows())) == ROWS


def test_every_configuration_fits_the_smallest_card_that_is_possible() -> None:
    assert {row["configuration"]: row["fits"] for row in ROWS} == {
        row["configuration"]: 80e9 if row["configuration"] in LARGE else 24e9 for row in ROWS
    }


def test_every_configuration_of_a_large_base_is_there() -> None:
    folder = ROOT / "configs"
    bases = {file: yaml.safe_load(file.read_text(encoding="utf-8")).get("base", "") for file in folder.rglob("*.yaml")}
    large = {
        file.relative_to(folder).with_suffix("").as_posix()
        for file, base in bases.items()
        if str(base).startswith(LARGE_BASES)
    }
    assert {row["configuration"] for row in ROWS} == large


@pytest.mark.parametrize("name", sorted({row["configuration"] for row in ROWS}))
def test_a_header_states_the_memory_and_the_card(name: str) -> None:
    [row] = (row for row in ROWS if row["configuration"] == name)
    text = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"{row['bytes'] / 1e9:.1f} GB" in text
