"""lorarar.cli.judge: the commands end to end with mocks, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorarar.cli.main import main
from lorarar.evaluation.judge.ask.run_folder import read_setup
from tests.evaluation.judge.sample import LAYOUT, planned_run, save_noise, write_images, write_labels, write_references


def planned(folder: Path, *more: str) -> int:
    references, images = write_references(folder), write_images(folder)
    argv = ["judge", "plan", str(images), "--references", str(references), "-o", str(folder / "run"), "--cases", "6"]
    return main([*argv, *(more or ("--layout", LAYOUT))])


def run(folder: Path, backend: str = "mock:truth", *more: str, step: str = "run") -> int:
    write_labels(folder / "labels.jsonl", read_setup(folder / "run"))
    argv = ["judge", step, str(folder / "run"), "--backend", backend, "--labels", str(folder / "labels.jsonl")]
    return main([*argv, *more])


def test_from_images_to_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "16 images, rubric mars2@2:" in printed
    assert "images: 64 calls, 128 images shown" in printed
    assert not (tmp_path / "run" / "log.jsonl").exists()
    assert run(tmp_path) == 0
    assert "64 questions: 64 ok" in capsys.readouterr().out
    assert main(["judge", "rescore", str(tmp_path / "run")]) == 0
    assert main(["judge", "report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.endswith("report.html\n")
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    json.loads((tmp_path / "run" / "results.json").read_text())


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(tmp_path) == 0
    assert run(tmp_path, "mock:truth", "--budget-calls", "5") == 5
    assert run(tmp_path, "mock:truth", step="calibrate") == 0
    assert run(tmp_path, "mock:noisy") == 1
    assert "plan another folder" in capsys.readouterr().err
    noisy = tmp_path / "noisy"
    assert planned(noisy) == 0
    assert run(noisy, "mock:noisy?specificity=0.2") == 4
    assert main(["judge", "report", str(noisy / "run")]) == 4
    assert run(noisy, "mock:noisy?specificity=0.2", "--uncalibrated") == 0
    assert main(["judge", "report", str(noisy / "run")]) == 4
    assert main(["judge", "report", str(noisy / "run"), "--uncalibrated"]) == 0
    capsys.readouterr()
    server = ["--backend", "openai:m@http://127.0.0.1:9/v1"]
    other = tmp_path / "other"
    planned(other)
    assert main(["judge", "run", str(other / "run"), "--backend", "nonsense"]) == 1
    assert main(["judge", "run", str(tmp_path), *server]) == 1  # not planned


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorarar.evaluation.judge.ask.backends.retries.FIRST_WAIT", 0.001)
    assert planned(tmp_path) == 0
    assert main(["judge", "run", str(tmp_path / "run"), "--backend", "openai:m@http://127.0.0.1:9/v1"]) == 3


def test_a_manifest_instead_of_a_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(tmp_path) == 0
    manifest = tmp_path / "mine.jsonl"
    manifest.write_bytes((tmp_path / "run" / "manifest.jsonl").read_bytes())
    assert planned(tmp_path, "--manifest", str(manifest), "--rubric", "scale", "--price-per-million", "2") == 0
    assert "cost 0." in capsys.readouterr().out
    assert planned(tmp_path, "--manifest", str(manifest), "--rate", "0") == 1
    assert planned(tmp_path, "--layout", "{method}/{content}_{style}/{seed}.png") == 1
    save_noise(tmp_path / "images" / "grid.png", 0)
    assert planned(tmp_path) == 1
    assert planned(tmp_path, "--layout", LAYOUT, "--ignore", "grid.png") == 0


def test_people_rate_blindly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = planned_run(tmp_path)
    key = tmp_path / "key.csv"
    assert main(["judge", "rate", str(folder), "-o", str(tmp_path / "sheet"), "--key", str(key), "--sample", "3"]) == 0
    sheet = (tmp_path / "sheet" / "sheet.csv").read_text().splitlines()
    assert len(sheet) == 1 + 2 * 3
    first = sheet[1].split(",")
    (tmp_path / "filled.csv").write_text("\n".join([sheet[0], ",".join([first[0], first[1], "1", "ada"])]))
    assert main(["judge", "import-labels", str(folder), str(tmp_path / "filled.csv"), "--key", str(key)]) == 0
    assert "added 1 labels" in capsys.readouterr().out
    assert main(["judge", "import-labels", str(folder), str(tmp_path / "filled.csv")]) == 1
