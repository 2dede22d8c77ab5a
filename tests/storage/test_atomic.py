"""lorarar.storage.atomic: whole or not at all, refusals explained, and nothing heavy imported."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lorarar.storage.atomic import FormatError, atomic_write, check_no_input


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


def test_nothing_but_a_regular_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dangling", "pipe"):
        for force in (False, True):
            with (
                pytest.raises(FormatError, match=f"expected a regular file or none at .*{name}, found a link or dev"),
                atomic_write(tmp_path / name, force=force),
            ):
                pytest.fail("the block must not run")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / "file").read_text() == "kept"


def test_an_input_is_known_by_every_path(tmp_path: Path) -> None:
    folder, target = tmp_path / "folder", tmp_path / "folder" / "x"
    folder.mkdir()
    target.write_text("")
    (tmp_path / "hard").hardlink_to(target)
    (tmp_path / "links").symlink_to(folder)
    for written in (target, tmp_path / "hard", tmp_path / "links" / "x", folder / ".." / "folder" / "x"):
        with pytest.raises(FormatError, match="an output that is no input, found .*, which is read too: rename it"):
            check_no_input(written, [tmp_path / "none", target])
    with pytest.raises(FormatError, match="which is read too"):
        check_no_input(target, [folder])  # every file of a folder that is read
    (tmp_path / "other").write_text("")
    check_no_input(tmp_path / "other", [target, folder, Path("owner/name")])
    check_no_input(tmp_path / "new", [target])


def test_planning_a_judgement_takes_no_torch() -> None:
    modules = "lorarar.storage.atomic, lorarar.evaluation.judge.plan, lorarar.evaluation.judge.trust.rating_sheet"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
