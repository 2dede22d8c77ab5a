"""Distribution: trainings and cells that are missing, computed by the workers of an engine before they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lorarar.benchmark.quality.builders import build_method, trained_file
from lorarar.benchmark.quality.cells import missing_groups, run_cells
from lorarar.benchmark.quality.config import QualityConfig
from lorarar.benchmark.quality.inputs import QualityInputs, load_inputs
from lorarar.benchmark.quality.rows import TableRow, Variant
from lorarar.benchmark.quality.settings import TrainedSettings
from lorarar.benchmark.quality.tuning import tune
from lorarar.datasets import Pair
from lorarar.storage.units import UnitWork, run_units


@dataclass(frozen=True)
class CellGroup:
    """A group of cells that are computed together, or a training.

    Attributes:
        row: Name of the row.
        trial: Number of the row's settings among those that are tried; None for its own.
        seed: Seed of a trained merger.
        tuning: Whether the pairs are those that serve the choice of settings.
        start: Number of the first pair; None for the training alone.
    """

    row: str
    trial: int | None
    seed: int
    tuning: bool = False
    start: int | None = None

    def __str__(self) -> str:
        parts = [self.row, "" if self.trial is None else f"trial {self.trial}", f"seed {self.seed}"]
        parts.append("training" if self.start is None else f"pairs from {self.start}")
        return ", ".join(part for part in parts if part) + (" (tuning)" if self.tuning else "")


def distribute(inputs: QualityInputs, folder: Callable[[TableRow, int], Path]) -> None:
    """Compute what is missing by the engine of the configuration: the trials, then the cells of the table.

    Mergers are trained before what they merge; with settings that are not chosen, at the first training seed alone.

    Args:
        inputs: The inputs.
        folder: Function of a row and a training seed that returns the folder of its images.

    Raises:
        Exception: That of the first unit that failed, once the others are done.
    """
    trials = [CellGroup(r.name, n, r.training_seeds[0], tuning=True) for r in inputs.rows for n in range(len(r.trials))]
    _run(inputs, folder, "train mergers to choose from", "mergers", _trainings(inputs, trials))
    _run(inputs, folder, "choose settings", "groups of pairs", _missing(inputs, folder, trials))
    chosen = [CellGroup(r.name, _chosen(inputs, r), seed) for r in inputs.rows for seed in r.training_seeds]
    _run(inputs, folder, "train mergers", "mergers", _trainings(inputs, chosen))
    _run(inputs, folder, "merge and sample", "groups of pairs", _missing(inputs, folder, chosen))


def _run(
    inputs: QualityInputs, folder: Callable[[TableRow, int], Path], stage: str, unit: str, groups: Iterable[CellGroup]
) -> None:
    config, work = inputs.config, UnitWork(stage, unit, partial(_open_cells, inputs.config, folder))
    units = {str(group): group for group in groups}
    errors = [result.error for result in run_units(work, units, engine=config.engine, workers=config.workers)]
    for error in filter(None, errors):
        raise error


def _open_cells(config: QualityConfig, folder: Callable[[TableRow, int], Path]) -> Callable[[CellGroup], None]:
    """Load the inputs; return the function that computes a group."""
    inputs = load_inputs(config)

    def compute(group: CellGroup) -> None:
        variant, pairs, seeds, images = _place(inputs, folder, group)
        method = build_method(inputs, variant.settings, group.seed)
        if group.start is not None:
            part = pairs[group.start : group.start + config.group]
            run_cells(inputs, method, part, seeds, folder=images)

    return compute


def _place(
    inputs: QualityInputs, folder: Callable[[TableRow, int], Path], group: CellGroup
) -> tuple[Variant, Sequence[Pair], Sequence[int], Path | None]:
    """Return the settings, the pairs, the noise seeds and the folder of the images of a group's method."""
    row, variant = _row_and_variant(inputs, group)
    if group.tuning:
        return variant, inputs.tuning_pairs(), inputs.config.tuned_seeds, None
    return variant, inputs.pairs(), inputs.config.seeds, folder(row, group.seed)


def _row_and_variant(inputs: QualityInputs, group: CellGroup) -> tuple[TableRow, Variant]:
    row = next(row for row in inputs.rows if row.name == group.row)
    return row, row.own if group.trial is None else row.trials[group.trial]


def _trainings(inputs: QualityInputs, methods: Iterable[CellGroup]) -> Iterator[CellGroup]:
    """Yield the methods whose merger is to be trained, each file once."""
    files = set[Path]()
    for method in methods:
        settings = _row_and_variant(inputs, method)[1].settings
        if not isinstance(settings, TrainedSettings):
            continue
        file = trained_file(inputs, settings, method.seed)
        if file not in files and not file.exists():
            files.add(file)
            yield method


def _missing(
    inputs: QualityInputs, folder: Callable[[TableRow, int], Path], methods: Iterable[CellGroup]
) -> Iterator[CellGroup]:
    """Yield the groups of pairs that have a missing cell."""
    for whole in methods:
        variant, pairs, seeds, images = _place(inputs, folder, whole)
        method = build_method(inputs, variant.settings, whole.seed)
        for start in missing_groups(inputs, method, pairs, seeds, folder=images):
            yield CellGroup(whole.row, whole.trial, whole.seed, whole.tuning, start)


def _chosen(inputs: QualityInputs, row: TableRow) -> int | None:
    """Return the number of the settings that are chosen from the trials, whose cells are there."""
    return row.trials.index(tune(inputs, row)[0]) if row.trials else None
