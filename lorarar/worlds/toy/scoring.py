"""Scoring of images of toy pairs by the attribute classifier, against the known truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lorarar.datasets import Pair, tile_images
from lorarar.diffusion import SAMPLING, Backbone, Sampling, sample_batches
from lorarar.lora import Coefficients, LoRA, merge_exactly
from lorarar.worlds.toy.attributes import Style, Subject, truth
from lorarar.worlds.toy.classifier import AttributeClassifier, score
from lorarar.worlds.toy.world import toy_world

_BATCH_IMAGES = 64


@dataclass(frozen=True)
class ScoredImages:
    """Images and their scores.

    Attributes:
        images: Images of n LoRAs at k seeds, (n, k, 3, 32, 32), 0 to 1.
        scores: Values of each metric by its name, (n, k).
    """

    images: Tensor
    scores: dict[str, Tensor]

    def means(self) -> dict[str, float]:
        """Return the mean of each metric over all images."""
        return {name: float(values.mean()) for name, values in self.scores.items()}


def subject_of(concept: str) -> Subject:
    """Return the subject of a content's id, such as "test_content_03"."""
    split, _, index = concept.split("_")
    return toy_world().subjects[split][int(index)]


def style_of(concept: str) -> Style:
    """Return the style of a style's id, such as "test_style_03"."""
    split, _, index = concept.split("_")
    return toy_world().styles[split][int(index)]


def truth_of(pair: Pair) -> tuple[int, ...]:
    """Return the eight attribute values that an image of the pair should show."""
    return truth(subject_of(pair.content.name), style_of(pair.style.name))


def describe_pair(pair: Pair) -> Pair:
    """Return the pair with descriptions of both concepts, which the manifest withholds for test pairs.

    They are for ceilings of the comparison alone.
    """
    content, style = subject_of(pair.content.name).words(), style_of(pair.style.name).words()
    return Pair(replace(pair.content, description=f"a {content}"), replace(pair.style, description=f"{style} style"))


def score_attributes(
    classifier: AttributeClassifier, images: Tensor, truths: Sequence[tuple[int, ...]]
) -> dict[str, Tensor]:
    """Score images (n, k, 3, 32, 32), 0 to 1, against the truths of n pairs; each metric is (n, k)."""
    n, k = images.shape[:2]
    true = torch.tensor(truths)[:, None].expand(n, k, -1).flatten(0, 1)
    recognised = torch.cat([classifier.read(part * 2 - 1) for part in images.flatten(0, 1).split(256)])
    return {name: values.unflatten(0, (n, k)) for name, values in score(recognised, true).items()}


def generate_and_score(
    backbone: Backbone,
    classifier: AttributeClassifier,
    loras: Sequence[LoRA | None],
    prompts: Sequence[str],
    truths: Sequence[tuple[int, ...]],
    seeds: Sequence[int],
    sampling: Sampling = SAMPLING,
    progress: Callable[[int], object] = lambda images: None,
) -> ScoredImages:
    """Sample images of n LoRAs at k seeds and score them.

    Args:
        backbone: The base.
        classifier: The attribute classifier.
        loras: n LoRAs; None is the base alone.
        prompts: n prompts.
        truths: The n pairs' eight attribute values.
        seeds: k noise seeds.
        sampling: Steps and guidance.
        progress: Called with the number of images of each batch.
    """
    parts = []
    for part in sample_batches(backbone, loras, prompts, seeds, sampling, batch=max(1, _BATCH_IMAGES // len(seeds))):
        parts.append(part)
        progress(part.shape[0] * part.shape[1])
    images = torch.cat(parts).clamp(0, 1)
    return ScoredImages(images, score_attributes(classifier, images, truths))


@dataclass(frozen=True)
class PairScorer:
    """Scorer of a merger by the images of some pairs: the scorer of `MergerTraining` on the toy world."""

    backbone: Backbone
    classifier: AttributeClassifier
    pairs: Sequence[Pair]
    loras: Mapping[str, LoRA]
    seeds: Sequence[int]
    sampling: Sampling = SAMPLING

    def merged(self, merger: Callable[[Sequence[LoRA]], Coefficients]) -> list[LoRA]:
        """Return every pair's merged LoRA."""
        with torch.no_grad():
            inputs = [(self.loras[p.content.name], self.loras[p.style.name]) for p in self.pairs]
            return [merge_exactly(loras, merger(loras)) for loras in inputs]

    def scored(self, merged: Sequence[LoRA | None], progress: Callable[[int], object] = lambda n: None) -> ScoredImages:
        """Sample and score the images of one LoRA for each pair, at the combined prompt."""
        prompts, truths = [p.prompt for p in self.pairs], [truth_of(p) for p in self.pairs]
        return generate_and_score(
            self.backbone, self.classifier, merged, prompts, truths, self.seeds, self.sampling, progress
        )

    def __call__(self, merger: Callable[[Sequence[LoRA]], Coefficients]) -> tuple[dict[str, float], Tensor]:
        """Return the mean scores and a grid of the first seed's images."""
        results = self.scored(self.merged(merger))
        return results.means(), tile_images(results.images[:, 0], columns=8)
