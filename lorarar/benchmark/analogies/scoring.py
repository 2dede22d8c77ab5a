"""Scoring of answers: what was to change, and what was to stay, as the attribute classifier reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorarar.worlds.stages import WorldClassifier
from lorarar.worlds.toy import Analogy, Scene, read_scenes


@dataclass(frozen=True)
class AnswerScores:
    """Scores of n answers, each (n,), 0 to 1.

    Attributes:
        accuracy: Share of the parts that were to change which show the right value.
        preservation: Share of the other parts which show the value of b.
        exact: 1 where both are whole.
    """

    accuracy: Tensor
    preservation: Tensor
    exact: Tensor


@torch.no_grad()
def score_answers(classifier: WorldClassifier, images: Tensor, analogies: Sequence[Analogy]) -> AnswerScores:
    """Score answers (n, 3, 32, 32), 0 to 1, against the exact truth."""
    shown = torch.tensor(read_scenes(classifier.read(images * 2 - 1)))
    right = shown == torch.tensor([analogy.target for analogy in analogies])
    fields = Scene._fields
    changed = torch.tensor([[name in analogy.transformation.parts for name in fields] for analogy in analogies])
    return AnswerScores(_share(right, changed), _share(right, ~changed), right.all(1).float())


def _share(right: Tensor, of: Tensor) -> Tensor:
    """Return the share of right values among those that a mask names, (n,)."""
    return (right & of).sum(1) / of.sum(1)
