"""Comparison of runs: the agreement of several judges about the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.read.scores import score_images
from lorarar.evaluation.judge.run import reread
from lorarar.evaluation.judge.trust.agreement import Agreement, compare_raters, judge_ratings
from lorarar.evaluation.statistics.proportions import wilson


def compare_judges(runs: Sequence[Path]) -> Agreement:
    """Compute kappa of every two judges, and alpha of all, over the images of their runs.

    Each judge is named by its folder.

    Raises:
        ValueError: There are fewer than two folders, they are about different images, or one has no replies.
    """
    if len({run.resolve() for run in runs}) < max(2, len(runs)):
        raise ValueError(f"expected two or more different folders, found {', '.join(map(str, runs)) or 'none'}")
    ratings, first = {}, read_setup(runs[0])
    for run in runs:
        setup = read_setup(run)
        if {(item.id, item.sha256) for item in setup.items} != {(item.id, item.sha256) for item in first.items}:
            raise ValueError(f"expected the images of {runs[0]} in {run}, found others: plan both from the same folder")
        judged = reread(run, setup)
        images = score_images(setup.items, judged.planned.main.questions, judged.verdicts)
        ratings[str(run)] = judge_ratings(images)
    return compare_raters(ratings)


def describe_agreement(agreement: Agreement) -> str:
    """Write one line for each axis, and one for each axis and two judges."""
    lines = [f"{axis}: alpha of all {alpha:.3f}" for axis, alpha in agreement.alpha.items()]
    for pair in agreement.pairs:
        kappa, agreed = (f"{e.mean:.3f} ({e.low:.3f} to {e.high:.3f})" for e in (pair.kappa, wilson(pair.agreed)))
        lines.append(
            f"{pair.axis}: {pair.first} and {pair.second}: kappa {kappa}, agreed {agreed} of {pair.agreed.total}"
        )
    return "\n".join(lines)
