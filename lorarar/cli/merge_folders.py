"""Merge of two folders: the plan of all pairs, then the pairs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lorarar.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from lorarar.mergers import FileMerge
    from lorarar.storage.units import Engine, Workers


def merge_folders(
    contents: Path,
    styles: Path,
    job: FileMerge,
    context: typer.Context,
    engine: Engine,
    workers: Workers,
    *,
    plan_only: bool,
    as_json: bool,
) -> None:
    """Print the plan of all pairs, then merge them; failed pairs make the command fail."""
    from lorarar.cli.errors import with_flags
    from lorarar.storage import say
    from lorarar.workflows import merge_all_pairs, plan_all_pairs

    plan = plan_all_pairs(contents, styles, job)
    if plan_only:
        print(json.dumps(plan._asdict(), indent=1) if as_json else plan.text())
        return
    say(plan.text())
    result = merge_all_pairs(contents, styles, job, engine=engine, workers=workers)
    print(json.dumps(asdict(result), indent=1, default=str) if as_json else with_flags(result.text(), context.command))
    if result.failed:
        raise typer.Exit(ExitCode.FAILED)
