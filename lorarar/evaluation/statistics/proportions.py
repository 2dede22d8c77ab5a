"""Proportions: Wilson's interval, the correction for the measured errors of a judge, the best of k."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.intervals import Estimate, Z


@dataclass(frozen=True)
class Rate:
    """Number of successes in ``total`` independent trials."""

    successes: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.total:
            raise ValueError(f"expected 0 <= successes <= total, found {self.successes} of {self.total}")

    @property
    def value(self) -> float:
        """Share of successes; NaN without trials."""
        return self.successes / self.total if self.total else math.nan

    @property
    def variance(self) -> float:
        """Variance of the share, with one success and one failure added, so that 20 of 20 does not have variance 0."""
        n = self.total + 2
        p = (self.successes + 1) / n
        return p * (1 - p) / n


def wilson(rate: Rate) -> Estimate:
    """Return a share with Wilson's 95 % score interval, which lies within 0 to 1.

    The bounds are (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n). Without trials the share is NaN and the
    interval is 0 to 1.

    Reference: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    n, p = rate.total, rate.value
    if not n:
        return Estimate(math.nan, 0.0, 1.0)
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    # For 0 and n successes a bound is exactly 0 or 1; the formula misses it by rounding.
    low = 0.0 if rate.successes == 0 else centre - half
    high = 1.0 if rate.successes == n else centre + half
    return Estimate(p, low, high)


def correct_shares(shares: NDArray[np.floating], sensitivity: float, specificity: float) -> NDArray[np.float64]:
    """Correct shares of "yes" for the errors of a judge: (share + specificity - 1) / (sensitivity + specificity - 1).

    The result is unbiased, but single values may lie outside 0 to 1.

    Args:
        shares: Shares of "yes", any shape.
        sensitivity: Share of "yes" among true cases, 0 to 1.
        specificity: Share of "no" among false cases, 0 to 1.

    Raises:
        ValueError: Sensitivity + specificity is at most 1, so the answers of the judge hold no information.

    Reference: W. J. Rogan and B. Gladen, "Estimating prevalence from the results of a screening test", American
    Journal of Epidemiology 107 (1978).
    """
    informedness = sensitivity + specificity - 1
    if not informedness > 0:
        raise ValueError(
            f"expected sensitivity + specificity above 1, found {sensitivity:.3f} + {specificity:.3f}: "
            "the answers of this judge hold no information; use another judge"
        )
    return (np.asarray(shares, float) + specificity - 1) / informedness


def rogan_gladen(apparent: Estimate, sensitivity: Rate, specificity: Rate) -> Estimate:
    """Correct a share of "yes" for the errors of a judge, with an interval that includes their uncertainty.

    The variances of share, sensitivity and specificity are propagated to first order (delta method). The variance of
    the share follows from the width of its interval. The result is clipped to 0 to 1.

    Args:
        apparent: Share of "yes" with its interval.
        sensitivity: Correct answers among true cases.
        specificity: Correct answers among false cases.

    Raises:
        ValueError: Sensitivity + specificity is at most 1.

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
    """Correct the share of images that are right on both axes for the errors of a judge.

    Errors on the two axes are assumed to be independent, given the truth. Variances are propagated as in
    `rogan_gladen`.

    Args:
        joint: Mean over images of the product of the shares that `correct_shares` gives for the two axes, with its
            interval.
        content: Mean over images of the corrected share for content.
        style: Mean over images of the corrected share for style.
        sensitivity: Correct answers among true cases, for content and for style.
        specificity: Correct answers among false cases, for content and for style.
    """
    variance = _variance(joint)
    for se, sp, other in zip(sensitivity, specificity, (style, content), strict=True):
        informedness = se.value + sp.value - 1
        variance += (joint.mean / informedness) ** 2 * se.variance
        variance += ((other - joint.mean) / informedness) ** 2 * sp.variance
    return _within_unit(joint.mean, variance)


def best_of_k(correct: int, total: int, k: int) -> float:
    """Return the unbiased estimate of the probability that at least one of k images is right.

    pass@k = 1 - C(n - c, k) / C(n, k), where c of n images are right.

    Args:
        correct: Number c of right images.
        total: Number n of images.
        k: Number of images to choose from.

    Raises:
        ValueError: k is below 1 or above ``total``, or ``correct`` is not within 0 to ``total``.

    Reference: M. Chen et al., "Evaluating large language models trained on code" (2021), equation 1.
    """
    if not 1 <= k <= total or not 0 <= correct <= total:
        raise ValueError(f"expected 1 <= k <= total and 0 <= correct <= total, found k {k}, {correct} of {total}")
    return 1 - math.comb(total - correct, k) / math.comb(total, k)


def _variance(estimate: Estimate) -> float:
    """Return the variance that a normal 95 % interval of this width has."""
    return ((estimate.high - estimate.low) / (2 * Z)) ** 2


def _within_unit(mean: float, variance: float) -> Estimate:
    half = Z * math.sqrt(variance)
    low, middle, high = (min(max(value, 0.0), 1.0) for value in (mean - half, mean, mean + half))
    return Estimate(middle, low, high)
