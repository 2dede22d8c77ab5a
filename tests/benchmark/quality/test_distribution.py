"""lorarar.benchmark.quality.distribution: workers compute what is missing, and the run only reads it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

import lorarar.benchmark.quality.cells as cells
from lorarar.benchmark.quality.config import QualityConfig
from lorarar.benchmark.quality.distribution import distribute
from lorarar.benchmark.quality.inputs import load_inputs
from lorarar.benchmark.quality.run import row_folder, run_quality


@pytest.mark.slow
def test_the_run_reads_what_units_computed(tuned: QualityConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = replace(tuned, runs=tuned.runs / "alone", output=tuned.output / "alone")
    run_quality(alone)
    distribute(load_inputs(tuned), partial(row_folder, tuned))
    monkeypatch.setattr(cells, "_compute", None)
    run_quality(tuned)
    assert (tuned.output / "results.json").read_bytes() == (alone.output / "results.json").read_bytes()
    distribute(load_inputs(tuned), partial(row_folder, tuned))  # nothing is left


@pytest.mark.slow
def test_the_error_of_a_unit_is_raised_after_the_others(tuned: QualityConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    original, failed = cells._compute, []

    def compute(inputs: object, method: object, seeds: object, places: object) -> object:
        if not failed:
            failed.append(places)
            raise ValueError("the first group fails")
        return original(inputs, method, seeds, places)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "_compute", compute)
    with pytest.raises(ValueError, match="the first group fails"):
        distribute(load_inputs(replace(tuned, methods=tuned.methods[:2])), partial(row_folder, tuned))
    assert len(list(tuned.runs.rglob("cells/*/*.json"))) == 2 * 4 - 3  # of two rows and four pairs, in groups of three
