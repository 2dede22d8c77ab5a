"""What a merged model is asked in a training step, and what its teachers answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from lorarar.diffusion import Backbone, Conditioning, adapted, join_conditionings
from lorarar.lora import Coefficients, merge_exactly
from lorarar.mergers import LossWeights, combined_target, fidelity_loss, similarity
from lorarar.training.pairs import PairBatch


@dataclass(frozen=True)
class TargetQuestion:
    """Noisy latents (n, channels, h, w), timesteps (n,) and prompts."""

    noisy: Tensor
    timesteps: Tensor
    conditioning: Conditioning


def questions(pair: PairBatch, weights: LossWeights) -> dict[str, TargetQuestion]:
    """What the merged model of a pair is asked, by term: n inputs for each concept, 2 n combined, 2 n described.

    Raises:
        ValueError: the described term has a weight, and the pair no description.
    """
    asked = {}
    if weights.fidelity or weights.combined:
        asked |= dict(zip(("content", "style"), own_questions(pair), strict=True))
    if weights.combined:
        asked["combined"] = combined_question(pair)
    if weights.distillation:
        asked["distillation"] = distillation_question(pair, pair.combined)
    return asked


def own_questions(pair: PairBatch) -> list[TargetQuestion]:
    """Each concept's noisy images under their captions: content, style.

    Raises:
        ValueError: a concept has no images.
    """
    if pair.content is None or pair.style is None:
        raise ValueError(
            f"expected images of both concepts of {pair.name} for the terms on their own prompts, found none: give "
            "them images, or set weights.fidelity=0 and weights.combined=0"
        )
    return [TargetQuestion(draw.noisy, draw.timesteps, draw.conditioning) for draw in (pair.content, pair.style)]


def combined_question(pair: PairBatch) -> TargetQuestion:
    """Both concepts' noisy latents, in turn under the combined prompt and without a prompt.

    Sampling with classifier-free guidance sees both, and amplifies what the merge does to either.
    """
    both = own_questions(pair)
    noisy, timesteps = torch.cat([one.noisy for one in both]), torch.cat([one.timesteps for one in both])
    turn = int(timesteps[0]) % 2  # so that with one image a step each concept gets both, in different steps
    prompts = [pair.unconditional if (i + turn) % 2 else pair.combined for i in range(len(noisy))]
    return TargetQuestion(noisy, timesteps, join_conditionings(prompts))


def distillation_question(pair: PairBatch, prompt: Conditioning) -> TargetQuestion:
    """Noisy images that the base drew of a pair, each under a prompt (1, ..) and again without one.

    Raises:
        ValueError: the base drew none.
    """
    if pair.synthetic is None:
        raise ValueError(
            f"expected images of {pair.name} that the base drew from descriptions, found none: give both concepts a "
            "description in their manifest, or set weights.distillation=0"
        )
    n = len(pair.synthetic.noisy)
    prompts = [prompt] * n + [pair.unconditional] * n
    return TargetQuestion(
        pair.synthetic.noisy.repeat(2, 1, 1, 1), pair.synthetic.timesteps.repeat(2), join_conditionings(prompts)
    )


def join(asked: Sequence[TargetQuestion]) -> TargetQuestion:
    """One batch of several questions, in their order."""
    return TargetQuestion(
        torch.cat([q.noisy for q in asked]),
        torch.cat([q.timesteps for q in asked]),
        join_conditionings([q.conditioning for q in asked]),
    )


@contextmanager
def objective_terms(
    backbone: Backbone, pairs: Sequence[PairBatch], coefficients: Sequence[Coefficients], weights: LossWeights
) -> Iterator[dict[str, Tensor]]:
    """Each term of the objective for each of n pairs, (n,) by name, differentiable in the coefficients.

    All merged passes of all pairs are one pass, and so are all teachers'. Keep the context open through backward: the
    merged LoRAs are in the model until it closes.

    Args:
        coefficients: one for each pair.
    """
    targets = answers(backbone, pairs, weights)
    # In float32 as when files are merged, whatever the base runs in.
    with torch.autocast(backbone.device.type, enabled=False):
        merged = [merge_exactly(pair.loras, m) for pair, m in zip(pairs, coefficients, strict=True)]
        overlap = torch.stack([similarity(m, weights.kind) for m in coefficients])
    asked = [questions(pair, weights) for pair in pairs]
    inputs = join([question for mine in asked for question in mine.values()])
    with adapted(backbone.denoiser, merged):
        said = _ask(backbone, inputs).chunk(len(pairs))
        yield _fidelity(said, asked, targets) | {"similarity": overlap}


def _fidelity(
    said: Sequence[Tensor], asked: Sequence[dict[str, TargetQuestion]], targets: Sequence[dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Each term's mean squared error for each pair, (n,)."""
    losses: dict[str, list[Tensor]] = {}
    for mine, questions_, target in zip(said, asked, targets, strict=True):
        parts = torch.split(mine, [len(question.noisy) for question in questions_.values()])
        for name, part in zip(questions_, parts, strict=True):
            losses.setdefault(name, []).append(fidelity_loss(part, target[name]))
    return {name: torch.stack(values) for name, values in losses.items()}


@torch.no_grad()
def answers(backbone: Backbone, batch: Sequence[PairBatch], weights: LossWeights) -> list[dict[str, Tensor]]:
    """For each pair the targets of its questions, by term."""
    targets = _taught(backbone, batch, weights) if weights.fidelity or weights.combined else [{} for _ in batch]
    if weights.distillation:
        told = [distillation_question(pair, pair.synthetic.conditioning[:1]) for pair in batch if pair.synthetic]
        for target, said in zip(targets, _ask(backbone, join(told)).chunk(len(batch)), strict=True):
            target["distillation"] = said
    return targets


def _taught(backbone: Backbone, batch: Sequence[PairBatch], weights: LossWeights) -> list[dict[str, Tensor]]:
    """What the LoRAs teach: both LoRAs of all pairs in one pass, the base in another."""
    own = [own_questions(pair) for pair in batch]
    extra = [[combined_question(pair)] if weights.combined else [] for pair in batch]
    asked = join([q for mine, both in zip(own, extra, strict=True) for side in mine for q in (side, *both)])
    with adapted(backbone.denoiser, [lora for pair in batch for lora in pair.loras]):
        said = _ask(backbone, asked).chunk(2 * len(batch))
    count = len(own[0][0].noisy)
    targets = [{"content": said[2 * i][:count], "style": said[2 * i + 1][:count]} for i in range(len(batch))]
    if weights.combined:
        base = _ask(backbone, join([q for both in extra for q in both])).chunk(len(batch))
        for i, target in enumerate(targets):
            parts = (said[2 * i][count:], said[2 * i + 1][count:], base[i])
            target["combined"] = combined_target(*parts, weights.strengths)
    return targets


def _ask(backbone: Backbone, asked: TargetQuestion) -> Tensor:
    """Predictions, weighted as the objective counts them: both sides of every term are such."""
    said = backbone.predict(asked.noisy, asked.timesteps, asked.conditioning)
    return said * backbone.noise.weight(asked.timesteps).view(-1, 1, 1, 1).to(said)
