"""When two methods count as different: both the test and the interval must say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lorarar.datasets.records import Item
from lorarar.evaluation.judge.compare.comparison import MethodComparison, compare_methods, tied_methods
from lorarar.evaluation.judge.compare.grid import lay_out
from lorarar.evaluation.judge.read.scores import IMAGE_METRICS, score_images
from tests.evaluation.judge.synthetic import answer, make_items, make_questions

ITEMS = make_items(["a", "b"], 5, 5, 2)


def compare(right: Callable[[str, int, int], bool], items: Sequence[Item] = ITEMS) -> MethodComparison:
    """Two methods; ``right`` tells whether (method, content, style) shows the content."""
    questions = make_questions(items, {"content": 1, "style": 1})
    of_items = {item.id: right(item.method, int(item.content[1]), int(item.style[1])) for item in items}
    verdicts = answer(questions, lambda q: of_items[q.item])
    return compare_methods(lay_out(score_images(items, questions, verdicts)), "content")[0]


def test_a_gain_everywhere_is_real() -> None:
    result = compare(lambda method, content, style: method == "a" or (content + style) % 5 == 0)
    assert result.p_holm < 0.001
    assert result.difference.mean == pytest.approx(0.8)
    assert result.difference.low > 0
    assert result.differs
    assert (result.p_contents, result.p_styles) == (2 / 32, 2 / 32)
    assert (result.first_only, result.second_only) == (40, 0)


def test_a_gain_on_two_contents_of_five_says_little_about_others() -> None:
    result = compare(lambda method, content, _: method == "a" or content > 1)
    assert result.p_holm == pytest.approx(2 / 2**10, abs=5e-4)
    assert result.difference.low < 0 < result.difference.high
    assert not result.differs
    assert tied_methods({"a": 1.0, "b": 0.6}, [result]) == ("a", "b")


def test_a_gain_at_one_seed_of_two_says_little_about_other_seeds() -> None:
    questions = make_questions(ITEMS, {"content": 1, "style": 1})
    good = {item.id for item in ITEMS if item.method == "a" or item.seed}
    verdicts = answer(questions, lambda q: q.item in good)
    grid = lay_out(score_images(ITEMS, questions, verdicts))
    result = compare_methods(grid, "content")[0]
    assert result.difference.mean == pytest.approx(0.5)
    assert result.p_holm < 0.001
    assert result.difference.low < 0 < result.difference.high
    assert not result.differs
    estimate = grid.estimate(grid.values("b", IMAGE_METRICS["content"]), shares=True)
    assert estimate is not None
    assert 0 <= estimate.low < 0.1 < 0.9 < estimate.high <= 1


def test_four_pairs_are_too_few_for_the_test() -> None:
    result = compare(lambda method, content, style: method == "a", make_items(["a", "b"], 2, 2, 2))
    assert result.p_holm == 2 / 2**4
    assert result.difference.excludes_zero()
    assert not result.differs


def test_an_untested_difference_is_none() -> None:
    assert tied_methods({"a": 1.0, "b": 0.0}, []) == ("a", "b")
