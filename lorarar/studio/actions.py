"""Actions: what the buttons do, without the page: inspect, preview, compare sizes, merge and verify, blind test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from safetensors import safe_open

from lorarar.diffusion import Sampling
from lorarar.formats import load_all, plan_file
from lorarar.formats.inspection import Report, inspect
from lorarar.lora import relative_error, torch_dtype
from lorarar.mergers import MERGERS, FileMerge, MergeSummary, combine, find_merger
from lorarar.storage import digest, track
from lorarar.studio.choices import SIZES, TOOLS, Choices, merge_command
from lorarar.studio.history import Result, add_result, free_name, new_result
from lorarar.workflows import (
    PreviewRequest,
    Recommendation,
    Verification,
    draw_preview,
    merge_to_file,
    recommend,
    verify_file,
)


@dataclass(frozen=True)
class Overview:
    """What the chosen files are.

    Attributes:
        reports: One for each file.
        recommendation: How to merge them; None where they do not go together, or one is alone.
        problem: Why they do not go together; "" where they do.
    """

    reports: tuple[Report, ...]
    recommendation: Recommendation | None = None
    problem: str = ""

    @property
    def prompt(self) -> str:
        """Trigger words of the files, joined to a prompt; "" where a file states none."""
        words = [report.triggers[0] for report in self.reports if report.triggers]
        return " in ".join(words) if len(words) == len(self.reports) else ""


@dataclass(frozen=True)
class Saved:
    """A merge that was written and read again.

    Attributes:
        result: The file and how it was made.
        summary: What the merge did.
        verification: What the file holds.
        tool: The tool that it is for, as the verification names it.
    """

    result: Result
    summary: MergeSummary
    verification: Verification
    tool: str


@dataclass(frozen=True)
class SizeRow:
    """A size of the result: its name, bytes of the file and relative error of the truncation."""

    name: str
    bytes: int
    error: float


def look(files: Sequence[str]) -> tuple[Report, ...]:
    """Return the report on each file; a file that has not changed is read once."""
    return tuple(_report(file, _state(file)) for file in files)


def recommend_for(files: Sequence[str], reports: tuple[Report, ...]) -> Overview:
    """Return the overview with the recommendation for two or more files.

    Args:
        files: The files, in order.
        reports: Their reports.
    """
    if len(files) < 2:
        return Overview(reports)
    try:
        return Overview(reports, _recommendation(tuple(files), tuple(map(_state, files))))
    except ValueError as error:
        return Overview(reports, problem=str(error))


def with_needs(choices: Choices, reports: Sequence[Report]) -> Choices:
    """Return the choices, with the base for files whose deltas depend on it (DoRA, IA3, OFT, GLoRA)."""
    return replace(choices, files_need_base=any("`base`" in text for report in reports for text in report.warnings))


def preview(
    files: Sequence[str],
    choices: Choices,
    output: Path,
    *,
    prompt: str,
    seeds: Sequence[int],
    methods: Sequence[str],
    columns: Sequence[Sequence[float]],
    sampling: Sampling,
) -> Path:
    """Draw the sheet: each LoRA alone, the merge as it is chosen and other methods, by weights, at fixed seeds.

    Args:
        files: The files, in order.
        choices: What the page holds.
        output: Folder of the sheets.
        prompt: Prompt of all images; "" joins the trigger words.
        seeds: Seeds of each cell.
        methods: Further methods.
        columns: Weights of each column; none takes the preview's own.
        sampling: Steps and guidance.

    Raises:
        As `lorarar.workflows.draw_preview`.
    """
    chosen = choices.request()
    methods = [name for name in methods if name != chosen.merger and not find_merger(name).needs]
    request = PreviewRequest(
        base=choices.base,
        mergers=tuple(methods),
        weights=[tuple(column) for column in columns],
        prompt=prompt or None,
        seeds=tuple(seeds),
        sampling=sampling,
        chosen=None if chosen.optimises else chosen,
    )
    sheet = output / f"{digest([list(files), str(request)])[:16]}.png"
    draw_preview(files, sheet, request, force=True)
    return sheet


def compare_sizes(files: Sequence[str], choices: Choices, folder: Path) -> list[SizeRow]:
    """Return the size and the error of each way to write the merge.

    Args:
        files: The files, in order.
        choices: What the page holds.
        folder: Folder of the results.

    Raises:
        ValueError: The method computes on a base model, so that its size is known after the merge alone.
    """
    job = choices.job(files, free_name(folder, choices.name))
    if job.request.optimises:
        raise ValueError("expected a method that needs the files alone, found one that computes on a base: merge first")
    loras, rows = load_all(job.files, job.request.weights_base), []
    for name, part in track(SIZES.items(), "compare sizes", unit="sizes"):
        merged = combine(loras, replace(job.request, rank=part.get("rank"), energy=part.get("energy")))
        plan = plan_file(merged.lora, job.output, format=job.format, dtype=torch_dtype(job.dtype))
        rows.append(SizeRow(name, plan.bytes, relative_error(merged.losses.values()) if merged.losses else 0.0))
    return rows


def merge_and_verify(files: Sequence[str], choices: Choices, folder: Path) -> Saved:
    """Merge, write, read again, and note the result in the history.

    Args:
        files: The files, in order.
        choices: What the page holds.
        folder: Folder of the results.

    Raises:
        As `lorarar.workflows.merge_to_file`.
    """
    job = choices.job(files, free_name(folder, choices.name))
    summary = merge_to_file(job)
    method = MERGERS[summary["method"]["name"]]
    request = None if method.learned or method.on_base else job.request
    verification = verify_file(summary["files"][0], job.files, request, base=job.request.weights_base)
    result = new_result(files, choices, merge_command(job), summary)
    add_result(folder, result)
    return Saved(result, summary, verification, TOOLS[choices.tool][1])


def describe_job(files: Sequence[str], choices: Choices, folder: Path) -> str:
    """Return the command line that makes the same merge.

    Raises:
        ValueError: A choice is not complete.
    """
    job: FileMerge = choices.job(files, free_name(folder, choices.name))
    job.request.check()
    return merge_command(job)


def concept_name(file: str) -> str:
    """Return the concept that the header of a file names, else the name of the file."""
    if Path(file).is_file():
        with safe_open(file, "pt") as opened:
            return (opened.metadata() or {}).get("concept") or Path(file).stem
    return Path(file).name


def _state(file: str) -> tuple[int, int]:
    """Return what changes when a file does; a hub id is taken not to change."""
    found = os.stat(file) if os.path.exists(file) else None
    return (found.st_mtime_ns, found.st_size) if found else (0, 0)


@lru_cache(64)
def _report(file: str, state: tuple[int, int]) -> Report:
    return inspect(file)


@lru_cache(16)
def _recommendation(files: tuple[str, ...], states: tuple[tuple[int, int], ...]) -> Recommendation:
    return recommend(files)
