"""lorarar doctor: facts by sections, what is missing with its remedy, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from lorarar.cli.main import main
from lorarar.workflows import doctor
from lorarar.workflows.doctor.diagnosis import Diagnosis, Problem, diagnose


@pytest.fixture(scope="module")
def healthy() -> Diagnosis:
    return diagnose()


def test_a_healthy_installation_ends_with_0(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, healthy: Diagnosis
) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: healthy)
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    titles = ["Installation", "Machine", "Packages", "Extras", "Network and cache", "Shipped parts", "What is missing"]
    assert [line for line in output.splitlines() if line in titles] == titles
    assert "Merging by the shipped network works." in output


def test_what_is_missing_is_printed_with_its_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, healthy: Diagnosis
) -> None:
    problem = Problem("no numpy", "everything", "pip install numpy", essential=True)
    monkeypatch.setattr(doctor, "diagnose", lambda: replace(healthy, problems=(problem,)))
    assert main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "no numpy  for everything: pip install numpy" in output
    assert "Merging by the shipped network does not work: see above." in output


def test_json_has_the_same_facts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, healthy: Diagnosis
) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: healthy)
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["torch"]["version"] == healthy.torch.version


def test_the_command_runs_where_torch_cannot_be_imported() -> None:
    code = "import sys; sys.modules['torch'] = None; from lorarar.cli.main import main; sys.exit(main(['doctor']))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "")
    assert "torch cannot be imported" in " ".join(run.stdout.split())
