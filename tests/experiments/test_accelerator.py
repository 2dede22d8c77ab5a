"""experiments/accelerator: the script for a GPU runs through on tiny shapes, and leaves out what does not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from tests import ROOT

sys.path.insert(0, str(ROOT / "experiments" / "accelerator"))
measure = __import__("measure")


def setting(folder: Path) -> object:
    return measure.Setting("cpu", torch.float32, True, folder)


@pytest.mark.slow
def test_the_dry_run_measures_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    measure.main(setting(tmp_path), 600.0, tmp_path / "results.json")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["skipped"] == {}
    assert results["dry_run"]
    assert len(results["measures"]) == 2 + 9 * len(measure.FAMILIES)
    for name, found in results["measures"].items():
        seconds = found["ziplora"]["seconds"] if "ZipLoRA" in name and "speedup" in name else found.get("seconds", 1)
        assert seconds > 0
    assert results["measures"]["sd15, LoRAs in a batch"]["ratio"] > 0
    assert results["measures"]["flux, training, checkpointing"]["computed_bytes"] > 0


def test_a_step_of_a_transformer_and_a_sampling_step_are_measured(tmp_path: Path) -> None:
    works = {m.name: m for m in measure.of_family(setting(tmp_path), "flux")}
    for name in ("flux, training, checkpointing", "flux, generation", "flux, merge, network"):
        assert works[name].run()["seconds"] > 0


def test_what_does_not_fit_is_left_out_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> dict[str, float]:
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    planned = [
        measure.Measure("long", 50.0, 0.0, dict),
        measure.Measure("fails", 1.0, 0.0, fails),
        measure.Measure("short", 1.0, 0.0, lambda: {"seconds": 2.0}),
    ]
    monkeypatch.setattr(measure, "measures", lambda setting: planned)
    measure.main(setting(tmp_path), measure.RESERVE + 20.0, tmp_path / "results.json")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["measures"]["short"]["seconds"] == 2.0
    assert results["skipped"]["long"] == "expected 50 seconds, found 20 left"
    assert results["skipped"]["fails"] == "OutOfMemoryError: CUDA out of memory."
    assert measure.reason_to_skip(planned[2], 9.0, 1e9) == "expected 2.0 GB of memory, found 1.0 GB free"
