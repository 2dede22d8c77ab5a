"""Run: sample and score the answers of every method, cell by cell, with resume, results and a sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from lorarar.analogies import Analogies
from lorarar.benchmark.analogies.methods import AnswerMethod, basis_method, comparisons
from lorarar.benchmark.analogies.results import Cell, compare_answers, summarise_answers
from lorarar.benchmark.analogies.scoring import score_answers
from lorarar.benchmark.analogies.settings import AnswersConfig, TestPart
from lorarar.datasets import contact_sheet
from lorarar.diffusion import load_backbone
from lorarar.storage import cached_path, check_present, stated, track, write_json
from lorarar.worlds.stages import WorldClassifier, load_classifier
from lorarar.worlds.toy import Analogy, check_splits, draw_analogies, plan_analogies, transformations_of

_SHEET = 12  # analogies


def plan_answers(config: AnswersConfig) -> str:
    """Return how many images a run samples."""
    analogies = sum(len(planned(config, part)) for part in config.parts)
    methods = len(config.bases) + 2  # and the base alone and by words; copies are not sampled
    return f"{methods} methods x {analogies} analogies = {methods * analogies} images of {config.sampling.steps} steps"


def planned(config: AnswersConfig, part: TestPart) -> list[Analogy]:
    """Return the analogies of a part: as many of each transformation."""
    return plan_analogies(part, config.images * len(transformations_of(part)), config.seed)


def run_answers(config: AnswersConfig) -> Path:
    """Measure every method on every part; write `output/results.json` and `output/sheet.png`.

    Finished cells, a method on a part, are kept in `output/cells`.

    Raises:
        FileNotFoundError: The base, or the file of a basis, does not exist.
        FormatError: A file is not a basis.
        ValueError: A basis belongs to another base, or held-out transformations can be met in training.
    """
    check_splits()
    check_present(list(config.bases.values()))
    classifier = load_classifier(config.classifier)
    backbone = load_backbone(config.base)
    analogies = {name: Analogies.on(backbone, path) for name, path in config.bases.items()}
    methods = comparisons(backbone, config)
    methods += [basis_method(name, config.bases[name], loaded, config) for name, loaded in analogies.items()]
    results: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for part in config.parts:
        examples = planned(config, part)
        cells = {method.name: _cell(method, part, examples, classifier, config) for method in methods}
        results[part] = {name: summarise_answers(cell) for name, cell in cells.items()}
        for name, cell in cells.items():
            if name != config.reference and config.reference in cells:
                results[part][name]["minus reference"] = compare_answers(cell, cells[config.reference])
    write_json(config.output / "results.json", {"settings": _settings(config), "parts": results})
    if config.reference in analogies:
        draw_sheet(next(m for m in methods if m.name == config.reference), classifier, config)
    return config.output / "results.json"


def _settings(config: AnswersConfig) -> object:
    return json.loads(json.dumps(stated(config), default=str))


def _cell(
    method: AnswerMethod,
    part: TestPart,
    examples: Sequence[Analogy],
    classifier: WorldClassifier,
    config: AnswersConfig,
) -> Cell:
    """Return a method's scores on a part: those of each image by the name of its transformation."""
    identity = {
        "method": [method.name, method.identity],
        "analogies": [analogy.transformation.name + str(analogy[1:]) for analogy in examples],
        "seed": config.seed,
        "sampling": stated(config.sampling),
    }
    path = cached_path(config.output / "cells", identity, ".json")
    if path.is_file():
        kept: Cell = json.loads(path.read_text(encoding="utf-8"))
        return kept
    known = [analogy for analogy in examples if method.knows(analogy.transformation.name)]
    cell: Cell = {}
    starts = range(0, len(known), config.batch)
    for start in track(starts, f"{method.name} on {part}"):
        some = known[start : start + config.batch]
        scores = score_answers(classifier, answered(method, some), some)
        for i, analogy in enumerate(some):
            row = [float(values[i]) for values in (scores.accuracy, scores.preservation, scores.exact)]
            cell.setdefault(analogy.transformation.name, []).append(row)
    write_json(path, cell)
    return cell


def answered(method: AnswerMethod, analogies: Sequence[Analogy]) -> Tensor:
    """Return a method's answers, (n, 3, 32, 32), 0 to 1."""
    return method.answer(draw_analogies(analogies).float() / 127.5 - 1, analogies)


def draw_sheet(method: AnswerMethod, classifier: WorldClassifier, config: AnswersConfig) -> None:
    """Draw twelve analogies with a method's answers and the truth, none chosen by its answer.

    The first of each held-out type comes first, then those of compositions.
    """
    types = plan_analogies("types", len(transformations_of("types")), config.seed)
    some = [*types, *plan_analogies("compositions", _SHEET - len(types), config.seed)]
    images = draw_analogies(some).float() / 255
    answers = answered(method, some)
    cells = [[*images[i, :3], answers[i], images[i, 3]] for i in range(_SHEET)]
    contact_sheet(
        cells,
        config.output / "sheet.png",
        columns=("a", "a'", "b", "answer", "truth"),
        rows=[analogy.transformation.name for analogy in some],
        cell=64,
    )
