"""Recipes: the scores of pairs whose LoRAs were trained by each recipe, which show what a merger breaks on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorarar.benchmark.quality.comparison import rounded
from lorarar.benchmark.quality.crossing import crossed_sizes
from lorarar.benchmark.quality.results import RowOutcome
from lorarar.datasets import Pair
from lorarar.evaluation.statistics import Estimate, incomplete_crossed_interval


@dataclass(frozen=True)
class RecipeScore:
    """Scores of a row on pairs that have a LoRA of one recipe.

    Attributes:
        pairs: Number of these pairs.
        joint: Their joint score.
        own: Mean score of the concepts whose LoRAs have the recipe.
        partner: Mean score of the concepts that these are merged with.
    """

    pairs: int
    joint: Estimate
    own: float
    partner: float


def scores_by_recipe(
    outcomes: Sequence[RowOutcome], pairs: Sequence[Pair], recipes: Mapping[str, str]
) -> dict[str, dict[str, RecipeScore]]:
    """Return row -> recipe -> scores; empty where no LoRA states a recipe."""
    sides = {
        "content": np.array([recipes.get(pair.content.name, "") for pair in pairs]),
        "style": np.array([recipes.get(pair.style.name, "") for pair in pairs]),
    }
    names = sorted({str(name) for side in sides.values() for name in side} - {""})
    sizes = crossed_sizes(pairs)
    return {
        outcome.row.name: {
            name: _score(outcome, {kind: side == name for kind, side in sides.items()}, sizes) for name in names
        }
        for outcome in outcomes
        if names
    }


def _score(outcome: RowOutcome, has: Mapping[str, NDArray[np.bool_]], sizes: tuple[int, int]) -> RecipeScore:
    """Return the scores of a row on the pairs whose content or style has a recipe.

    Args:
        has: Kind -> whether the concept of this kind has the recipe, for each pair.
    """
    concerned = has["content"] | has["style"]
    values = {metric: outcome.by_pair(metric) for metric in ("content", "style", "joint")}
    joint = np.where(concerned[:, None], values["joint"], np.nan).reshape(*sizes, -1)
    own = np.concatenate([values[kind][has[kind]] for kind in has])
    partner = np.concatenate([values["style"][has["content"]], values["content"][has["style"]]])
    return RecipeScore(
        int(concerned.sum()),
        rounded(incomplete_crossed_interval(joint, shares=True)),
        round(float(own.mean()), 6),
        round(float(partner.mean()), 6),
    )


def recipes_table(scores: Mapping[str, Mapping[str, RecipeScore]]) -> str:
    """Return the joint score of each row on each recipe in Markdown, rows with the best mean first."""
    first = next(iter(scores.values()))
    order = sorted(scores, key=lambda row: -float(np.mean([score.joint.mean for score in scores[row].values()])))
    lines = [f"| recipe | pairs | {' | '.join(order)} |", "|---" * (len(order) + 2) + "|"]
    for name, score in first.items():
        joint = " | ".join(f"{scores[row][name].joint.mean:.2f}" for row in order)
        lines.append(f"| {name} | {score.pairs} | {joint} |")
    return "\n".join(lines) + "\n"
