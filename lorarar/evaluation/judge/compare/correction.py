"""Scores freed of the judge's known errors: what the share of right images would be under a judge without any."""

from __future__ import annotations

import math

import numpy as np

from lorarar.datasets import AXES
from lorarar.evaluation.judge.compare.grid import FloatArray, Grid
from lorarar.evaluation.judge.read.scores import IMAGE_METRICS
from lorarar.evaluation.judge.trust.gate import AxisGate, CalibrationGate
from lorarar.evaluation.statistics.bootstrap import Estimate
from lorarar.evaluation.statistics.proportions import correct_shares, rogan_gladen, rogan_gladen_joint


def correct_scores(grid: Grid, method: str, gate: CalibrationGate) -> dict[str, Estimate]:
    """A method's true share of images right on "content", on "style" and on "joint" (both), with intervals.

    Each vote is taken as a noisy look at whether the image is right, with the gate's sensitivity and specificity: this
    corrects the shares of votes, not the majority rule's. For the joint share, errors on the two axes are taken as
    independent given the truth.

    Returns:
        Without an axis whose calibration holds no information, and without "joint" then.
    """
    shares: dict[str, FloatArray] = {axis: grid.values(method, IMAGE_METRICS[f"{axis}_share"]) for axis in AXES}
    usable = [axis for axis in AXES if _informative(gate.axes[axis]) and not np.isnan(shares[axis]).all()]
    found: dict[str, Estimate] = {}
    for axis in usable:
        apparent = grid.estimate(shares[axis])
        if apparent is not None:
            found[axis] = rogan_gladen(apparent, gate.axes[axis].sensitivity, gate.axes[axis].specificity)
    if len(usable) == len(AXES):
        joint = _joint(grid, [shares[axis] for axis in AXES], [gate.axes[axis] for axis in AXES])
        found |= {} if joint is None else {"joint": joint}
    return found


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
    there = ~np.isnan(product)
    content, style = (float(values[there].mean()) for values in true)
    found = rogan_gladen_joint(
        joint,
        content,
        style,
        (axes[0].sensitivity, axes[1].sensitivity),
        (axes[0].specificity, axes[1].specificity),
    )
    return found if not math.isnan(found.mean) else None
