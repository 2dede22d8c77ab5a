"""The folder of one judging run: what was planned, locked with hashes, and who answers."""

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
    changed,
    check_items,
    fingerprint,
    load_references,
    lock,
    read_manifest,
    write_manifest,
)
from lorarar.evaluation.judge.ask.planning import Gallery
from lorarar.evaluation.judge.ask.rubrics.rubric import Rubric, load_rubric
from lorarar.storage import write_json

MANIFEST, PLAN, LOG, VERDICTS = "manifest.jsonl", "plan.json", "log.jsonl", "verdicts.jsonl"
CALIBRATION, CASES, BACKEND, PERTURBATIONS = "calibration.json", "calibration", "backend.json", "perturbations"


@dataclass(frozen=True)
class Setup:
    """What a run judges, and how.

    Attributes:
        images: the items' paths are relative to this folder.
        rubric: id of a shipped rubric, or the path of one's own.
        swapped: also ask with the test image shown first; repeats: how often each question is asked.
        cases: calibration cases of a kind and axis.
        perturbations: about how many items is also asked in other ways, see `lorarar.evaluation.judge.ask.perturbations`.
        gallery: has the pixels' hashes of items and references, once they are locked.
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
        """The concepts that the items name: contents first, each axis sorted by name."""
        wanted: set[tuple[Axis, str]] = {("content", item.content) for item in self.items}
        wanted |= {("style", item.style) for item in self.items}
        return {key: self.references.concepts[key] for key in sorted(wanted)}


def write_setup(run: Path, setup: Setup, *, references: Path, rubric: str) -> Setup:
    """Checks everything, locks it and writes the folder; a plan that is there is replaced unless it was asked about.

    Args:
        references: the file that the references were read from; rubric: the name it was loaded by.

    Returns:
        The set-up with the hashes of the items.

    Raises:
        ValueError: the items or references are refused, or the folder holds replies already.
    """
    if (run / LOG).exists():
        raise ValueError(f"{run} holds replies to another plan: choose another folder, or delete {run / LOG}")
    check_items(setup.items, setup.references)
    _check_references(setup)
    locked, hashes = replace(setup, items=tuple(lock(setup.items, setup.images))), _hashes(setup)
    run.mkdir(parents=True, exist_ok=True)
    for drawn in (CASES, PERTURBATIONS):  # for the images and references of an earlier plan
        shutil.rmtree(run / drawn, ignore_errors=True)
    write_manifest(run / MANIFEST, locked.items)
    plan = {
        "images": _relative(setup.images, run),
        "references": _relative(references, run),
        "reference_root": _relative(setup.references.root, run),
        "rubric": _relative(Path(rubric), run) if rubric.endswith((".yaml", ".yml")) else rubric,
        "rubric_sha256": setup.rubric.sha256,
        "swapped": setup.swapped,
        "repeats": setup.repeats,
        "cases": setup.cases,
        "perturbations": setup.perturbations,
        "manifest_sha256": fingerprint(run, MANIFEST),
        "reference_sha256": hashes,
        "shown": {"longest_side": LONGEST_SIDE, "images": _shown(locked, hashes)},
    }
    write_json(run / PLAN, plan)
    return locked


def read_setup(run: Path) -> Setup:
    """Reads a planned folder.

    Raises:
        FileNotFoundError: nothing was planned there, or a file has gone.
        ValueError: a file of the manifest or a reference, the manifest or the rubric was changed since.
    """
    if not (run / PLAN).is_file():
        raise FileNotFoundError(f"expected a planned folder at {run}, found no {PLAN} in it: run `lorarar judge plan`")
    plan = json.loads((run / PLAN).read_text(encoding="utf-8"))
    items, images = read_manifest(run / MANIFEST), run / plan["images"]
    references = load_references(run / plan["references"], root=run / plan["reference_root"])
    name = plan["rubric"]
    rubric = load_rubric(str(run / name) if name.endswith((".yaml", ".yml")) else name)
    check_items(items, references)
    gallery = Gallery()
    if plan["shown"]["longest_side"] == LONGEST_SIDE:
        gallery.known = {sha256: (found[0], found[1], found[2]) for sha256, found in plan["shown"]["images"].items()}
    numbers = {name: plan[name] for name in ("swapped", "repeats", "cases", "perturbations")}
    setup = Setup(images, tuple(items), references, rubric, **numbers, gallery=gallery)
    _check_unchanged(run, setup, plan)
    _shown(setup, plan["reference_sha256"])
    return setup


def read_backend(run: Path) -> dict[str, Any] | None:
    """Who answered so far: name, identity and what was found out about a server; None before the first run."""
    path = run / BACKEND
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_backend(run: Path, name: str, identity: Mapping[str, Any]) -> None:
    """Writes down who answers.

    Raises:
        ValueError: somebody else answered before; one folder holds the verdicts of one judge.
    """
    known = read_backend(run)
    if known is not None and known["identity"] != json.loads(json.dumps(dict(identity))):
        raise ValueError(
            f"expected the judge that answered in {run} before, {known['identity']}, found {dict(identity)}: plan "
            "another folder for another judge"
        )
    write_json(run / BACKEND, {"name": name, "identity": dict(identity)})


def _check_unchanged(run: Path, setup: Setup, plan: Mapping[str, Any]) -> None:
    hashes, locked = _hashes(setup), plan["reference_sha256"]
    faults = [f"{path} (image)" for path in changed(setup.items, setup.images)]
    faults += [f"{path} (reference)" for path in sorted({*hashes, *locked}) if hashes.get(path) != locked.get(path)]
    if fingerprint(run, MANIFEST) != plan["manifest_sha256"]:
        faults.append(MANIFEST)
    if setup.rubric.sha256 != plan["rubric_sha256"]:
        faults.append(f"rubric {setup.rubric.id}")
    if faults:
        raise ValueError(
            f"expected everything as it was planned in {run}, found {len(faults)} changed, first {faults[:5]}: put it "
            "back, or plan anew in another folder"
        )


def _check_references(setup: Setup) -> None:
    bad = [
        f"{path}: {shown.reason}"
        for concept in setup.concepts().values()
        for path in concept.images
        if (shown := setup.gallery.show(setup.references.root, path)).reason
    ]
    if bad:
        raise ValueError(f"expected readable reference images, found {len(bad)} that are refused, first {bad[:3]}")


def _shown(setup: Setup, hashes: Mapping[str, str]) -> dict[str, tuple[str, int, int]]:
    """Fills the gallery with all items and references; hash of the pixels, width and height by the file's SHA-256."""
    files = [(setup.images, item.path, item.sha256) for item in setup.items]
    files += [(setup.references.root, path, sha256) for path, sha256 in hashes.items()]
    shown = {sha256: setup.gallery.show(root, path, sha256) for root, path, sha256 in files}
    return {sha256: (found.pixels, *found.size) for sha256, found in sorted(shown.items()) if not found.reason}


def _hashes(setup: Setup) -> dict[str, str]:
    paths = sorted({path for concept in setup.concepts().values() for path in concept.images})
    return {path: fingerprint(setup.references.root, path) for path in paths}


def _relative(path: Path, run: Path) -> str:
    return Path(os.path.relpath(path.absolute(), run.absolute())).as_posix()
