"""Scores of methods: the truth reproduced, a noisy judge corrected, failures bounded."""

from __future__ import annotations

import itertools
import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from lorarar.datasets.records import AXES, Axis, Item
from lorarar.evaluation.judge.compare.aggregation import aggregate_verdicts
from lorarar.evaluation.judge.compare.results import MethodScores, Results, ScoreGroup
from lorarar.evaluation.judge.records import Verdict
from lorarar.evaluation.judge.trust.gate import AxisGate, CalibrationGate
from lorarar.evaluation.statistics.comparisons import holm
from lorarar.evaluation.statistics.proportions import Rate
from lorarar.storage.text import plain
from tests.evaluation.judge.synthetic import Truth, make_items, make_questions, make_truth, noisy, truthful

REFERENCES: dict[Axis, int] = {"content": 3, "style": 1}
RATES = {"good": (0.9, 0.95), "other": (0.85, 0.9), "poor": (0.4, 0.6)}


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return make_items(list(RATES), 5, 6, 4)


@pytest.fixture(scope="module")
def truth(items: list[Item]) -> Truth:
    return make_truth(items, RATES)


@pytest.fixture(scope="module")
def observed(items: list[Item], truth: Truth) -> Results:
    questions = make_questions(items, REFERENCES)
    return aggregate_verdicts(items, questions, truthful(questions, truth))


def method(results: Results, name: str) -> MethodScores:
    return next(result for result in results.groups[0].methods if result.method == name)


def right(items: list[Item], truth: Truth, name: str) -> dict[tuple[str, str], list[bool]]:
    """For each pair whether each image of a method is right on both axes."""
    pairs: dict[tuple[str, str], list[bool]] = {}
    for item in items:
        if item.method == name:
            pairs.setdefault((item.content, item.style), []).append(all(truth[item.id, axis] for axis in AXES))
    return pairs


@pytest.mark.parametrize("name", list(RATES))
def test_a_truthful_judge_reproduces_the_truth(items: list[Item], truth: Truth, observed: Results, name: str) -> None:
    result, pairs = method(observed, name), right(items, truth, name)
    mine = [item for item in items if item.method == name]
    for axis in AXES:
        for metric in (axis, f"{axis}_share", f"soft_{axis}"):
            estimate = result.scores[metric].estimate
            assert estimate is not None
            assert estimate.mean == pytest.approx(np.mean([truth[item.id, axis] for item in mine]), abs=1e-12)
    expected = np.mean(list(pairs.values()))
    for metric in ("mars2", "soft_mars2", "joint_share"):
        score = result.scores[metric]
        assert score.estimate is not None
        assert score.estimate.mean == pytest.approx(expected, abs=1e-12)
        assert (score.low, score.high) == (pytest.approx(expected), pytest.approx(expected))
        assert score.estimate.low < expected < score.estimate.high
        assert (score.decided, score.total) == (120, 120)
    best = result.scores["best"].estimate
    assert best is not None
    assert best.mean == pytest.approx(np.mean([any(pair) for pair in pairs.values()]))
    for k in (1, 2, 4):
        draws = [np.mean([any(d) for d in itertools.combinations(pair, k)]) for pair in pairs.values()]
        score = result.best_of[k]
        assert score.estimate is not None
        assert score.estimate.mean == pytest.approx(np.mean(draws))
    assert list(result.best_of) == [1, 2, 4]
    for cell in result.matrix:
        assert cell.mars2 == np.mean(pairs[cell.content, cell.style])
    assert len(result.matrix) == 30


def test_comparisons_and_tied_sets(items: list[Item], truth: Truth, observed: Results) -> None:
    group = observed.groups[0]
    assert group.tied["mars2"] == ("good", "other")
    assert len(group.comparisons) == 9
    result = next(c for c in group.comparisons if (c.metric, c.first, c.second) == ("mars2", "good", "poor"))
    good, poor = (np.array([r for p in right(items, truth, name).values() for r in p]) for name in ("good", "poor"))
    assert result.difference.mean == pytest.approx(good.mean() - poor.mean())
    assert (result.first_only, result.second_only) == ((good & ~poor).sum(), (poor & ~good).sum())
    assert (result.pairs, result.images) == (30, 120)
    assert result.differs
    same_metric = [c for c in group.comparisons if c.metric == "mars2"]
    assert [c.p_holm for c in same_metric] == holm([c.p for c in same_metric])
    assert result.p_contents == 2 / 32
    assert result.p_styles == 2 / 64


