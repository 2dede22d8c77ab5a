"""lorarar.cli.files: the commands inspect and convert."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lorarar.cli.main import main
from lorarar.formats.inspection.comparison import compare_files
from lorarar.formats.inspection.report import inspect
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.lora.lowrank import LowRank
from tests.tiny import two_block_lora

Output = pytest.CaptureFixture[str]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "cat.safetensors", tmp_path / "oil.safetensors"
    for i, path in enumerate(paths):
        save(two_block_lora(4, seed=50 * i), path)
    return paths


def test_inspect(files: tuple[Path, Path], capsys: Output) -> None:
    report = inspect(files[0])
    assert main(["inspect", str(files[0])]) == 0
    assert capsys.readouterr().out == report.text() + "\n"
    assert main(["inspect", str(files[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(report.to_dict()))


def test_inspect_compare(files: tuple[Path, Path], capsys: Output) -> None:
    argv, comparison = ["inspect", str(files[0]), "--compare", str(files[1])], compare_files(*files)
    assert main(argv) == 0
    assert capsys.readouterr().out == comparison.text() + "\n"
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cosine"] == comparison.cosine


def test_convert(files: tuple[Path, Path], tmp_path: Path, capsys: Output) -> None:
    output = tmp_path / "out.safetensors"
    argv = ["convert", str(files[0]), "-o", str(output), "--format", "diffusers", "--dtype", "fp32", "--rank", "2"]
    assert main(argv) == 0
    assert "8 layers, truncated with relative error" in capsys.readouterr().out
    layers = load(output).layers.values()
    assert {layer.rank for layer in layers if isinstance(layer, LowRank)} == {2}
    assert {layer.B.dtype for layer in layers if isinstance(layer, LowRank)} == {torch.float32}
    assert main(argv) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*argv[:-2], "--energy", "1.0", "--force"]) == 0
    assert main(["convert", str(files[0]), "-o", str(tmp_path / "x.safetensors"), "--energy", "2"]) == 2
    assert "--energy: expected a number above 0 and at most 1" in capsys.readouterr().err


def test_pairs_for_high_and_low_noise_are_merged_by_one_command(
    files: tuple[Path, Path], tmp_path: Path, capsys: Output
) -> None:
    one, other = files
    argv = ["merge", f"{one}+{other}", f"{other}+{one}", "-o", str(tmp_path / "x.safetensors"), "--merger", "direct"]
    assert main([*argv, "--dry-run", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    outputs = [tmp_path / f"x_{side}_noise.safetensors" for side in ("high", "low")]
    assert [plan["output"]["file"] for plan in plans] == [str(path) for path in outputs]
    assert main(argv) == 0
    assert [path.name in capsys.readouterr().out or path.exists() for path in outputs] == [True, True]
    assert main([*argv[:2], str(one), *argv[3:]]) == 1
    assert "as a pair of files, HIGH+LOW" in capsys.readouterr().err
