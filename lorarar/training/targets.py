"""Targets of a merged model: inputs of each term of the objective, and the teachers' predictions for them.

The teachers are the content LoRA and the style LoRA, for their own images and for the combined prompt, and the base
with both concepts' descriptions, for distillation. A cycle (DuoLoRA, arXiv 2504.13206) gives each LoRA a second target
for its own images: the other LoRA draws them anew under the combined prompt, the result gets the same noise, and the
LoRA predicts that. The released code takes the other LoRA for the way back too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from lorarar.diffusion import Backbone, Conditioning, adapted, join_conditionings
from lorarar.lora import Coefficients, merge_exactly
from lorarar.mergers import LossWeights, TermInputs, combined_target, terms_of
from lorarar.training.batches import NoisyBatch, join_batches
from lorarar.training.null_space import NullSpace, null_space_ratios
from lorarar.training.pairs import PairBatch


@dataclass(frozen=True)
class DenoiserInputs:
    """Inputs of the denoiser: noisy latents (n, channels, h, w), timesteps (n,) and n encoded prompts."""

    noisy: Tensor
    timesteps: Tensor
    conditioning: Conditioning


def term_inputs(pair: PairBatch, weights: LossWeights) -> dict[str, DenoiserInputs]:
    """Return the merged model's inputs by term: n for each concept, 2 n combined, 2 n for distillation.

    Raises:
        ValueError: A term has a weight, and the pair lacks its images.
    """
    inputs: dict[str, DenoiserInputs] = {}
    if weights.fidelity or weights.combined or weights.null_space:
        inputs["content"], inputs["style"] = concept_inputs(pair)
    if weights.combined:
        inputs["combined"] = combined_inputs(pair)
    if weights.distillation:
        inputs["distillation"] = distillation_inputs(pair, pair.combined)
    return inputs


def concept_inputs(pair: PairBatch) -> tuple[DenoiserInputs, DenoiserInputs]:
    """Return the noisy images of the content and of the style under their captions.

    Raises:
        ValueError: A concept has no images.
    """
    if pair.content is None or pair.style is None:
        raise ValueError(
            f"expected images of both concepts of {pair.name} for the terms on their own prompts, found none: give "
            "them images, or set loss_weights.fidelity=0 and loss_weights.combined=0"
        )
    content, style = pair.content, pair.style
    return (
        DenoiserInputs(content.noisy, content.timesteps, content.conditioning),
        DenoiserInputs(style.noisy, style.timesteps, style.conditioning),
    )


def combined_inputs(pair: PairBatch) -> DenoiserInputs:
    """Return both concepts' noisy latents, alternately under the combined prompt and without a prompt.

    Sampling with classifier-free guidance uses both predictions and amplifies their difference.
    """
    inputs = concept_inputs(pair)
    noisy = torch.cat([part.noisy for part in inputs])
    timesteps = torch.cat([part.timesteps for part in inputs])
    # The first prompt changes with the timestep: with one image a step, each concept gets both prompts over the steps.
    first = int(timesteps[0]) % 2
    prompts = [pair.unconditional if (i + first) % 2 else pair.combined for i in range(len(noisy))]
    return DenoiserInputs(noisy, timesteps, join_conditionings(prompts))


def distillation_inputs(pair: PairBatch, prompt: Conditioning) -> DenoiserInputs:
    """Return the noisy synthetic images of a pair, each under a prompt (1, ..) and again without a prompt.

    Raises:
        ValueError: The pair has no synthetic images.
    """
    synthetic = _synthetic(pair)
    n = len(synthetic.noisy)
    prompts = [prompt] * n + [pair.unconditional] * n
    return DenoiserInputs(
        synthetic.noisy.repeat(2, 1, 1, 1), synthetic.timesteps.repeat(2), join_conditionings(prompts)
    )


def _synthetic(pair: PairBatch) -> NoisyBatch:
    if pair.synthetic is None:
        raise ValueError(
            f"expected synthetic images of {pair.name}, found none: give both concepts a description in their "
            "manifest, or set loss_weights.distillation=0"
        )
    return pair.synthetic


def join_inputs(parts: Sequence[DenoiserInputs]) -> DenoiserInputs:
    """Return one batch of several inputs, in their order."""
    return DenoiserInputs(
        torch.cat([part.noisy for part in parts]),
        torch.cat([part.timesteps for part in parts]),
        join_conditionings([part.conditioning for part in parts]),
    )


@contextmanager
def objective_terms(
    backbone: Backbone, pairs: Sequence[PairBatch], coefficients: Sequence[Coefficients], weights: LossWeights
) -> Iterator[dict[str, Tensor]]:
    """Compute each term of the objective for each of n pairs, differentiable in the coefficients.

    One forward pass serves the merged models of all pairs, another all LoRAs as teachers. Keep the context open through
    backward: the merged LoRAs are in the model until it closes.

    Args:
        backbone: The base.
        pairs: n pairs in one step.
        coefficients: Coefficients of each pair.
        weights: Weights of the terms; a term of weight 0 is left out, except the similarity.

    Yields:
        The terms by name, (n,) each.
    """
    targets = term_targets(backbone, pairs, weights)
    # In float32 as when files are merged, whatever dtype the base computes in.
    with torch.autocast(backbone.device.type, enabled=False):
        merged = [merge_exactly(pair.loras, m) for pair, m in zip(pairs, coefficients, strict=True)]
    inputs = [term_inputs(pair, weights) for pair in pairs]
    joined = join_inputs([term for of_pair in inputs for term in of_pair.values()])
    with adapted(backbone.denoiser, merged), _null_space(backbone, pairs, weights) as null_space:
        predictions = predict_weighted(backbone, joined).chunk(len(pairs))
        with torch.autocast(backbone.device.type, enabled=False):
            computed = [
                terms_of(TermInputs(_by_term(prediction, of_pair, target), target, m, weights))
                for prediction, of_pair, target, m in zip(predictions, inputs, targets, coefficients, strict=True)
            ]
            terms = {name: torch.stack([of_pair[name] for of_pair in computed]) for name in computed[0]}
            if null_space:
                terms["null_space"] = null_space.mean()
        yield terms


def _null_space(
    backbone: Backbone, pairs: Sequence[PairBatch], weights: LossWeights
) -> AbstractContextManager[NullSpace | None]:
    if not weights.null_space:
        return nullcontext()
    return null_space_ratios(backbone.denoiser, [pair.loras for pair in pairs])


def _by_term(
    prediction: Tensor, inputs: Mapping[str, DenoiserInputs], targets: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Divide the prediction for one pair among its terms; inputs without a target serve the null space alone."""
    parts = torch.split(prediction, [len(of_term.noisy) for of_term in inputs.values()])
    return {name: part for name, part in zip(inputs, parts, strict=True) if name in targets}


