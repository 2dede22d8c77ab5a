"""lorarar.settings: a run goes on with its own settings only."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.settings import keep_settings


def test_settings_are_written_once_and_compared_afterwards(tmp_path: Path) -> None:
    folder, settings = tmp_path / "a" / "b", {"rate": 0.1, "images": (1, 2), "base": Path("x")}
    keep_settings(settings, folder, "rename it")
    written = (folder / "config.json").read_bytes()
    keep_settings(settings, folder, "rename it")
    with pytest.raises(ValueError, match=r"b holds a run of .*here\): \{'rate': \(0.1, 0.2\)\}: rename it"):
        keep_settings({**settings, "rate": 0.2}, folder, "rename it")
    with pytest.raises(ValueError, match=r"\{'seed': \(None, 1\)\}"):
        keep_settings({**settings, "seed": 1}, folder, "rename it")
    assert (folder / "config.json").read_bytes() == written
