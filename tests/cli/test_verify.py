"""`lorarar verify`, and the verification after `lorarar merge`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorarar.cli.main import main
from tests import ROOT

CONTENT, STYLE = (str(ROOT / f"data/embedded/loras/test_{name}.safetensors") for name in ("content_01", "style_02"))


@pytest.fixture
def merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A merge with the weights 1 and 0.6, which is verified."""
    path = str(tmp_path / "merged.safetensors")
    assert main(["merge", CONTENT, STYLE, "-o", path, "--merger", "direct", "--weights", "1,0.6"]) == 0
    assert "verified: 56 layers read again, relative error " in capsys.readouterr().out
    assert main(["merge", CONTENT, STYLE, "-o", path, "--merger", "direct", "--force", "--no-verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is None
    assert main(["merge", CONTENT, STYLE, "-o", path, "--merger", "direct", "--weights", "1,0.6", "--force"]) == 0
    capsys.readouterr()
    return path


def test_inputs_as_words_or_after_the_option(merged: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([CONTENT, STYLE], ["--inputs", CONTENT, STYLE], ["--inputs", CONTENT, "--inputs", STYLE]):
        assert main(["verify", merged, *words]) == 0
        assert "no fault found" in (text := capsys.readouterr().out)
        assert "best weights: denoiser = 1 test_content_01 + 0.6 test_style_02, residual" in text


def test_a_fault_ends_with_1(merged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", merged, CONTENT, STYLE, "--weights", "0.6,1", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["faults"][-1] == "the weights of the inputs are swapped"
    assert main(["verify", merged, "--tool", "ComfyUI"]) == 1
    assert "not known whether ComfyUI reads a file of this family" in capsys.readouterr().out


def test_what_cannot_be_verified_is_said_as_a_mistake(merged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "nothing.safetensors"])
    assert "does not exist" in capsys.readouterr().err
    assert main(["verify", merged, "--weights", "1,1"])
    assert "--inputs" in capsys.readouterr().err