@torch.no_grad()
def term_targets(backbone: Backbone, pairs: Sequence[PairBatch], weights: LossWeights) -> list[dict[str, Tensor]]:
    """Return the teachers' predictions for the inputs of each pair, by term."""
    targets: list[dict[str, Tensor]] = [{} for _ in pairs]
    if weights.fidelity or weights.combined:
        targets = _lora_targets(backbone, pairs, weights)
    if weights.cycle:
        for target, cycled in zip(targets, _cycle_targets(backbone, pairs), strict=True):
            target |= cycled
    if weights.distillation:
        # The base gets the description as its prompt, the merged model the combined prompt.
        described = [distillation_inputs(pair, _synthetic(pair).conditioning[:1]) for pair in pairs]
        predictions = predict_weighted(backbone, join_inputs(described)).chunk(len(pairs))
        for target, prediction in zip(targets, predictions, strict=True):
            target["distillation"] = prediction
    return targets


def _lora_targets(backbone: Backbone, pairs: Sequence[PairBatch], weights: LossWeights) -> list[dict[str, Tensor]]:
    """Return the predictions of both LoRAs of each pair, by term.

    One forward pass serves the LoRAs of all pairs. For the combined term another pass serves the base.
    """
    inputs: list[DenoiserInputs] = []
    combined: list[DenoiserInputs] = []
    for pair in pairs:
        extra = [combined_inputs(pair)] if weights.combined else []
        combined += extra
        for side in concept_inputs(pair):
            inputs += [side, *extra]
    with adapted(backbone.denoiser, [lora for pair in pairs for lora in pair.loras]):
        predictions = predict_weighted(backbone, join_inputs(inputs)).chunk(2 * len(pairs))
    count = len(inputs[0].noisy)
    targets = [
        {"content": predictions[2 * i][:count], "style": predictions[2 * i + 1][:count]} for i in range(len(pairs))
    ]
    if weights.combined:
        base = predict_weighted(backbone, join_inputs(combined)).chunk(len(pairs))
        for i, target in enumerate(targets):
            content, style = predictions[2 * i][count:], predictions[2 * i + 1][count:]
            target["combined"] = combined_target(content, style, base[i], weights.strengths)
    return targets


def _cycle_targets(backbone: Backbone, pairs: Sequence[PairBatch]) -> list[dict[str, Tensor]]:
    """Return "cycle_content" and "cycle_style": what each LoRA predicts after the other has drawn its images anew."""
    sides = [side for pair in pairs for side in (pair.content, pair.style) if side is not None]
    combined = [pair.combined for pair in pairs for _ in concept_inputs(pair)]
    own, noise = join_batches(sides), backbone.noise
    prompts = join_conditionings([prompt for prompt in combined for _ in sides[0].timesteps])
    with adapted(backbone.denoiser, [lora for pair in pairs for lora in reversed(pair.loras)]):
        predicted = backbone.predict(own.noisy, own.timesteps, prompts)
    drawn, true = (noise.clean(own.noisy, p, own.timesteps) for p in (predicted, own.target))
    # The same noise on other latents, since noise is added linearly.
    noisy = own.noisy + noise.add(drawn - true, torch.zeros_like(true), own.timesteps)
    with adapted(backbone.denoiser, [lora for pair in pairs for lora in pair.loras]):
        back = predict_weighted(backbone, DenoiserInputs(noisy, own.timesteps, own.conditioning)).chunk(len(sides))
    return [{"cycle_content": back[2 * i], "cycle_style": back[2 * i + 1]} for i in range(len(pairs))]


def predict_weighted(backbone: Backbone, inputs: DenoiserInputs) -> Tensor:
    """Return the model's predictions times the noise schedule's weights, as both sides of every error are."""
    prediction = backbone.predict(inputs.noisy, inputs.timesteps, inputs.conditioning)
    return prediction * backbone.noise.weight(inputs.timesteps).view(-1, 1, 1, 1).to(prediction)
