"""Run of the benchmark: every row on the pairs of a split, scored by its images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lorarar.benchmark.quality.builders import build_method, find_plugins
from lorarar.benchmark.quality.cells import run_cells
from lorarar.benchmark.quality.config import QualityConfig
from lorarar.benchmark.quality.distribution import distribute
from lorarar.benchmark.quality.drawing import diagonal, draw_contact_sheet, draw_pareto
from lorarar.benchmark.quality.inputs import QualityInputs, load_inputs
from lorarar.benchmark.quality.judging import judge_rows
from lorarar.benchmark.quality.plan import describe_plan
from lorarar.benchmark.quality.recipes import recipes_table, scores_by_recipe
from lorarar.benchmark.quality.results import RowOutcome, summarise_judged, summarise_scores, summarise_times
from lorarar.benchmark.quality.rows import TableRow, check_rows, read_rows
from lorarar.benchmark.quality.table import results_table
from lorarar.benchmark.quality.tuning import tune
from lorarar.mergers import MERGERS
from lorarar.storage import ConfigError, check_inputs, claim_run, plain, progress, write_json, write_text

# May change between runs in one folder.
_FREE = ("methods", "compared", "trainings", "device", "low_memory", "output", "judge", "pairs_every")


def plan_quality(config: QualityConfig) -> str:
    """Describe what a run takes; LoRAs that are not trained yet are counted.

    Raises:
        ConfigError, ArtefactError, ValueError: As `run_quality`.
    """
    check_inputs(config, ignored=("loras",))
    check_rows(read_rows(config))
    return describe_plan(load_inputs(config, complete=False))


def run_quality(config: QualityConfig) -> str:
    """Tune, merge, sample and score every row; write results.json, times.json, table.md and the pictures.

    Where LoRAs state their recipes, recipes.md has each row's joint score on each recipe. Existing results are not
    computed again: an interrupted run resumes. Rows and the judge may change between runs in one folder; everything
    else must stay the same.

    Returns:
        The table.

    Raises:
        ArtefactError: A LoRA is missing, or an artefact differs from its card.
        ConfigError: The configuration cannot be used, or the folder holds a run of another one.
        DivergenceError: An optimisation diverged.
        ValueError: A concept is in two splits.
    """
    check_inputs(config)
    check_rows(read_rows(config))  # a wrong row is refused before the folder is claimed
    claim_run(config.runs, config, ignored=_FREE)
    inputs = load_inputs(config)
    print(describe_plan(inputs))
    if config.engine != "local":
        distribute(inputs, partial(row_folder, config))
    outcomes = []
    with progress("compare mergers", len(inputs.rows), "rows") as advance:
        for row in inputs.rows:
            advance(0, note=row.name)
            outcomes.append(_run_row(inputs, row))
            advance()
    return _write(inputs, outcomes)


def _run_row(inputs: QualityInputs, row: TableRow) -> RowOutcome:
    try:
        chosen, trials = tune(inputs, row)
        cells = []
        for seed in row.training_seeds:
            method = build_method(inputs, chosen.settings, seed)
            folder = row_folder(inputs.config, row, seed)
            cells.append(run_cells(inputs, method, inputs.pairs(), inputs.config.seeds, folder=folder))
    except ValueError as error:
        raise ConfigError(f"{row.name}: {error}") from error
    return RowOutcome(row, chosen, trials, cells)


def row_folder(config: QualityConfig, row: TableRow, seed: int) -> Path:
    """Return the folder of a row's images of a training seed; those of the first seed are judged and drawn."""
    name = row.name.replace(" ", "_").replace("/", "_")
    return config.runs / ("images" if seed == row.training_seeds[0] else f"images_of_seed_{seed}") / name


def _write(inputs: QualityInputs, outcomes: Sequence[RowOutcome]) -> str:
    config, pairs, times = inputs.config, inputs.pairs(), summarise_times(outcomes)
    folders = {outcome.row.name: row_folder(config, outcome.row, outcome.row.training_seeds[0]) for outcome in outcomes}
    judged = judge_rows(inputs, folders, config.judge) if config.judge else None
    if inputs.classifier is None and judged:
        results = summarise_judged(outcomes, pairs, judged)
    else:
        results = summarise_scores(outcomes, pairs, config.compared, config.equivalence_margin)
    text = results_table(results, times, judged)
    record = {"split": config.pairs, "seeds": list(config.seeds), **plain(results), "judge": plain(judged or {})}
    by_recipe = scores_by_recipe(outcomes, pairs, inputs.recipes) if inputs.classifier else {}
    if by_recipe:
        record["by_recipe"] = plain(by_recipe)
    if plugins := _plugins(config, outcomes):
        record["plugins"] = plugins
    config.output.mkdir(parents=True, exist_ok=True)
    write_json(config.output / "results.json", record, indent=None)
    write_json(config.output / "times.json", times)
    write_text(config.output / "table.md", text)
    if by_recipe:
        write_text(config.output / "recipes.md", recipes_table(by_recipe))
    draw_pareto(results, times, config.output / "pareto.png")
    draw_contact_sheet(inputs, folders, diagonal(pairs), config.output / "contact_sheet.png")
    return text


def _plugins(config: QualityConfig, outcomes: Sequence[RowOutcome]) -> dict[str, str]:
    """Return the plugins that had a part in the table, each with its SHA-256."""
    plugins = MERGERS.plugins(row.source for row in config.methods)
    for outcome in outcomes:
        plugins |= find_plugins(outcome.chosen.settings)
    return plugins
