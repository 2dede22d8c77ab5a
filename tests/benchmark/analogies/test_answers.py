"""lorarar.benchmark.analogies: scores of known images, intervals over transformations, the whole run."""

from __future__ import annotations

import pytest

from lorarar.benchmark.analogies.results import compare_answers, summarise_answers
from lorarar.benchmark.analogies.scoring import score_answers
from lorarar.storage import EMBEDDED
from lorarar.worlds.stages.classifier import load_classifier
from lorarar.worlds.toy.analogies import draw_analogies, plan_analogies


@pytest.mark.parametrize("part", ["types", "compositions"])
def test_copies_and_the_truth_have_known_scores(part: str) -> None:
    analogies = plan_analogies(part, 8, 5)
    images = draw_analogies(analogies).float() / 255
    classifier = load_classifier(EMBEDDED / "classifier.safetensors")
    truth, copy, after = (score_answers(classifier, images[:, i], analogies) for i in (3, 2, 1))
    assert truth.exact.tolist() == [1] * 8
    assert (copy.accuracy.sum(), copy.preservation.sum()) == (0, 8)
    kept = [name for name in analogies[0].target._fields if name not in analogies[0].transformation.parts]
    same = [getattr(analogies[0].after, name) == getattr(analogies[0].target, name) for name in kept]
    assert float(after.preservation[0]) == pytest.approx(sum(same) / len(same))


def test_transformations_are_the_units() -> None:
    cell = {"one": [[1, 1, 1], [0, 1, 0]], "two": [[1, 0.5, 0]] * 7, "three": [[0.0, 1, 0]]}
    summary = summarise_answers(cell)
    assert summary["accuracy"][0] == pytest.approx((0.5 + 1 + 0) / 3, abs=1e-4)
    assert summary["accuracy"][1] < 0.2
    assert summary["transformations"]["one"] == {"accuracy": 0.5, "preservation": 1.0, "exact": 0.5}
    reference = {"one": [[0.0, 1, 0]], "two": [[0.0, 0.5, 0]], "four": [[1.0, 1, 1]]}
    assert compare_answers(cell, reference)["accuracy"][0] == pytest.approx(0.75)
    assert (summarise_answers({}), compare_answers({}, cell)) == ({}, {})
    nan = float("nan")
    judged = {"one": [[1, 1, 1, 0, nan], [1, 1, 1, nan, nan]], "two": [[1, 1, 1, 1, 0]]}
    votes = summarise_answers(judged)
    assert (votes["edited"][0], votes["kept"], votes["unscored"]) == (0.5, [0, None, None], 3)
    assert votes["transformations"]["one"]["kept"] is None
    assert compare_answers(judged, judged)["kept"] == [0, None, None]
    assert summarise_answers({"one": [[0.5, 1, 0]]})["accuracy"] == [0.5, None, None]
