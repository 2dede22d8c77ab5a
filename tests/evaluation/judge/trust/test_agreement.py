"""Labels by people: read with care, compared by hand-worked numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.evaluation.judge.read.scores import score_images
from lorarar.evaluation.judge.trust.agreement import (
    MAJORITY,
    compare_raters,
    judge_ratings,
    majority,
    read_human_labels,
)
from lorarar.evaluation.statistics.proportions import Rate
from tests.evaluation.judge.synthetic import make_items, make_questions, make_truth, truthful

ITEMS = make_items(["m"], 2, 2, 1)
FIRST = ITEMS[0].id


def write(path: Path, *rows: str, header: str = "item,axis,label,rater") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_labels_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "labels.csv",
        f"{FIRST},content,1,ann",
        f"{FIRST},style,No,ann",
        f"{FIRST},content,yes,",
        f"{ITEMS[1].id},content,,ann",
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as a spreadsheet writes it
    assert read_human_labels(path, ITEMS) == {
        "ann": {(FIRST, "content"): 1, (FIRST, "style"): 0},
        "anonymous": {(FIRST, "content"): 1},
    }


def test_anonymous_ids_are_translated(tmp_path: Path) -> None:
    key = write(tmp_path / "key.csv", f"r1,{FIRST}", header="id,item")
    path = write(tmp_path / "labels.csv", "r1,style,0,ann")
    assert read_human_labels(path, ITEMS, key=key) == {"ann": {(FIRST, "style"): 0}}
    with pytest.raises(ValueError, match="line 2: expected an item of the manifest, found 'r1': pass the sheet's key"):
        read_human_labels(path, ITEMS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("nobody,content,1,ann", "found 'nobody'"),
        (f"{FIRST},colour,1,ann", "line 3: expected the axis content or style, found 'colour'"),
        (f"{FIRST},content,maybe,ann", "expected a label 1, 0, yes or no, found 'maybe'"),
        (f"{FIRST},style,0,ann", "'ann' labelled .* on style twice"),
    ],
)
def test_wrong_lines_are_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_human_labels(write(tmp_path / "labels.csv", f"{FIRST},style,1,ann", row), ITEMS)


def test_a_wrong_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no axis, label, rater: save it as CSV with commas"):
        read_human_labels(write(tmp_path / "labels.csv", header="item,axis;label;rater"), ITEMS)


def test_the_judge_is_one_more_rater() -> None:
    truth = make_truth(ITEMS, {"m": (0.5, 0.5)})
    questions = make_questions(ITEMS, {"content": 2, "style": 1})
    verdicts = truthful(questions, truth)
    assert judge_ratings(score_images(ITEMS, questions, verdicts)) == {unit: int(v) for unit, v in truth.items()}
    verdicts = {name: v for name, v in verdicts.items() if not name.startswith(f"{FIRST}|style")}
    assert (FIRST, "style") not in judge_ratings(score_images(ITEMS, questions, verdicts))


def test_agreement_by_hand() -> None:
    units = [(str(i), "content") for i in range(10)]
    judge = dict(zip(units, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0], strict=True))
    ann = dict(zip(units, [1, 1, 1, 1, 0, 0, 0, 0, 0, 1], strict=True))
    ben = dict(zip(units[:4], [1, 1, 1, 0], strict=True))
    result = compare_raters({"judge": judge}, {"ann": ann, "ben": ben})  # type: ignore[dict-item]
    pairs = {(p.first, p.second): p for p in result.pairs}
    assert pairs["judge", "ann"].agreed == Rate(8, 10)
    assert pairs["judge", "ann"].kappa.mean == pytest.approx(0.6)
    assert pairs["ann", "ben"].agreed == Rate(3, 4)
    assert majority({"ann": ann, "ben": ben})[units[0]] == 1  # type: ignore[dict-item, index]
    assert units[3] not in majority({"ann": ann, "ben": ben})  # type: ignore[dict-item]
    assert pairs["judge", MAJORITY].agreed == Rate(7, 9)
    assert all(pair.axis == "content" for pair in result.pairs)
    assert 0 < result.alpha["content"] < 1


def test_two_judges() -> None:
    a = {("i", "content"): 1, ("j", "content"): 0}
    result = compare_raters({"a": a, "b": a})  # type: ignore[dict-item]
    assert result.pairs[0].agreed == Rate(2, 2)
    assert result.alpha["content"] == 1.0


def test_equal_names_are_refused() -> None:
    with pytest.raises(ValueError, match="found judge twice"):
        compare_raters({"judge": {}}, {"judge": {}})
