"""Paired tests against enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from lorarar.evaluation.statistics.comparisons import holm, mcnemar, sign_flip, tied_set


def enumerated(values: np.ndarray, groups: list[str]) -> float:
    """Return the share of sign patterns, one sign per group, whose sum is at least as far from 0."""
    names = sorted(set(groups))
    sums = []
    for signs in itertools.product((-1, 1), repeat=len(names)):
        sign = dict(zip(names, signs, strict=True))
        sums.append(abs(sum(sign[g] * v for g, v in zip(groups, values, strict=True))))
    return float(np.mean([s >= abs(values.sum()) - 1e-12 for s in sums]))


def test_few_pairs_are_enumerated() -> None:
    values = np.array([0.3, 0.1, -0.2, 0.4, 0.0, 0.25, -0.05])
    assert sign_flip(values).p == pytest.approx(enumerated(values, list("abcdefg")), abs=1e-12)
    assert sign_flip(values, list("aabbccd")).p == pytest.approx(enumerated(values, list("aabbccd")), abs=1e-12)
    assert sign_flip(-values) == sign_flip(values)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e7])
def test_every_pattern_counts_with_and_without_a_common_step(scale: float) -> None:
    random = np.random.default_rng(0)
    for size in (1, 2, 9, 13):
        for values in (random.normal(0.15, 1, size), random.integers(-4, 5, size) / 16):
            test = sign_flip(values * scale)
            assert test.p == pytest.approx(enumerated(values, [str(i) for i in range(size)]), abs=1e-12)
            assert test.error == 0


def test_pairs_without_a_difference_change_nothing() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 12)
    assert sign_flip(np.concatenate((values, np.zeros(200)))) == sign_flip(values)


def test_many_pairs_on_a_grid_are_exact() -> None:
    # 64 pairs of four images with quarter votes: as many ups as a binomial needs, whose tail is known.
    values = np.repeat([1 / 16, -1 / 16], [44, 20])
    tail = sum(math.comb(64, k) for k in range(21)) / 2**64
    assert sign_flip(values).p == pytest.approx(2 * tail, rel=1e-9)
    assert sign_flip(values).error == 0
    assert sign_flip(np.ones(60)).p == pytest.approx(2.0**-59)


def test_five_groups_cannot_go_below_one_in_sixteen() -> None:
    assert sign_flip(np.ones(25), [i // 5 for i in range(25)]).p == 2 / 32
    assert sign_flip(np.ones(25)).p == 2.0**-24


def test_equal_methods_have_p_1_whatever_the_rounding() -> None:
    assert sign_flip(np.zeros(5)).p == 1.0
    assert sign_flip(np.array([0.1, 0.2, -0.3])).p == 1.0  # the sum is 0 up to rounding


def test_many_pairs_without_a_common_step_are_drawn() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 40)
    test = sign_flip(values)
    assert test == sign_flip(values)
    assert test.error == pytest.approx(math.sqrt(test.p * (1 - test.p) / 20000))
    precise = sign_flip(values, draws=400_000, seed=1)
    assert abs(test.p - precise.p) < 4 * test.error


def test_sign_flip_refuses() -> None:
    for wrong in (np.zeros((2, 2)), np.zeros(0), np.array([np.nan])):
        with pytest.raises(ValueError, match="expected finite differences"):
            sign_flip(wrong)
    with pytest.raises(ValueError, match=r"one group per difference \(2\), found 3"):
        sign_flip(np.zeros(2), [1, 2, 3])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_controls_the_probability_of_any_false_rejection() -> None:
    random = np.random.default_rng(0)
    p = random.random((2000, 6))
    assert np.mean([min(holm(list(row))) < 0.05 for row in p]) == pytest.approx(0.05, abs=0.015)
    assert np.mean(p.min(1) < 0.05) > 0.2


def test_the_tied_set_holds_all_methods_that_do_not_differ_from_the_best() -> None:
    means = {"a": 0.5, "b": 0.7, "c": 0.65, "d": 0.7}
    differs = {frozenset(pair): False for pair in itertools.combinations("abcd", 2)}
    differs[frozenset("ab")] = True
    assert tied_set(means, differs) == ("b", "d", "c")
    assert tied_set({"a": 0.1}, {}) == ("a",)


@pytest.mark.parametrize(("first", "second"), [(1, 8), (8, 1), (0, 0), (3, 3), (0, 6)])
def test_mcnemar_by_enumeration(first: int, second: int) -> None:
    n = first + second
    worse = [abs(2 * sum(flips) - n) >= abs(first - second) for flips in itertools.product((0, 1), repeat=n)]
    assert mcnemar(first, second) == pytest.approx(np.mean(worse))
