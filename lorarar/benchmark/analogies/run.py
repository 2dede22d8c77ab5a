"""Run: sample, judge and score the answers of every method, with resume, results and a sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorarar.analogies import Analogies
from lorarar.benchmark.analogies.judging import QUESTIONS, Votes, judge_answers
from lorarar.benchmark.analogies.methods import AnswerMethod, basis_method, combination_method, comparisons
from lorarar.benchmark.analogies.results import Cell, compare_answers, summarise_answers
from lorarar.benchmark.analogies.scoring import score_answers
from lorarar.benchmark.analogies.settings import AnswersConfig, TestPart
from lorarar.datasets import contact_sheet
from lorarar.diffusion import load_backbone
from lorarar.storage import atomic_write, cached_path, check_present, stated, track, write_json
from lorarar.worlds.stages import WorldClassifier, load_classifier
from lorarar.worlds.toy import Analogy, check_splits, draw_analogies, plan_analogies, transformations_of

_SHEET = 12  # analogies


def plan_answers(config: AnswersConfig) -> str:
    """Return how many images a run samples, and how many questions a judge is asked."""
    analogies = sum(len(planned(config, part)) for part in config.parts)
    methods = len(config.bases) + 2  # and the base alone and by words; copies are not sampled
    methods += config.combination is not None
    images = methods * analogies
    text = f"{methods} methods x {analogies} analogies = {images} images of {config.sampling.steps} steps"
    questions = len(QUESTIONS) * (images + 3 * analogies)  # about the truth and both copies too
    return text if config.judge is None else f"{text}; at most {questions} questions to the judge"


def planned(config: AnswersConfig, part: TestPart) -> list[Analogy]:
    """Return the analogies of a part: as many of each transformation."""
    return plan_analogies(part, config.images * len(transformations_of(part)), config.seed)


def run_answers(config: AnswersConfig) -> Path:
    """Measure every method on every part; write `output/results.json` and `output/sheet.png`.

    Answers, of a method to a part, are kept in `output/answers`, replies of a judge in `output/judge`.

    Raises:
        ConnectionError: The judge's server does not answer.
        FileNotFoundError: The base, or the file of a basis, does not exist.
        FormatError: A file is not a basis.
        ValueError: A basis belongs to another base, there is no basis to combine, held-out transformations can be met
            in training, or the judge cannot be used.
    """
    check_splits()
    check_present(list(config.bases.values()))
    classifier = load_classifier(config.classifier)
    methods = _methods(config)
    keys = [(part, method.name) for part in config.parts for method in methods.values()]
    known = {(part, name): _known(methods[name], planned(config, part)) for part, name in keys}
    answers = {(part, name): _answers(methods[name], known[part, name], config) for part, name in keys}
    facts: dict[str, Any] = {"settings": json.loads(json.dumps(stated(config), default=str))}
    votes: Votes = {}
    if config.judge is not None:
        shown: dict[tuple[str, str], Tensor] = {key: _with_answers(known[key], answers[key]) for key in keys}
        facts["judge"], votes = judge_answers(config.judge, shown, config.output / "judge")
    cells = {key: _cell(classifier, known[key], answers[key], votes.get(key)) for key in keys}
    parts: dict[str, dict[str, Any]] = {}
    for part, name in keys:
        row = parts.setdefault(part, {})[name] = summarise_answers(cells[part, name])
        if name != config.reference and config.reference in methods:
            row["minus reference"] = compare_answers(cells[part, name], cells[part, config.reference])
    write_json(config.output / "results.json", facts | {"parts": parts})
    if config.reference in config.bases:
        draw_sheet(methods[config.reference], config)
    return config.output / "results.json"


def _methods(config: AnswersConfig) -> dict[str, AnswerMethod]:
    """Return every method by the name of its row."""
    if config.combination not in (None, *config.bases):
        raise ValueError(
            f"expected combination to be a row of bases, {list(config.bases)}, found {config.combination!r}: name the "
            "row with one LoRA for each transformation, or null"
        )
    backbone = load_backbone(config.base)
    analogies = {name: Analogies.on(backbone, path) for name, path in config.bases.items()}
    methods = comparisons(backbone, config)
    methods += [basis_method(name, config.bases[name], loaded, config) for name, loaded in analogies.items()]
    if config.combination is not None:
        methods.append(combination_method(config.bases[config.combination], analogies[config.combination], config))
    return {method.name: method for method in methods}


def _known(method: AnswerMethod, analogies: Sequence[Analogy]) -> list[Analogy]:
    return [analogy for analogy in analogies if method.knows(analogy.transformation.name)]


def _answers(method: AnswerMethod, analogies: Sequence[Analogy], config: AnswersConfig) -> Tensor:
    """Return a method's answers to some analogies, (n, 3, 32, 32) bytes, sampled or kept."""
    identity = {
        "method": [method.name, method.identity],
        "analogies": [analogy.transformation.name + str(analogy[1:]) for analogy in analogies],
        "seed": config.seed,
        "sampling": stated(config.sampling),
    }
    path = cached_path(config.output / "answers", identity, ".pt")
    if path.is_file():
        kept: Tensor = torch.load(path, weights_only=True)
        return kept
    batches = [analogies[i : i + config.batch] for i in range(0, len(analogies), config.batch)]
    sampled = [answered(method, batch) for batch in track(batches, method.name)]
    answers = (torch.cat([torch.zeros(0, 3, 32, 32), *sampled]) * 255).round().byte()
    with atomic_write(path, force=True) as temporary:
        torch.save(answers, temporary)
    return answers


def answered(method: AnswerMethod, analogies: Sequence[Analogy]) -> Tensor:
    """Return a method's answers, (n, 3, 32, 32), 0 to 1."""
    return method.answer(draw_analogies(analogies).float() / 127.5 - 1, analogies)


def _with_answers(analogies: Sequence[Analogy], answers: Tensor) -> Tensor:
    """Return images before, after and image of analogies with their answers, (n, 4, 3, 32, 32) bytes."""
    if not analogies:
        return answers[:, None].expand(-1, 4, -1, -1, -1)
    return torch.cat([draw_analogies(analogies)[:, :3], answers[:, None]], dim=1)


def _cell(
    classifier: WorldClassifier, analogies: Sequence[Analogy], answers: Tensor, votes: NDArray[np.float64] | None
) -> Cell:
    """Return the scores of answers, and a judge's votes (n, 2), by the names of their transformations."""
    cell: Cell = {}
    if analogies:
        scores = score_answers(classifier, answers.float() / 255, analogies)
        columns = [getattr(scores, part.name).tolist() for part in fields(scores)]
        columns += [] if votes is None else votes.T.tolist()
        for analogy, *row in zip(analogies, *columns, strict=True):
            cell.setdefault(analogy.transformation.name, []).append(row)
    return cell


def draw_sheet(method: AnswerMethod, config: AnswersConfig) -> None:
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
