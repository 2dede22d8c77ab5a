"""Scoring of images of pairs by a world's classifier, against the known truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorarar.datasets import Pair, tile_images
from lorarar.diffusion import SAMPLING, Backbone, Sampling, sample_batches
from lorarar.lora import Coefficients, LoRA, merge_exactly
from lorarar.worlds.stages.world import World, WorldClassifier, to_tensor

_BATCH_IMAGES = 64


@dataclass(frozen=True)
class ScoredImages:
    """Images and their scores.

    Attributes:
        images: Images of n LoRAs at k seeds, (n, k, 3, size, size), 0 to 1.
        scores: Values of each metric by its name, (n, k).
    """

    images: Tensor
    scores: dict[str, Tensor]

    def means(self) -> dict[str, float]:
        """Return the mean of each metric over all images."""
        return {name: float(values.mean()) for name, values in self.scores.items()}


def truth_of(world: World, pair: Pair) -> tuple[int, ...]:
    """Return the values that an image of the pair should show."""
    return world.truth(*world.members(pair))


def true_renders(world: World, pair: Pair, seeds: Sequence[int]) -> Tensor:
    """Return what images of a pair should look like, (seeds, 3, size, size), -1 to 1."""
    content, style = world.members(pair)
    return to_tensor([world.render(content, style, seed) for seed in seeds])


def score_images(classifier: WorldClassifier, images: Tensor, truths: Sequence[tuple[int, ...]]) -> dict[str, Tensor]:
    """Score images (n, k, 3, size, size), 0 to 1, against n truths; each metric is (n, k)."""
    n, k = images.shape[:2]
    true = torch.tensor(truths)[:, None].expand(n, k, -1).flatten(0, 1)
    parts = zip((images.flatten(0, 1) * 2 - 1).split(256), true.split(256), strict=True)
    scores = [classifier.score(*part) for part in parts]
    return {name: torch.cat([part[name] for part in scores]).unflatten(0, (n, k)) for name in scores[0]}


def generate_and_score(
    backbone: Backbone,
    classifier: WorldClassifier,
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
        classifier: The world's classifier.
        loras: n LoRAs; None is the base alone.
        prompts: n prompts.
        truths: What each of the n images should show.
        seeds: k noise seeds.
        sampling: Steps and guidance.
        progress: Called with the number of images of each batch.
    """
    parts = []
    for part in sample_batches(backbone, loras, prompts, seeds, sampling, batch=max(1, _BATCH_IMAGES // len(seeds))):
        parts.append(part)
        progress(part.shape[0] * part.shape[1])
    images = torch.cat(parts).clamp(0, 1)
    return ScoredImages(images, score_images(classifier, images, truths))


@dataclass(frozen=True)
class PairScorer:
    """Scorer of a merger by the images of some pairs: the scorer of `MergerTraining` on a world."""

    backbone: Backbone
    classifier: WorldClassifier
    pairs: Sequence[Pair]
    loras: Mapping[str, LoRA]
    seeds: Sequence[int]
    sampling: Sampling = SAMPLING

    def merged(self, merger: Callable[[Sequence[LoRA]], Coefficients]) -> list[LoRA]:
        """Return every pair's merged LoRA."""
        with torch.no_grad():
            device = self.backbone.device
            inputs = ((self.loras[p.content.name].to(device), self.loras[p.style.name].to(device)) for p in self.pairs)
            return [merge_exactly(loras, merger(loras)) for loras in inputs]

    def scored(self, merged: Sequence[LoRA | None], progress: Callable[[int], object] = lambda n: None) -> ScoredImages:
        """Sample and score the images of one LoRA for each pair, at the combined prompt."""
        prompts, truths = [p.prompt for p in self.pairs], [truth_of(self.classifier.world, p) for p in self.pairs]
        return generate_and_score(
            self.backbone, self.classifier, merged, prompts, truths, self.seeds, self.sampling, progress
        )

    def __call__(self, merger: Callable[[Sequence[LoRA]], Coefficients]) -> tuple[dict[str, float], Tensor]:
        """Return the mean scores and a grid of the first seed's images."""
        results = self.scored(self.merged(merger))
        return results.means(), tile_images(results.images[:, 0], columns=8)