def test_other_seeds_are_compared_by_pair_means(items: list[Item], truth: Truth) -> None:
    moved = [replace(item, seed=item.seed + 100 * (item.method == "poor")) for item in items]
    questions = make_questions(moved, REFERENCES)
    result = aggregate_verdicts(moved, questions, truthful(questions, truth)).groups[0]
    comparison = next(c for c in result.comparisons if (c.metric, c.first, c.second) == ("mars2", "good", "poor"))
    means = {m.method: m.scores["mars2"].estimate for m in result.methods}
    assert comparison.images == 0
    assert means["good"] is not None
    assert means["poor"] is not None
    assert comparison.difference.mean == pytest.approx(means["good"].mean - means["poor"].mean)


def gate_of(random: np.random.Generator, sensitivity: float, specificity: float, cases: int = 300) -> CalibrationGate:
    def rate(p: float) -> Rate:
        return Rate(int(random.binomial(cases, p)), cases)

    axes = {axis: AxisGate(rate(sensitivity), rate(specificity), Rate(0, 20), 0.95, (0, 0, 0)) for axis in AXES}
    return CalibrationGate(axes, ())


def test_a_noisy_judge_is_corrected(items: list[Item], truth: Truth) -> None:
    questions = make_questions(items, REFERENCES)
    covered, errors = [], []
    for seed in range(5):
        gate = gate_of(np.random.default_rng(seed), 0.85, 0.8)
        results = aggregate_verdicts(items, questions, noisy(questions, truth, 0.85, 0.8, seed), gate)
        for name in RATES:
            result, expected = method(results, name).corrected, np.mean(list(right(items, truth, name).values()))
            assert set(result) == {"content", "style", "joint"}
            covered.append(result["joint"].low <= expected <= result["joint"].high)
            score = method(results, name).scores["joint_share"].estimate
            assert score is not None
            errors.append((abs(score.mean - expected), abs(result["joint"].mean - expected)))
            for axis in AXES:
                share = np.mean([truth[item.id, axis] for item in items if item.method == name])
                covered.append(result[axis].low <= share <= result[axis].high)
    assert np.mean(covered) > 0.9
    as_seen, corrected = np.mean(errors, axis=0)
    assert as_seen > 1.5 * corrected


def test_nothing_is_corrected_with_an_uninformative_calibration(items: list[Item], truth: Truth) -> None:
    questions = make_questions(items, REFERENCES)
    gate = CalibrationGate(
        {axis: AxisGate(Rate(5, 10), Rate(4, 10), Rate(0, 0), 0.5, (0, 0, 0)) for axis in AXES}, ("bad",)
    )
    assert method(aggregate_verdicts(items, questions, truthful(questions, truth), gate), "good").corrected == {}


