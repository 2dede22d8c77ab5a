"""Blind test: pairs in an order that tells nothing, and votes that the judge's report reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lorarar.datasets import Item
from lorarar.datasets.layout import parse_layout
from lorarar.diffusion import Sampling
from lorarar.evaluation.judge.trust.agreement import read_human_labels
from lorarar.studio.blind import LAYOUT, add_vote, count_votes, draw_blind, open_pairs

SEEDS = range(12)


@pytest.fixture
def test_folder(tmp_path: Path) -> Path:
    for method in ("mine", "sum"):
        folder = tmp_path / "images" / method / "cat+ink"
        folder.mkdir(parents=True)
        for seed in SEEDS:
            Image.new("RGB", (4, 4)).save(folder / f"{seed}.png")
    return tmp_path


def test_pairs_are_shuffled_by_rater_and_a_rater_sees_each_once(test_folder: Path) -> None:
    pairs = open_pairs(test_folder, "ann")
    assert pairs == open_pairs(test_folder, "ann")
    assert pairs != open_pairs(test_folder, "bob")
    assert {pair.left.parts[-3] for pair in pairs} == {"mine", "sum"}
    assert sorted(pair.left.stem for pair in pairs) == sorted(map(str, SEEDS))
    assert all(pair.left.stem == pair.right.stem and pair.left != pair.right for pair in pairs)
    add_vote(test_folder, pairs[0], {"content": "left", "style": "both"}, "ann")
    assert open_pairs(test_folder, "ann") == pairs[1:]
    assert len(open_pairs(test_folder, "bob")) == len(SEEDS)


def test_the_judge_reads_the_votes(test_folder: Path) -> None:
    names = {"content": ["cat"], "style": ["ink"]}
    items = []
    for path in sorted((test_folder / "images").rglob("*.png")):
        (values,) = parse_layout(LAYOUT, names).readings(path.relative_to(test_folder / "images").as_posix())
        items.append(Item(f"{values['method']}/cat+ink/{values['seed']}", str(path), values["method"], "cat", "ink", 0))
    answers = ("left", "right", "both", "neither")
    for pair, content, style in zip(open_pairs(test_folder, "ann"), answers, answers[::-1], strict=False):
        add_vote(test_folder, pair, {"content": content, "style": style}, "ann")
    ratings = read_human_labels(test_folder / "labels.csv", items)["ann"]
    assert len(ratings) == 16
    left, right = open_pairs(test_folder, "someone")[0].items  # names of the judge's items
    assert {left, right} <= {item.id for item in items}
    tallies = {tally.method: tally for tally in count_votes(test_folder)}
    assert sum(tally.right["content"] for tally in tallies.values()) == 1 + 1 + 2 + 0
    assert {method: tally.votes for method, tally in tallies.items()} == {"mine": 4, "sum": 4}


def test_a_pair_is_rated_once_and_on_both_questions(test_folder: Path) -> None:
    pair = open_pairs(test_folder, "ann")[0]
    with pytest.raises(ValueError, match="expected an answer to both questions"):
        add_vote(test_folder, pair, {"content": "left"}, "ann")
    add_vote(test_folder, pair, {"content": "left", "style": "right"}, "ann")
    with pytest.raises(ValueError, match="expected a new pair, found one that was rated"):
        add_vote(test_folder, pair, {"content": "left", "style": "right"}, "ann")


@pytest.mark.parametrize(
    ("results", "names", "message"),
    [
        ({"one": "a"}, ("cat", "ink"), "expected two different results, found one"),
        ({"one": "a", "two": "b"}, ("cat/..", "ink"), "expected names without / and"),
        ({"one": "a", "two": "b"}, ("", "ink"), "expected names without / and"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, results: dict[str, str], names: tuple[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw_blind(tmp_path, results, names, "base", "a prompt", [0], Sampling(1, 1.0))
