"""lorarar.benchmark.speed.processes: commands in turns beside the floor, and their ratios."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorarar.benchmark.speed.processes import BOUNDS, process_table, run_process_benchmark
from lorarar.cli.main import main
from tests.tiny import two_block_lora


def test_each_command_is_measured_beside_the_floor_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str]) -> dict[str, float]:
        commands.append(command)
        slow = 1.0 + (len(commands) > 2 + 2 * len(BOUNDS))  # the machine is half as fast in the second round
        times = 1.0 if "floor.py" in command[1] else float(len(command))
        return {"seconds": slow * times, "cpu_seconds": times / 2, "peak_bytes": 2e9}

    monkeypatch.setattr("lorarar.benchmark.speed.processes.synthetic_lora", lambda *_: two_block_lora(2, 1.0, seed=1))
    monkeypatch.setattr("lorarar.benchmark.speed.processes.run_launched", run)
    results = json.loads(json.dumps(run_process_benchmark("sd15", 2, folder=tmp_path, repetitions=2)))
    assert list(results["commands"]) == [*BOUNDS]
    assert len(commands) == 2 + 2 * 2 * len(BOUNDS)
    chosen = {command[-1] for command in commands[2:]}
    assert {"direct", "np_lora", "--dense", str(tmp_path / "paper.safetensors")} <= chosen
    for name, bound in BOUNDS.items():
        found = results["commands"][name]
        assert found["times"] == found["cpu_times"] == len(commands[3 + 2 * list(BOUNDS).index(name)])
        assert found["bound"] == bound
    table = process_table(results)
    assert "whose peak memory is 2.00 GB" in table
    assert "| ties --rank 64 |" in table


def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a command among auto, .*, found 'knot': did you mean 'knots'"):
        run_process_benchmark("sd15", 2, folder=tmp_path, names=["knot"])


def test_only_needs_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "merge", "--only", "knots"]) == 2
    assert "expected --processes with --only" in capsys.readouterr().err
