"""lorarar.benchmark.quality.distribution: workers compute what is missing, and the run only reads it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

import lorarar.benchmark.quality.cells as cells
from lorarar.benchmark.quality.builders import trained_file
from lorarar.benchmark.quality.config import QualityConfig, RowConfig
from lorarar.benchmark.quality.distribution import CellGroup, _trainings, distribute
from lorarar.benchmark.quality.inputs import load_inputs
from lorarar.benchmark.quality.run import row_folder, run_quality
from lorarar.benchmark.quality.settings import TrainedSettings


@pytest.mark.slow
def test_the_run_reads_what_units_computed(tuned: QualityConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = replace(tuned, runs=tuned.runs / "alone", output=tuned.output / "alone")
    run_quality(alone)
    distribute(load_inputs(tuned), partial(row_folder, tuned))
    monkeypatch.setattr(cells, "_compute", None)
    run_quality(tuned)
    assert (tuned.output / "results.json").read_bytes() == (alone.output / "results.json").read_bytes()
    distribute(load_inputs(tuned), partial(row_folder, tuned))  # nothing is left


def test_equal_mergers_are_trained_once_and_at_the_seeds_that_are_asked_for(config: QualityConfig) -> None:
    source = "configs/train/embedded_constant.yaml"
    rows = [RowConfig(name, "trained", source, training_seeds=(0, 1)) for name in ("one", "the same")]
    rows += [RowConfig("another", "trained", source, {"pairs": 1}), RowConfig("direct", "merger", "direct")]
    inputs = load_inputs(replace(config, methods=rows, trainings=config.runs))
    asked = [CellGroup(row.name, None, seed) for row in rows for seed in row.training_seeds]
    found = list(_trainings(inputs, asked))
    assert found == [CellGroup("one", None, 0), CellGroup("one", None, 1), CellGroup("another", None, 0)]
    assert list(_trainings(inputs, asked[1:2])) == [found[1]]
    trained = inputs.rows[0].own.settings
    assert isinstance(trained, TrainedSettings)
    config.runs.mkdir()
    trained_file(inputs, trained, 1).touch()
    assert list(_trainings(inputs, asked)) == [found[0], found[2]]


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
