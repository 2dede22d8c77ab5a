"""Judging of the rows' images: a judge scores them, beside the classifier or alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from lorarar.benchmark.judged import JudgeRecord, judge_planned
from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.datasets import Item, read_entries, read_split_tables, write_manifest
from lorarar.evaluation.judge import plan_run
from lorarar.storage import write_text


def judge_rows(inputs: QualityInputs, folders: Mapping[str, Path], backend: str) -> JudgeRecord:
    """Judge every row's images and write the judge's report to ``<runs>/judge``; replies of earlier runs are kept.

    Args:
        folders: row -> the folder of its images, all below ``<runs>/images``.
        backend: Name of the judge.
    """
    config, run = inputs.config, inputs.config.runs / "judge"
    shutil.rmtree(run, ignore_errors=True)  # a plan with other rows needs a folder without replies
    manifest, references = config.runs / "judged.jsonl", config.runs / "references.yaml"
    write_manifest(manifest, _items(inputs, folders))
    _write_references(inputs, references)
    plan_run(
        run, config.runs / "images", references, manifest=manifest, reference_root=config.images, splits=config.split
    )
    return judge_planned(run, backend, cache=config.runs / "judge_replies")


def _items(inputs: QualityInputs, folders: Mapping[str, Path]) -> list[Item]:
    root, items = inputs.config.runs / "images", []
    for name, folder in folders.items():
        for pair in inputs.pairs():
            for seed in inputs.config.seeds:
                path = (folder / pair.name / f"{seed}.png").relative_to(root).as_posix()
                key = f"{name}/{pair.name}/{seed}"
                items.append(Item(key, path, name, pair.content.name, pair.style.name, seed, pair.prompt))
    return items


def _write_references(inputs: QualityInputs, path: Path) -> None:
    """Write all manifests and the splits to one file, as the judge reads them."""
    concepts = [entry for file in inputs.config.manifests for entry in read_entries(file)]
    splits = read_split_tables(inputs.config.splits)
    write_text(path, yaml.safe_dump({"concepts": concepts, "splits": splits}))
