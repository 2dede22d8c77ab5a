"""Agreement: whether two raters agree beyond chance, and whether a score separates two classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.intervals import Estimate, Z
from lorarar.evaluation.statistics.proportions import Rate


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the area under the ROC curve: P(positive > negative) + P(positive = negative) / 2.

    Args:
        positive: Scores of the positive class.
        negative: Scores of the negative class.

    Returns:
        0 to 1; NaN when a class is empty.

    Reference: J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a receiver operating characteristic
    (ROC) curve", Radiology 143 (1982).
    """
    if not positive or not negative:
        return math.nan
    ascending = np.sort(np.asarray(negative, float))
    below = np.searchsorted(ascending, positive, "left")
    not_above = np.searchsorted(ascending, positive, "right")
    return float((below + not_above).mean() / (2 * len(ascending)))


def raw_agreement(a: Sequence[Hashable], b: Sequence[Hashable]) -> Rate:
    """Count how often two raters gave the same label to the same item."""
    return Rate(sum(x == y for x, y in zip(a, b, strict=True)), len(a))


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> Estimate:
    """Return Cohen's kappa of two raters with a large-sample 95 % interval.

    kappa = (p_o - p_e) / (1 - p_e), where p_o is the observed agreement and p_e the agreement by chance. The interval
    assumes that the rated items are independent.

    Args:
        a: Labels of the first rater.
        b: Labels of the second rater for the same items.

    Returns:
        Kappa, 1 at best; NaN where it is undefined: there are no items, or both raters used one label only.

    Reference: J. Cohen, "A coefficient of agreement for nominal scales" (1960); J. L. Fleiss, J. Cohen and B. S.
    Everitt, "Large sample standard errors of kappa and weighted kappa" (1969), equation 13.
    """
    table = _confusion(a, b)
    n = table.sum()
    rows, columns = table.sum(1) / max(n, 1), table.sum(0) / max(n, 1)
    by_chance = float(rows @ columns)
    if not n or by_chance == 1:
        return Estimate(math.nan, math.nan, math.nan)
    p = table / n
    observed = float(np.trace(p))
    kappa = (observed - by_chance) / (1 - by_chance)
    # The weight of p_ij is the sum of the column margin of i and the row margin of j, in this crossed order.
    crossed = columns[:, None] + rows[None, :]
    diagonal = np.diag(p) @ (1 - (rows + columns) * (1 - kappa)) ** 2
    rest = (1 - kappa) ** 2 * ((p * crossed**2).sum() - np.diag(p) @ np.diag(crossed) ** 2)
    variance = (diagonal + rest - (kappa - by_chance * (1 - kappa)) ** 2) / ((1 - by_chance) ** 2 * n)
    half = Z * math.sqrt(max(variance, 0.0))
    return Estimate(kappa, max(kappa - half, -1.0), min(kappa + half, 1.0))


def krippendorff_alpha(ratings: Sequence[Sequence[Hashable | None]]) -> float:
    """Return Krippendorff's alpha of any number of raters on nominal labels.

    alpha = 1 - D_o / D_e, where D_o is the observed disagreement and D_e the disagreement by chance.

    Args:
        ratings: For each unit one label per rater, None where a rater gave none. Units with fewer than two labels do
            not count.

    Returns:
        Alpha, 1 at best; NaN where it is undefined: no unit has two labels, or there is one label only.

    Reference: K. Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section C.
    """
    units = [[label for label in unit if label is not None] for unit in ratings]
    units = [labels for labels in units if len(labels) > 1]
    totals = Counter(label for labels in units for label in labels)
    n = sum(totals.values())
    expected = n * n - sum(count * count for count in totals.values())
    if not expected:
        return math.nan
    observed = 0.0
    for labels in units:
        m = len(labels)
        observed += (m * m - sum(count * count for count in Counter(labels).values())) / (m - 1)
    return 1 - (n - 1) * observed / expected


def _confusion(a: Sequence[Hashable], b: Sequence[Hashable]) -> NDArray[np.float64]:
    """Return the counts (labels, labels) of the label pairs."""
    counts = Counter(zip(a, b, strict=True))
    labels = list(dict.fromkeys([*a, *b]))
    return np.array([[counts[x, y] for y in labels] for x in labels], float).reshape(len(labels), len(labels))
