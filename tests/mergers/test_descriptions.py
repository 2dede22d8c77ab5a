"""lorarar.mergers.descriptions: what is said of each merger, against what it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.combination import combine
from lorarar.mergers.descriptions import LEAVES, _read, describe_merger, mergers_data
from lorarar.mergers.request import MergeRequest
from lorarar.mergers.table import MERGERS
from lorarar.storage import load_plugin, scoped_plugins
from tests.tiny import two_block_lora


@pytest.fixture(autouse=True)
def plugins() -> Iterator[None]:
    with scoped_plugins():
        yield


@pytest.mark.parametrize("name", MERGERS.own())
def test_every_merger_is_described(name: str) -> None:
    entry, row = _read()[name], describe_merger(name)
    assert entry["formula"] == row.formula
    assert row.does.endswith(".")
    assert len(row.does) <= 95
    assert row.leaves in LEAVES
    assert all(row.options.values()), row.options
    assert list(row.options) == list(MERGERS[name].options)


def test_nothing_else_is_described() -> None:
    assert set(_read()) - {"options"} == set(MERGERS.own())
    assert set(_read()["options"]) == {option for row in MERGERS.own().values() for option in row.options}


CLOSED = [
    name
    for name, row in MERGERS.own().items()
    if row.kind != "runtime" and not row.needs and name not in ("peft_linear", "fixed_blocks")
]


@pytest.mark.parametrize("name", CLOSED)
def test_a_merger_leaves_what_is_said(name: str) -> None:
    loras = [two_block_lora(1, seed=1), two_block_lora(2, seed=50)]
    layers = combine(loras, MergeRequest(merger=name, dense=True)).lora.layers.values()
    if describe_merger(name).leaves == "dense":
        assert all(isinstance(layer, Dense) for layer in layers)
    else:
        ranks = {layer.rank for layer in layers if isinstance(layer, LowRank)}
        assert ranks == {2 if describe_merger(name).leaves == "largest" else 3}
        assert all(isinstance(layer, LowRank) for layer in layers)


def test_needs_and_counts_are_in_words() -> None:
    rows = {name: describe_merger(name) for name in ("ties", "klora", "text_guided", "layerwise")}
    assert [row.needs for row in rows.values()] == ["nothing", "base", "base, words", "network"]
    assert [row.takes for row in rows.values()] == ["any", "two", "two", "any"]
    assert rows["klora"].leaves == "nothing"


def test_a_plugin_is_described_by_its_docstring(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from lorarar.mergers import Merger\n\n\n"
        'def first(deltas, layer):\n    """Take the first delta.\n\n    No more.\n    """\n    return deltas[0]\n\n\n'
        'MERGERS = [Merger("first", "delta", "here", first, {"depth": 1})]\n'
    )
    load_plugin(plugin)
    row = describe_merger("first")
    assert (row.does, row.formula, row.leaves, row.options) == ("Take the first delta.", "", "dense", {"depth": ""})
    assert mergers_data()[-1]["does"] == "Take the first delta."
