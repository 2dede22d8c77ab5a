"""Run folder: the plan of a judging run, locked with hashes, and the identity of its judge."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lorarar.datasets import (
    LONGEST_SIDE,
    Axis,
    Item,
    ReferenceConcept,
    References,
    check_items,
    fingerprint,
    list_changed,
    load_references,
    lock_items,
    read_manifest,
    write_manifest,
)
from lorarar.evaluation.judge.ask.planning import Gallery
from lorarar.evaluation.judge.ask.reply_log import log_files
from lorarar.evaluation.judge.ask.rubrics.rubric import Rubric, load_rubric
from lorarar.storage import renamed_settings, write_json

MANIFEST, PLAN, LOG, VERDICTS = "manifest.jsonl", "plan.json", "log.jsonl", "verdicts.jsonl"
CALIBRATION, CASES, BACKEND, PERTURBATIONS = "calibration.json", "calibration", "backend.json", "perturbations"


@dataclass(frozen=True)
class Setup:
    """The plan of a run.

    Attributes:
        images: The items' paths are relative to this folder.
        swapped: Also ask with the test image first.
        repeats: How often each question is asked.
        cases: The largest number of calibration cases of a kind and axis.
        perturbations: The number of items that are also asked about under perturbations, see
            `lorarar.evaluation.judge.ask.perturbations`.
        gallery: The hashes of the items' and references' pixels, once they are locked.
    """

    images: Path
    items: tuple[Item, ...]
    references: References
    rubric: Rubric
    swapped: bool = False
    repeats: int = 1
    cases: int = 16
    perturbations: int = 0
    gallery: Gallery = field(default_factory=Gallery, compare=False)

    def concepts(self) -> dict[tuple[Axis, str], ReferenceConcept]:
        """Return the concepts that the items name: contents first, each axis sorted by name."""
        named: set[tuple[Axis, str]] = {("content", item.content) for item in self.items}
        named |= {("style", item.style) for item in self.items}
        return {key: self.references.concepts[key] for key in sorted(named)}


def write_setup(run: Path, setup: Setup, *, references: Path, rubric: str) -> Setup:
    """Check a set-up, lock it with hashes and write the folder.

    A plan without replies is replaced. A folder with replies keeps its plan, which must be the same.

    Args:
        references: The file of the references.
        rubric: The name or path from which the rubric was loaded.

    Returns:
        The set-up with the hashes of the items.

    Raises:
        ValueError: The items or references are refused, or the folder holds replies to another plan.
    """
    check_items(setup.items, setup.references)
    _check_references(setup)
    locked, hashes = replace(setup, items=tuple(lock_items(setup.items, setup.images))), _hashes(setup)
    settings = {
        "images": _relative(setup.images, run),
        "references": _relative(references, run),
        "reference_root": _relative(setup.references.root, run),
        "rubric": _relative(Path(rubric), run) if rubric.endswith((".yaml", ".yml")) else rubric,
        "rubric_sha256": setup.rubric.sha256,
        "swapped": setup.swapped,
        "repeats": setup.repeats,
        "cases": setup.cases,
        "perturbations": setup.perturbations,
        "reference_sha256": hashes,
    }
    if log_files(run / LOG):
        _check_same_plan(run, locked, settings)
        return locked
    run.mkdir(parents=True, exist_ok=True)
    for folder in (CASES, PERTURBATIONS):  # images that were drawn for an earlier plan
        shutil.rmtree(run / folder, ignore_errors=True)
    write_manifest(run / MANIFEST, locked.items)
    shown = {"longest_side": LONGEST_SIDE, "images": _decode_all(locked, hashes)}
    write_json(run / PLAN, {**settings, "manifest_sha256": fingerprint(run, MANIFEST), "shown": shown})
    return locked


def read_setup(run: Path) -> Setup:
    """Read a planned folder.

    Raises:
        FileNotFoundError: The folder has no plan, or a file is missing.
        ValueError: An image, a reference, the manifest or the rubric has changed since the plan.
    """
    if not (run / PLAN).is_file():
        raise FileNotFoundError(f"expected a planned folder at {run}, found no {PLAN} in it: run `lorarar judge plan`")
    plan = renamed_settings(json.loads((run / PLAN).read_text(encoding="utf-8")), "JudgePlan")
    items, images = read_manifest(run / MANIFEST), run / plan["images"]
    references = load_references(run / plan["references"], root=run / plan["reference_root"])
    name = plan["rubric"]
    rubric = load_rubric(str(run / name) if name.endswith((".yaml", ".yml")) else name)
    check_items(items, references)
    gallery = Gallery()
    if plan["shown"]["longest_side"] == LONGEST_SIDE:
        gallery.recorded = {sha256: (entry[0], entry[1], entry[2]) for sha256, entry in plan["shown"]["images"].items()}
    numbers = {name: plan[name] for name in ("swapped", "repeats", "cases", "perturbations")}
    setup = Setup(images, tuple(items), references, rubric, **numbers, gallery=gallery)
    _check_unchanged(run, setup, plan)
    _decode_all(setup, plan["reference_sha256"])
    return setup


def read_backend(run: Path) -> dict[str, Any] | None:
    """Read the name and identity of the judge that answered; None before the first run."""
    path = run / BACKEND
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_backend(run: Path, name: str, identity: Mapping[str, Any]) -> None:
    """Write the name and identity of the judge.

    Raises:
        ValueError: Another judge answered in this folder before.
    """
    previous = read_backend(run)
    if previous is not None and previous["identity"] != json.loads(json.dumps(dict(identity))):
        raise ValueError(
            f"expected the judge that answered in {run} before, {previous['identity']}, found {dict(identity)}: plan "
            "another folder for another judge"
        )
    write_json(run / BACKEND, {"name": name, "identity": dict(identity)})


def _check_same_plan(run: Path, setup: Setup, settings: Mapping[str, Any]) -> None:
    """Refuse a plan that differs from that of a folder with replies."""
    text = (run / PLAN).read_text(encoding="utf-8") if (run / PLAN).is_file() else "{}"
    earlier = renamed_settings(json.loads(text), "JudgePlan")
    differing = [name for name, value in settings.items() if earlier.get(name) != value]
    if not (run / MANIFEST).is_file() or read_manifest(run / MANIFEST) != list(setup.items):
        differing.append("manifest")
    if differing:
        raise ValueError(
            f"expected a folder without replies, {run} holds replies to another plan, which differs in "
            f"{', '.join(differing)}: choose another folder, or delete {run / LOG}"
        )


def _check_unchanged(run: Path, setup: Setup, plan: Mapping[str, Any]) -> None:
    hashes, locked = _hashes(setup), plan["reference_sha256"]
    faults = [f"{path} (image)" for path in list_changed(setup.items, setup.images)]
    faults += [f"{path} (reference)" for path in sorted({*hashes, *locked}) if hashes.get(path) != locked.get(path)]
    if fingerprint(run, MANIFEST) != plan["manifest_sha256"]:
        faults.append(MANIFEST)
    if setup.rubric.sha256 != plan["rubric_sha256"]:
        faults.append(f"rubric {setup.rubric.id}")
    if faults:
        raise ValueError(
            f"expected everything as it was planned in {run}, found {len(faults)} changed, first {faults[:5]}: restore "
            "it, or plan again in another folder"
        )


def _check_references(setup: Setup) -> None:
    refused = []
    for concept in setup.concepts().values():
        for path in concept.images:
            image = setup.gallery.show(setup.references.root, path)
            if image.reason:
                refused.append(f"{path}: {image.reason}")
    if refused:
        raise ValueError(f"expected readable reference images, found {len(refused)} refused, first {refused[:3]}")


def _decode_all(setup: Setup, hashes: Mapping[str, str]) -> dict[str, tuple[str, int, int]]:
    """Decode all items and references into the gallery.

    Args:
        hashes: SHA-256 of the references' files, by path.

    Returns:
        For the SHA-256 of each readable file the hash of its pixels, its width and its height.
    """
    files = [(setup.images, item.path, item.sha256) for item in setup.items]
    files += [(setup.references.root, path, sha256) for path, sha256 in hashes.items()]
    images = {sha256: setup.gallery.show(root, path, sha256) for root, path, sha256 in files}
    return {sha256: (image.pixels, *image.size) for sha256, image in sorted(images.items()) if not image.reason}


def _hashes(setup: Setup) -> dict[str, str]:
    paths = sorted({path for concept in setup.concepts().values() for path in concept.images})
    return {path: fingerprint(setup.references.root, path) for path in paths}


def _relative(path: Path, run: Path) -> str:
    return Path(os.path.relpath(path.absolute(), run.absolute())).as_posix()
