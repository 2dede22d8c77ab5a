"""lorarar.evaluation.judge.trust.labels: a filled-in sheet, blinded or not, comes back under the items' names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.trust.labels import import_labels, read_imported
from tests.evaluation.judge.sample import planned_run

ITEM = "direct/cat_1+ink/0"


def test_labels_are_collected(tmp_path: Path) -> None:
    run = planned_run(tmp_path)
    setup = read_setup(run)
    assert read_imported(run, setup) is None
    (tmp_path / "one.csv").write_text(f"item,axis,label,rater\n{ITEM},content,1,ada\n{ITEM},style,no,ada\n")
    (tmp_path / "two.csv").write_text("item,axis,label,rater\nr7,content,0,bob\nr7,style,,bob\n")
    (tmp_path / "key.csv").write_text(f"id,item\nr7,{ITEM}\n")
    assert import_labels(run, setup, tmp_path / "one.csv") == 2
    assert import_labels(run, setup, tmp_path / "two.csv", key=tmp_path / "key.csv") == 1
    assert read_imported(run, setup) == {
        "ada": {(ITEM, "content"): 1, (ITEM, "style"): 0},
        "bob": {(ITEM, "content"): 0},
    }
    before = (run / "labels.csv").read_bytes()
    with pytest.raises(ValueError, match="already has"):
        import_labels(run, setup, tmp_path / "one.csv")
    assert (run / "labels.csv").read_bytes() == before
