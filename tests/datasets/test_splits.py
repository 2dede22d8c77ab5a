"""lorarar.datasets.splits: pairs of a split, and disjoint splits."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lorarar.datasets.concepts import Concept, Pair
from lorarar.datasets.splits import Split, check_disjoint_splits, load_splits


def test_splits_and_their_pairs(splits: dict[str, Split], concepts: dict[str, Concept], folder: Path) -> None:
    pairs = splits["train"].pairs(concepts)
    assert [pair.name for pair in pairs] == [
        f"train_content_0{c}+train_style_0{s}" for c, s in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    assert pairs[0].prompt == "a sks cat in szn style"
    assert isinstance(pairs[0], Pair)
    with pytest.raises(KeyError, match=r"expected one of \['tiny'\], found 'paper'"):
        load_splits(folder / "concepts.yaml", "paper")


def test_a_concept_in_two_splits_is_refused(tmp_path: Path) -> None:
    leak = {"train": {"contents": ["cat"], "styles": ["oil"]}, "test": {"contents": ["dog"], "styles": ["oil"]}}
    path = tmp_path / "splits.yaml"
    path.write_text(yaml.safe_dump({"splits": {"leaky": leak}}))
    with pytest.raises(ValueError, match="splits.yaml: expected disjoint splits, found 'oil' in 'test' and in 'train'"):
        load_splits(path, "leaky")
    check_disjoint_splits({"train": Split(("cat",), ("oil",)), "test": Split(("dog",), ("ink",))})
