"""Counted proportions: Wilson's interval, the correction for a judge's known errors, the best of k."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.bootstrap import Estimate, Z


@dataclass(frozen=True)
class Rate:
    """How many of ``total`` independent trials succeeded."""

    successes: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.total:
            raise ValueError(f"expected 0 <= successes <= total, found {self.successes} of {self.total}")

    @property
    def value(self) -> float:
        """The share of successes; NaN when nothing was tried."""
        return self.successes / self.total if self.total else math.nan

    @property
    def variance(self) -> float:
        """Of the share, with one success and one failure added, so that 20 of 20 is not taken for certain."""
        n = self.total + 2
        p = (self.successes + 1) / n
        return p * (1 - p) / n


def wilson(rate: Rate) -> Estimate:
    """A share with Wilson's 95 % score interval, which stays within 0 to 1; nothing tried gives NaN and 0 to 1.

    Reference: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    n, p = rate.total, rate.value
    if not n:
        return Estimate(math.nan, 0.0, 1.0)
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    # At 0 and n of n the bound is exactly 0 and 1; rounding would miss it.
    low = 0.0 if rate.successes == 0 else centre - half
    high = 1.0 if rate.successes == n else centre + half
    return Estimate(p, low, high)


def correct_shares(shares: NDArray[np.floating], sensitivity: float, specificity: float) -> NDArray[np.float64]:
    """Shares of yes freed of the judge's errors: (share + specificity - 1) / (sensitivity + specificity - 1).

    The result's expectation is the truth's, but single values may leave 0 to 1.

    Raises:
        ValueError: sensitivity + specificity is at most 1: such a judge's yes says nothing.
    """
    informedness = sensitivity + specificity - 1
    if not informedness > 0:
        raise ValueError(
            f"expected sensitivity + specificity above 1, found {sensitivity:.3f} + {specificity:.3f}: "
            "this judge's answers hold no information, so nothing can be corrected"
        )
    return (np.asarray(shares, float) + specificity - 1) / informedness


def rogan_gladen(apparent: Estimate, sensitivity: Rate, specificity: Rate) -> Estimate:
    """A share of yes freed of the judge's errors, with an interval that carries the errors' own uncertainty.

    The variances of the three parts are propagated to first order; that of ``apparent`` is read from its interval's
    width. Everything is cut to 0 .. 1.

    Raises:
        ValueError: sensitivity + specificity is at most 1.

    Reference: W. J. Rogan and B. Gladen, "Estimating prevalence from the results of a screening test", American
    Journal of Epidemiology 107 (1978), with the added observations of Z. Lang and J. Reiczigel, "Confidence limits for
    prevalence of disease adjusted for estimated sensitivity and specificity", Preventive Veterinary Medicine 113
    (2014).
    """
    truth = float(correct_shares(np.array(apparent.mean), sensitivity.value, specificity.value))
    informedness = sensitivity.value + specificity.value - 1
    variance = _variance(apparent) / informedness**2
    variance += (truth / informedness) ** 2 * sensitivity.variance
    variance += ((1 - truth) / informedness) ** 2 * specificity.variance
    return _within_unit(truth, variance)


def rogan_gladen_joint(
    joint: Estimate,
    content: float,
    style: float,
    sensitivity: tuple[Rate, Rate],
    specificity: tuple[Rate, Rate],
) -> Estimate:
    """The share of images that are right on both axes, freed of the judge's errors on either.

    Given the truth, errors on the two axes are taken as independent.

    Args:
        joint: the mean over images of the product of both axes' `correct_shares` shares, with its interval.
        content, style: the mean over images of each axis' corrected share.
        sensitivity, specificity: of the judge on content and on style.
    """
    variance = _variance(joint)
    for se, sp, other in zip(sensitivity, specificity, (style, content), strict=True):
        informedness = se.value + sp.value - 1
        variance += (joint.mean / informedness) ** 2 * se.variance
        variance += ((other - joint.mean) / informedness) ** 2 * sp.variance
    return _within_unit(joint.mean, variance)


def best_of_k(correct: int, total: int, k: int) -> float:
    """The chance that at least one of k images is right, from ``correct`` right ones among ``total``: without bias.

    1 - C(total - correct, k) / C(total, k).

    Raises:
        ValueError: k is below 1 or above ``total``.

    Reference: M. Chen et al., "Evaluating large language models trained on code" (2021), equation 1.
    """
    if not 1 <= k <= total or not 0 <= correct <= total:
        raise ValueError(f"expected 1 <= k <= total and 0 <= correct <= total, found k {k}, {correct} of {total}")
    return 1 - math.comb(total - correct, k) / math.comb(total, k)


def _variance(estimate: Estimate) -> float:
    return ((estimate.high - estimate.low) / (2 * Z)) ** 2


def _within_unit(mean: float, variance: float) -> Estimate:
    half = Z * math.sqrt(variance)
    low, middle, high = (min(max(value, 0.0), 1.0) for value in (mean - half, mean, mean + half))
    return Estimate(middle, low, high)