def test_failures_are_bounded_and_never_scores(items: list[Item], truth: Truth, observed: Results) -> None:
    questions = make_questions(items, REFERENCES)
    complete = truthful(questions, truth)
    unanswered = random.Random(0).sample(sorted(complete), len(complete) // 5)
    states = itertools.cycle(("abstain", "error", "invalid_input", None))
    verdicts = dict(complete)
    for question in unanswered:
        state = next(states)
        if state is None:
            del verdicts[question]
        else:
            verdicts[question] = Verdict(question, state, reason="down")  # type: ignore[arg-type]
    results = aggregate_verdicts(items, questions, verdicts)
    assert results.counts.undecided == len(unanswered)
    assert results.counts.total == len(questions)
    assert sum(counts.total for counts in results.axes.values()) == len(questions)
    for name in RATES:
        result, expected = method(results, name), method(observed, name)
        for metric, score in result.scores.items():
            whole = expected.scores[metric].estimate
            assert whole is not None
            assert score.low <= whole.mean + 1e-12
            assert whole.mean <= score.high + 1e-12
            if metric in ("mars2", "content", "style"):
                assert score.decided < score.total == 120
    failed = {question: Verdict(question, "error", reason="down") for question in complete}
    nothing = method(aggregate_verdicts(items, questions, failed), "good")
    assert nothing.scores["mars2"].estimate is None
    assert (nothing.scores["mars2"].low, nothing.scores["mars2"].high) == (0.0, 1.0)
    assert nothing.best_of[1].estimate is None


def test_only_common_pairs_count(items: list[Item], truth: Truth) -> None:
    fewer = [item for item in items if not (item.method == "poor" and item.content == "c0" and item.style == "s1")]
    questions = make_questions(fewer, REFERENCES)
    group = aggregate_verdicts(fewer, questions, truthful(questions, truth)).groups[0]
    assert group.covers == (
        "29 pairs of 5 contents and 6 styles (1 combinations of them are missing); "
        "1 pairs that not every method has are left out"
    )
    assert {result.scores["mars2"].total for result in group.methods} == {116}
    good = {pair: r for pair, r in right(items, truth, "good").items() if pair != ("c0", "s1")}
    estimate = group.methods[0].scores["mars2"].estimate
    assert estimate is not None
    assert estimate.mean == pytest.approx(np.mean(list(good.values())))


def test_methods_without_a_common_pair_are_refused(items: list[Item]) -> None:
    apart = [item for item in items if (item.method == "good") == (item.content == "c0")]
    with pytest.raises(ValueError, match="found none for good, other, poor: judge the methods on the same"):
        aggregate_verdicts(apart, [], {})
    with pytest.raises(ValueError, match="found none for no method"):
        aggregate_verdicts([], [], {})


def test_one_content_has_no_interval(items: list[Item], truth: Truth) -> None:
    one = [item for item in items if item.content == "c0"]
    questions = make_questions(one, REFERENCES)
    group: ScoreGroup = aggregate_verdicts(one, questions, truthful(questions, truth)).groups[0]
    estimate = group.methods[0].scores["mars2"].estimate
    assert estimate is not None
    assert math.isnan(estimate.low)
    assert "no intervals, since there is only one content or one style" in group.covers
    assert not any(comparison.differs for comparison in group.comparisons)


def test_prompt_types_are_kept_apart(items: list[Item], truth: Truth) -> None:
    typed = [replace(item, prompt_type="alter" if item.seed % 2 else "trigger") for item in items]
    apart = [replace(items[0], id="x", prompt_type="style"), replace(items[-1], id="y", prompt_type="style")]
    questions = make_questions(typed, REFERENCES)
    results = aggregate_verdicts([*typed, *apart], questions, truthful(questions, truth))
    assert [group.prompt_type for group in results.groups] == ["all", "alter", "trigger"]
    assert "found none for good, poor" in results.skipped["style"]
    alter = next(m for m in results.groups[1].methods if m.method == "good").scores["content"].estimate
    assert alter is not None
    chosen = [truth[i.id, "content"] for i in typed if i.method == "good" and i.prompt_type == "alter"]
    assert alter.mean == pytest.approx(np.mean(chosen))


def test_several_rubrics_are_refused(items: list[Item]) -> None:
    questions = make_questions(items[:2], REFERENCES)
    questions[0] = replace(questions[0], rubric="scale@1")
    with pytest.raises(ValueError, match="one rubric, found mars2@1, scale@1"):
        aggregate_verdicts(items, questions, {})


def test_flags_of_json_replies(items: list[Item], truth: Truth) -> None:
    questions = make_questions(items, REFERENCES)
    verdicts = truthful(questions, truth)
    details = {"leak": True, "copy": False, "note": "text is no flag"}
    verdicts |= {q.id: replace(verdicts[q.id], details=details) for q in questions if q.item.startswith("good/c0")}
    result = aggregate_verdicts(items, questions, verdicts)
    assert method(result, "good").flags == {"copy": Rate(0, 96), "leak": Rate(96, 96)}
    assert method(result, "poor").flags == {}


def test_order_changes_nothing(items: list[Item], truth: Truth) -> None:
    questions = make_questions(items, REFERENCES, orders=(False, True))
    verdicts = noisy(questions, truth, 0.8, 0.8)
    random_p = np.random.default_rng(0).random(len(questions))
    verdicts = {name: replace(v, p_yes=(p, p)) for (name, v), p in zip(verdicts.items(), random_p, strict=True)}
    shuffled = [random.Random(1).sample(result, len(result)) for result in (items, questions)]
    first, second = (plain(aggregate_verdicts(i, q, verdicts)) for i, q in ((items, questions), shuffled))
    assert json.dumps(first) == json.dumps(second)


def test_plain_is_json() -> None:
    assert plain({1: (Rate(1, 2), math.nan, math.inf)}) == {"1": [{"successes": 1, "total": 2}, None, None]}
