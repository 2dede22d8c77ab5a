"""Every merger on the pairs of a split, by the images that it makes: `lorarar benchmark quality`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lorarar.benchmark.quality.cells import run_cells
from lorarar.benchmark.quality.config import MethodConfig, QualityConfig, check
from lorarar.benchmark.quality.drawing import diagonal, draw_contact_sheet, draw_pareto
from lorarar.benchmark.quality.judging import judge_rows
from lorarar.benchmark.quality.plan import plan
from lorarar.benchmark.quality.results import Row, summarise, summarise_judged, summarise_times
from lorarar.benchmark.quality.rows import build
from lorarar.benchmark.quality.table import results_table
from lorarar.benchmark.quality.tuning import choose
from lorarar.benchmark.quality.world import World, load_world
from lorarar.storage import claim_run, write_text

__all__ = ["QualityConfig", "plan_quality", "run_quality"]


def plan_quality(config: QualityConfig) -> str:
    """What a run will take, in words.

    Raises:
        ConfigError, ArtefactError, ValueError: as `run_quality`.
    """
    check(config)
    return plan(load_world(config))


def run_quality(config: QualityConfig) -> str:
    """Tune, merge, generate and score every row; write results.json, times.json, table.md and the pictures.

    What was made before is not made again: a run that was stopped goes on. Rows and the judge may change between runs,
    all else must stay as it was.

    Returns:
        The table.

    Raises:
        ArtefactError: a LoRA is missing, or an artefact differs from its card.
        ConfigError: the configuration cannot be used, or another one was run in the same folder.
        FloatingPointError: an optimisation diverged.
        ValueError: a concept is in two splits.
    """
    check(config)
    kept = {
        key: value
        for key, value in asdict(config).items()
        if key not in ("methods", "compared", "trainings", "device", "output", "judge")
    }
    claim_run(config.runs, kept)
    world = load_world(config)
    print(plan(world))
    with tqdm(total=len(config.methods), unit="row") as bar:
        rows = [_run_row(world, row, bar) for row in config.methods]
    return _write(world, rows)


def _run_row(world: World, row: MethodConfig, bar: Any) -> Row:
    bar.set_description(row.name)
    settings, trials = choose(world, row)
    cells = []
    for seed in row.training_seeds:
        method = build(world, row, settings, seed)
        folder = image_folder(world.config, row, seed)
        cells.append(run_cells(world, method, world.pairs(), world.config.seeds, folder=folder))
    bar.update()
    return Row(row, settings, trials, cells)


def image_folder(config: QualityConfig, row: MethodConfig, seed: int) -> Path:
    """Where a row's images of a training seed lie: the first seed's are those that are judged and drawn."""
    name = row.name.replace(" ", "_").replace("/", "_")
    return config.runs / ("images" if seed == row.training_seeds[0] else f"images_of_seed_{seed}") / name


def _write(world: World, rows: Sequence[Row]) -> str:
    config, pairs = world.config, world.pairs()
    times = summarise_times(rows)
    folders = {row.config.name: image_folder(config, row.config, row.config.training_seeds[0]) for row in rows}
    judged = judge_rows(world, folders, config.judge) if config.judge else {}
    found = summarise(rows, pairs, config.compared) if world.classifier else summarise_judged(rows, pairs, judged)
    record = {"split": config.pairs, "seeds": list(config.seeds), **found, "judge": judged}
    text = results_table(record, times)
    config.output.mkdir(parents=True, exist_ok=True)
    files = {
        "results.json": json.dumps(record) + "\n",
        "times.json": json.dumps(times, indent=1) + "\n",
        "table.md": text,
    }
    for name, content in files.items():
        write_text(config.output / name, content)
    draw_pareto(record, times, config.output / "pareto.png")
    draw_contact_sheet(world, folders, diagonal(pairs), config.output / "contact_sheet.png")
    return text
