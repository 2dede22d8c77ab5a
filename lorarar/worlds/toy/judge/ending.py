"""End of an answer: after the training, the token that ends an answer is fitted, so that a server stops there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.datasets import AXES
from lorarar.evaluation.judge.ask.rubrics import Rubric
from lorarar.worlds.toy.judge.data import ImagePairs, scale_pixels
from lorarar.worlds.toy.judge.texts import VALUE_WORDS, name_question, questioned_concept
from lorarar.worlds.toy.judge.training import PromptTokens

_PAIRS, _BATCH = 384, 64
_BELOW, _ABOVE = 10.0, 5.0  # margins against the most probable other token: before and after the answer
_DECAY = 1e-6
_ROUNDS, _STEPS = 4, 500  # of L-BFGS


def fit_end(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pairs: ImagePairs,
    rubrics: Sequence[Rubric],
    seed: int,
) -> float:
    """Change the embedding of the end token alone, so that the end follows every answer of one word.

    The training asks for the answer only. Its end is a linear question: with the last hidden state h before the answer
    and h' after it, the embedding e of the end token is fitted so that e h lies 10 below the largest other logit and
    e h' lies 5 above it. No prompt holds the end token, so all other logits stay as they are.

    Returns:
        The share of answers after which the end is the most probable token, 0 to 1.
    """
    tokens = PromptTokens(processor)
    before, after = (torch.cat(states) for states in zip(*_states(model, tokens, pairs, rubrics, seed), strict=True))
    weight = model.lm_head.weight
    end = processor.tokenizer.eos_token_id
    others = torch.arange(len(weight)) != end
    best_before = (before @ weight.T)[:, others].amax(1).detach()
    best_after = (after @ weight.T)[:, others].amax(1).detach()
    row = _fit_row(before.double(), best_before.double(), after.double(), best_after.double())
    with torch.no_grad():
        weight[end] = row.to(weight.dtype)
    return float((after @ row.to(after.dtype) > best_after).float().mean())


def _fit_row(before: Tensor, best_before: Tensor, after: Tensor, best_after: Tensor) -> Tensor:
    """Return the row (width,) of least loss, for hidden states (n, width) and the largest other logits (n,)."""
    row = torch.zeros(before.shape[1], dtype=before.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS([row], max_iter=_STEPS, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimiser.zero_grad()
        below = nn.functional.softplus(before @ row - best_before + _BELOW).mean()
        above = nn.functional.softplus(best_after - after @ row + _ABOVE).mean()
        total = below + above + _DECAY * row.square().sum()
        total.backward()
        return float(total.detach())

    for _ in range(_ROUNDS):
        optimiser.step(loss)
    return row.detach()


@torch.no_grad()
def _states(
    model: LlavaForConditionalGeneration, tokens: PromptTokens, pairs: ImagePairs, rubrics: Sequence[Rubric], seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield last hidden states (n, width) before and after an answer, right or wrong, for all sorts of questions."""
    random = np.random.default_rng(seed)
    for start in range(0, min(_PAIRS, len(pairs.images)), _BATCH):
        images = scale_pixels(pairs.images[start : start + _BATCH].flatten(0, 1))
        categories = pairs.attributes[start : start + _BATCH, 0, 0].tolist()
        for rubric in rubrics:
            axis, swapped = AXES[int(random.integers(2))], bool(random.random() < 0.5)
            texts = [rubric.ask(axis, questioned_concept(axis, c, random), swapped=swapped) for c in categories]
            yield _around_answers(model, tokens, texts, random.choice(["yes", "no"], len(texts)).tolist(), images)
        for attribute, words in VALUE_WORDS.items():
            texts = [name_question(attribute, bool(random.random() < 0.5))] * len(categories)
            yield _around_answers(model, tokens, texts, random.choice(words, len(texts)).tolist(), images)


def _around_answers(
    model: LlavaForConditionalGeneration,
    tokens: PromptTokens,
    texts: Sequence[str],
    answers: Sequence[str],
    images: Tensor,
) -> tuple[Tensor, Tensor]:
    inputs = tokens.encode(texts, answers)
    states = model.model(**inputs, pixel_values=images, use_cache=False).last_hidden_state
    rows, ends = torch.arange(len(texts)), inputs["attention_mask"].sum(1) - 1
    return states[rows, ends - 1], states[rows, ends]
