"""Scores of the tiny judge: how well it separates pairs of renders, by its probabilities."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.datasets import AXES, Axis
from lorarar.evaluation.judge.ask.backends import last_logits
from lorarar.evaluation.judge.ask.rubrics import Rubric
from lorarar.worlds.toy.attributes import CONTENT_ATTRIBUTES
from lorarar.worlds.toy.judge.data import ImagePairs, scale_pixels
from lorarar.worlds.toy.judge.texts import questioned_concept
from lorarar.worlds.toy.judge.training import PromptTokens

_BATCH = 128
_BORDER = len(CONTENT_ATTRIBUTES)


def measure_judge(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, pairs: ImagePairs, rubric: Rubric, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return for each axis the sensitivity, the specificity, the AUC, and the share of accepted degenerate images.

    All are 0 to 1. Specificity and AUC leave degenerate images out; "near_specificity" is that of images that differ in
    one attribute of the axis. Half of the questions show the test image first.
    """
    return {axis: axis_rates(yes_margins(model, processor, pairs, rubric, axis, seed), pairs, axis) for axis in AXES}


@torch.no_grad()
def yes_margins(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pairs: ImagePairs,
    rubric: Rubric,
    axis: Axis,
    seed: int,
) -> Tensor:
    """Return the log-odds of yes against no for each pair, (n,)."""
    prompts, random, margins = PromptTokens(processor), np.random.default_rng(seed), []
    for start in range(0, len(pairs.images), _BATCH):
        images, attributes = pairs.images[start : start + _BATCH], pairs.attributes[start : start + _BATCH]
        turned = random.random(len(images)) < 0.5
        texts = [
            rubric.ask(axis, questioned_concept(axis, int(values[0, 0]), random), swapped=bool(turn))
            for values, turn in zip(attributes, turned, strict=True)
        ]
        images = torch.where(torch.from_numpy(turned)[:, None, None, None, None], images.flip(1), images)
        logits = last_logits(model, prompts.encode(texts) | {"pixel_values": scale_pixels(images.flatten(0, 1))})
        margins.append(logits[:, prompts.token("yes")] - logits[:, prompts.token("no")])
    return torch.cat(margins)


def axis_rates(margins: Tensor, pairs: ImagePairs, axis: Axis) -> dict[str, float]:
    """Return the numbers of `measure_judge` for one axis, from the log-odds of yes (n,)."""
    same, degenerate = pairs.same(axis), pairs.attributes[:, 1, 0] < 0
    own = slice(0, _BORDER) if axis == "content" else slice(_BORDER, None)
    differing = (pairs.attributes[:, 0, own] != pairs.attributes[:, 1, own]).sum(1)
    other = ~same & ~degenerate
    better = margins[same][:, None] - margins[other][None]
    yes = margins > 0
    values = {
        "sensitivity": yes[same].float().mean(),
        "specificity": (~yes)[other].float().mean(),
        "near_specificity": (~yes)[other & (differing == 1)].float().mean(),
        "auc": ((better > 0).float() + (better == 0).float() / 2).mean(),
        "degenerate_accepts": yes[degenerate].float().mean(),
    }
    return {name: round(float(rate), 4) for name, rate in values.items()}
