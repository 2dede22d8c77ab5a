"""Do two raters agree beyond chance, and does a score tell two classes apart?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from lorarar.evaluation.statistics.bootstrap import Estimate, Z
from lorarar.evaluation.statistics.proportions import Rate


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive scores above a negative, ties counting one half; NaN when either is missing.

    Reference: J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a receiver operating characteristic
    (ROC) curve", Radiology 143 (1982).
    """
    if not positive or not negative:
        return math.nan
    low = np.sort(np.asarray(negative, float))
    below = np.searchsorted(low, positive, "left")
    not_above = np.searchsorted(low, positive, "right")
    return float((below + not_above).mean() / (2 * len(low)))


def raw_agreement(a: Sequence[Hashable], b: Sequence[Hashable]) -> Rate:
    """How often two raters said the same about the same things."""
    return Rate(sum(x == y for x, y in zip(a, b, strict=True)), len(a))


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> Estimate:
    """Two raters' agreement beyond chance, 1 at best, with a large-sample 95 % interval.

    The interval takes the rated things as independent. NaN where it is undefined: nothing rated, or both used one
    label only.

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
    agreed = float(np.trace(p))
    kappa = (agreed - by_chance) / (1 - by_chance)
    # p_ij's weight is the sum of the column margin of i and the row margin of j, in this crossed order.
    crossed = columns[:, None] + rows[None, :]
    diagonal = np.diag(p) @ (1 - (rows + columns) * (1 - kappa)) ** 2
    rest = (1 - kappa) ** 2 * ((p * crossed**2).sum() - np.diag(p) @ np.diag(crossed) ** 2)
    variance = (diagonal + rest - (kappa - by_chance * (1 - kappa)) ** 2) / ((1 - by_chance) ** 2 * n)
    half = Z * math.sqrt(max(variance, 0.0))
    return Estimate(kappa, max(kappa - half, -1.0), min(kappa + half, 1.0))


def krippendorff_alpha(ratings: Sequence[Sequence[Hashable | None]]) -> float:
    """Any number of raters' agreement beyond chance on nominal labels, 1 at best.

    Args:
        ratings: for each unit one label a rater, None where that rater gave none. Units with fewer than two labels do
            not count.

    Returns:
        NaN where it is undefined: nothing to compare, or one label only.

    Reference: K. Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section C.
    """
    paired = [labels for unit in ratings if len(labels := [label for label in unit if label is not None]) > 1]
    totals = Counter(label for labels in paired for label in labels)
    n = sum(totals.values())
    expected = n * n - sum(count * count for count in totals.values())
    if not expected:
        return math.nan
    observed = 0.0
    for labels in paired:
        m = len(labels)
        observed += (m * m - sum(count * count for count in Counter(labels).values())) / (m - 1)
    return 1 - (n - 1) * observed / expected


def _confusion(a: Sequence[Hashable], b: Sequence[Hashable]) -> NDArray[np.float64]:
    counts = Counter(zip(a, b, strict=True))
    labels = list(dict.fromkeys([*a, *b]))
    return np.array([[counts[x, y] for y in labels] for x in labels], float).reshape(len(labels), len(labels))
