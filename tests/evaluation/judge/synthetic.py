"""Synthetic manifests with known truth, and judges of known quality, for the tests of scores and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lorarar.datasets.records import AXES, Axis, Item
from lorarar.evaluation.judge.records import Question, Verdict

Truth = Mapping[tuple[str, Axis], bool]


def make_items(methods: Sequence[str], contents: int, styles: int, seeds: int) -> list[Item]:
    return [
        Item(f"{m}/c{c}+s{s}/{seed}", f"{m}/c{c}+s{s}/{seed}.png", m, f"c{c}", f"s{s}", seed)
        for m in methods
        for c in range(contents)
        for s in range(styles)
        for seed in range(seeds)
    ]


def make_truth(items: Sequence[Item], rates: Mapping[str, tuple[float, float]], seed: int = 0) -> Truth:
    """Whether each image is right on each axis, at (content, style) rates given for each method."""
    random = np.random.default_rng(seed)
    return {(item.id, axis): random.random() < rates[item.method][i] for item in items for i, axis in enumerate(AXES)}


def make_questions(
    items: Sequence[Item], references: Mapping[Axis, int], *, orders: Sequence[bool] = (False,), repeats: int = 1
) -> list[Question]:
    return [
        Question(
            id=f"{item.id}|{axis}|{r}|{swapped}|{repeat}",
            item=item.id,
            axis=axis,
            reference=f"{item.content if axis == 'content' else item.style}/{r}.png",
            rubric="mars2@1",
            images=(),
            pixels=(),
            text="",
            swapped=swapped,
            repeat=repeat,
        )
        for item in items
        for axis in AXES
        for r in range(references[axis])
        for swapped in orders
        for repeat in range(repeats)
    ]


def answer(questions: Sequence[Question], says: Callable[[Question], bool]) -> dict[str, Verdict]:
    return {q.id: Verdict(q.id, "ok", float(says(q))) for q in questions}


def truthful(questions: Sequence[Question], truth: Truth) -> dict[str, Verdict]:
    return answer(questions, lambda q: truth[q.item, q.axis])


def noisy(
    questions: Sequence[Question], truth: Truth, sensitivity: float, specificity: float, seed: int = 0
) -> dict[str, Verdict]:
    random = np.random.default_rng(seed)
    return answer(questions, lambda q: random.random() < (sensitivity if truth[q.item, q.axis] else 1 - specificity))
