"""The rows' images before a judge: one more scorer, the only one where no reader is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lorarar.benchmark.judged import judge_planned
from lorarar.benchmark.quality.world import World
from lorarar.datasets import Item, read_entries, read_split_tables, write_manifest
from lorarar.evaluation.judge import plan_run
from lorarar.storage import write_text


def judge_rows(world: World, folders: Mapping[str, Path], backend: str) -> dict[str, Any]:
    """Judge every row's images and write the judge's report to ``<runs>/judge``; replies of earlier runs are kept.

    Args:
        folders: row -> the folder of its images, all below ``<runs>/images``.

    Returns:
        `lorarar.benchmark.judged.judge_methods`'s record.
    """
    config, run = world.config, world.config.runs / "judge"
    shutil.rmtree(run, ignore_errors=True)  # a plan with other rows takes a folder without replies
    manifest, references = config.runs / "judged.jsonl", config.runs / "references.yaml"
    write_manifest(manifest, _items(world, folders))
    _write_references(world, references)
    plan_run(
        run, config.runs / "images", references, manifest=manifest, reference_root=config.images, splits=config.split
    )
    return judge_planned(run, backend, cache=config.runs / "judge_replies")


def _items(world: World, folders: Mapping[str, Path]) -> list[Item]:
    root, found = world.config.runs / "images", []
    for name, folder in folders.items():
        for pair in world.pairs():
            for seed in world.config.seeds:
                path = (folder / pair.name / f"{seed}.png").relative_to(root).as_posix()
                key = f"{name}/{pair.name}/{seed}"
                found.append(Item(key, path, name, pair.content.name, pair.style.name, seed, pair.prompt))
    return found


def _write_references(world: World, path: Path) -> None:
    """All manifests and the splits in one file, as the judge reads them."""
    concepts = [entry for file in world.config.manifests for entry in read_entries(file)]
    splits = read_split_tables(world.config.splits)
    write_text(path, yaml.safe_dump({"concepts": concepts, "splits": splits}))
