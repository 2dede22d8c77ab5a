"""Methods that answer analogies: trained bases, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lorarar.analogies import Analogies, combine_loras, digest_of, encode_condition
from lorarar.benchmark.analogies.settings import AnswersConfig
from lorarar.diffusion import Backbone, conditioned, sample_prompts
from lorarar.storage import sha256
from lorarar.worlds.toy import Analogy, describe_change

COMBINATION = "optimised combination"
# Maps the images before, after, image and target, (n, 4, 3, size, size), -1 to 1, and their analogies to answers,
# (n, 3, size, size), 0 to 1.
Answer = Callable[[Tensor, Sequence[Analogy]], Tensor]


@dataclass(frozen=True)
class AnswerMethod:
    """A method.

    Attributes:
        name: Name of its row.
        identity: What its answers depend on, besides the analogies and the sampling.
        answer: How it answers.
        tasks: Transformations that it knows by number; None where it knows any from its images.
    """

    name: str
    identity: str
    answer: Answer
    tasks: frozenset[str] | None = None

    def knows(self, name: str) -> bool:
        """Tell whether it can answer a transformation or a composition."""
        return self.tasks is None or set(name.split("+")) <= self.tasks


def comparisons(backbone: Backbone, config: AnswersConfig) -> list[AnswerMethod]:
    """Return what needs no training: copies, the truth through the autoencoder, the base alone and by words."""

    def sampled(condition: Tensor, prompts: Sequence[str]) -> Tensor:
        with torch.no_grad(), conditioned(backbone.denoiser, condition):
            return sample_prompts(backbone, prompts, [config.seed] * len(prompts), config.sampling).clamp(0, 1)

    def alone(images: Tensor, analogies: Sequence[Analogy]) -> Tensor:
        return sampled(encode_condition(backbone, images[:, :3], "images"), ["a"] * len(images))

    def by_words(images: Tensor, analogies: Sequence[Analogy]) -> Tensor:
        condition = encode_condition(backbone, images[:, :3], "images")
        condition[:, :2] = 0
        return sampled(condition, [describe_change(analogy) for analogy in analogies])

    @torch.no_grad()
    def decoded(images: Tensor, analogies: Sequence[Analogy]) -> Tensor:
        vae = backbone.pipeline.vae
        pixels: Tensor = vae.decode(backbone.encode_images(images[:, 3]) / vae.config.scaling_factor).sample
        return (pixels / 2 + 0.5).clamp(0, 1)

    base = digest_of(backbone.denoiser)
    return [
        AnswerMethod("truth", "", decoded),
        AnswerMethod("copy of b", "", lambda images, _: images[:, 2] / 2 + 0.5),
        AnswerMethod("copy of a'", "", lambda images, _: images[:, 1] / 2 + 0.5),
        AnswerMethod("base alone", base, alone),
        AnswerMethod("base by words", base, by_words),
    ]


def basis_method(name: str, path: Path, analogies: Analogies, config: AnswersConfig) -> AnswerMethod:
    """Return a trained basis as a method.

    A composition of two transformations that it knows by number is the sum of their LoRAs, or the mean of their mixes.
    """
    trained = analogies.trained

    def answer(images: Tensor, planned: Sequence[Analogy]) -> Tensor:
        mix = mix_of(analogies, images[:, :3], planned)
        return analogies.answer(images[:, :3], mix, [config.seed] * len(images), config.sampling)

    known = frozenset(trained.tasks) if trained.basis.config.router in ("task", "own") else None
    return AnswerMethod(name, sha256(path), answer, known)


def combination_method(path: Path, analogies: Analogies, config: AnswersConfig) -> AnswerMethod:
    """Return the optimised combination of a basis' LoRAs as a method, see `lorarar.analogies.combine_loras`."""

    def answer(images: Tensor, planned: Sequence[Analogy]) -> Tensor:
        mix = combine_loras(analogies, images[:, :2], steps=config.combination_steps, seed=config.seed)
        return analogies.answer(images[:, :3], mix, [config.seed] * len(images), config.sampling)

    return AnswerMethod(COMBINATION, f"{sha256(path)}, {config.combination_steps} steps", answer)


def mix_of(analogies: Analogies, images: Tensor, planned: Sequence[Analogy]) -> Tensor:
    """Return the mixes for triplets (n, 3, 3, size, size), -1 to 1: (n, layers, N)."""
    trained = analogies.trained
    if trained.basis.config.router not in ("task", "own"):
        return analogies.mix(images)
    steps = [[trained.tasks.index(kind.name) for kind, _ in a.transformation.steps] for a in planned]
    first, last = (analogies.mix(images, torch.tensor([numbers[i] for numbers in steps])) for i in (0, -1))
    if trained.basis.config.router == "task":
        return (first + last) / 2
    is_pair = torch.tensor([len(numbers) > 1 for numbers in steps], device=first.device)
    return first + last * is_pair[:, None, None]
