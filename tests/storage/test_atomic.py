"""lorarar.storage.atomic: whole or not at all, refusals explained, and nothing heavy imported."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from lorarar.storage.atomic import FormatError, atomic_write


def test_atomic_write_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    with atomic_write(target) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == tmp_path
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_write(target, force=True) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(FormatError, match=r"x cannot be written: No space left.*free space"),
        atomic_write(tmp_path / "x"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("")
    cases = {
        "there exists already: choose another name.*force": tmp_path / "there",
        "its folder .*missing does not exist, create it first": tmp_path / "missing" / "x",
        "is a folder: give a file name inside it": tmp_path,
    }
    for message, path in cases.items():
        with pytest.raises(FormatError, match=message), atomic_write(path):
            pytest.fail("the block must not run")
    with atomic_write(tmp_path / "there", force=True) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "there").read_text() == "new"


def test_planning_a_judgement_takes_no_torch() -> None:
    modules = "lorarar.storage.atomic, lorarar.evaluation.judge.plan, lorarar.evaluation.judge.trust.rating_sheet"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
