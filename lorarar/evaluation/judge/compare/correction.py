"""Correction of scores for the judge's measured errors: the share of right images under an error-free judge."""

from __future__ import annotations

import math

import numpy as np

from lorarar.datasets import AXES
from lorarar.evaluation.judge.compare.grid import FloatArray, Grid
from lorarar.evaluation.judge.read.scores import IMAGE_METRICS
from lorarar.evaluation.judge.trust.gate import AxisGate, CalibrationGate
from lorarar.evaluation.statistics.intervals import Estimate
from lorarar.evaluation.statistics.proportions import correct_shares, rogan_gladen, rogan_gladen_joint


def correct_scores(grid: Grid, method: str, gate: CalibrationGate) -> dict[str, Estimate]:
    """Estimate a method's true share of images that are right on "content", on "style" and on both ("joint").

    Each vote counts as a noisy observation of whether the image is right, with the gate's sensitivity and specificity:
    this corrects the shares of votes, not those of the majority rule. For the joint share, errors on the two axes are
    taken as independent given the truth.

    Returns:
        The estimates with intervals. An axis whose calibration holds no information is left out, and then "joint", too.
    """
    shares: dict[str, FloatArray] = {axis: grid.values(method, IMAGE_METRICS[f"{axis}_share"]) for axis in AXES}
    usable = [axis for axis in AXES if _informative(gate.axes[axis]) and not np.isnan(shares[axis]).all()]
    corrected: dict[str, Estimate] = {}
    for axis in usable:
        apparent = grid.estimate(shares[axis], shares=True)
        if apparent is not None:
            corrected[axis] = rogan_gladen(apparent, gate.axes[axis].sensitivity, gate.axes[axis].specificity)
    if len(usable) == len(AXES):
        joint = _joint(grid, [shares[axis] for axis in AXES], [gate.axes[axis] for axis in AXES])
        if joint is not None:
            corrected["joint"] = joint
    return corrected


def _informative(axis: AxisGate) -> bool:
    return axis.sensitivity.value + axis.specificity.value > 1  # False for NaN


def _joint(grid: Grid, shares: list[FloatArray], axes: list[AxisGate]) -> Estimate | None:
    true = [
        correct_shares(share, axis.sensitivity.value, axis.specificity.value)
        for share, axis in zip(shares, axes, strict=True)
    ]
    product = true[0] * true[1]
    joint = grid.estimate(product)
    if joint is None:
        return None
    decided = ~np.isnan(product)
    content, style = (float(values[decided].mean()) for values in true)
    estimate = rogan_gladen_joint(
        joint,
        content,
        style,
        (axes[0].sensitivity, axes[1].sensitivity),
        (axes[0].specificity, axes[1].specificity),
    )
    return estimate if not math.isnan(estimate.mean) else None
