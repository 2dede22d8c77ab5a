"""Training of the tiny judge: its vision tower on attributes, then the whole model on pairs of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.datasets import AXES
from lorarar.evaluation.judge.ask.backends import messages
from lorarar.evaluation.judge.ask.rubrics import Rubric
from lorarar.worlds.toy.attributes import ATTRIBUTES
from lorarar.worlds.toy.classifier import disturb
from lorarar.worlds.toy.judge.data import ImagePairs, scale_pixels
from lorarar.worlds.toy.judge.model import IMAGE_TOKENS, TEXT_WIDTH, VISION_WIDTH
from lorarar.worlds.toy.judge.recipes import Stage
from lorarar.worlds.toy.judge.texts import NOTHING, VALUE_WORDS, agreement_question, name_question, questioned_concept

_NAMES = list(ATTRIBUTES)
_TOLD_AT, _COMPARED_AT = 1, 2  # the language model's layers after which images' tokens tell what was seen, and agrees


@dataclass(frozen=True)
class Lesson:
    """What is practised until a part of the training is done.

    Attributes:
        until: the part, 0 to 1.
        silent: the share of steps that ask nothing: the model only compares, which is much faster.
        kinds: among questions, the shares of naming an attribute, of one attribute's agreement, of whole questions.
    """

    until: float
    silent: float
    kinds: tuple[float, float, float]


CURRICULUM = (Lesson(0.4, 1, (0.15, 0.25, 0.6)), Lesson(0.5, 0, (0.15, 0.25, 0.6)), Lesson(1, 0, (0.05, 0.05, 0.9)))


class TowerTraining(lightning.LightningModule):
    """The vision tower alone: each of its tokens must tell all eight attributes of the image."""

    def __init__(self, model: LlavaForConditionalGeneration, pairs: ImagePairs, stage: Stage, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stage, self.seed = stage, seed
        self.tower = model.model.vision_tower
        self.heads = nn.Sequential(nn.LayerNorm(VISION_WIDTH), nn.Linear(VISION_WIDTH, sum(ATTRIBUTES.values())))
        self.images, self.attributes = pairs.images.flatten(0, 1), pairs.attributes.flatten(0, 1)

    def training_step(self, batch: int, index: int) -> Tensor:
        """One step on a batch that is a function of (seed, step)."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        chosen = torch.randint(len(self.images), (self.stage.batch,), generator=random)
        images = disturb(scale_pixels(self.images[chosen]), random).to(self.device)
        wanted = self.attributes[chosen].to(self.device)
        features = self.tower(images, output_hidden_states=True).hidden_states[-1]
        loss = _attribute_loss(self.heads(features), wanted[:, None].expand(-1, features.shape[1], -1))
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient's norm to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self) -> Any:
        """AdamW on one cycle, annealed by a cosine."""
        return _one_cycle(list(self.parameters()), self.stage, "cos")


class JudgeTraining(lightning.LightningModule):
    """All but the tower, which stays as it is: compare two images, then say in words what was asked about them.

    The second image's tokens must tell, by heads that are dropped afterwards: after one layer the attributes of both
    images, after two in which of them both agree. With answers alone as the signal, comparing was not learnt in
    reasonable time; without the attributes of both, the comparison of the less obvious ones was not.
    """

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        processor: LlavaProcessor,
        pairs: ImagePairs,
        rubrics: Sequence[Rubric],
        lessons: Sequence[Lesson],
        stage: Stage,
        seed: int,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stage, self.seed, self.lessons = stage, seed, lessons
        self.model, self.pairs, self.rubrics = model, pairs, rubrics
        model.model.vision_tower.requires_grad_(False)
        self.compare = nn.Sequential(nn.LayerNorm(TEXT_WIDTH), nn.Linear(TEXT_WIDTH, len(ATTRIBUTES)))
        self.tell = nn.Sequential(nn.LayerNorm(TEXT_WIDTH), nn.Linear(TEXT_WIDTH, 2 * sum(ATTRIBUTES.values())))
        self.prompts = PromptTokens(processor)
        self.agreement = {axis: pairs.same(axis).tolist() for axis in AXES}

    def training_step(self, batch: int, index: int) -> Tensor:
        """One step on a batch that is a function of (seed, step)."""
        random = np.random.default_rng((self.seed, self.global_step))
        chosen = random.integers(len(self.pairs.images), size=self.stage.batch)
        lesson = next(lesson for lesson in self.lessons if self.global_step < lesson.until * self.stage.steps)
        # All questions of a step are of one kind and rubric, so that short ones are not padded.
        kind, rubric = random.choice(3, p=lesson.kinds), self.rubrics[int(random.integers(len(self.rubrics)))]
        asked = [self._ask(int(i), int(kind), rubric, random) for i in chosen]
        images = self._show(chosen, [turned for _, _, turned in asked], random)
        comparing = bool(random.random() < lesson.silent)
        inputs = self.prompts.images(len(chosen)) if comparing else self.prompts.encode([text for text, _, _ in asked])
        inputs = {k: v.to(self.device) for k, v in (inputs | {"pixel_values": images}).items()}
        states = self.model.model(**inputs, output_hidden_states=True, use_cache=False)
        told = self._telling(states.hidden_states[_TOLD_AT], chosen, [turned for _, _, turned in asked])
        loss = self._comparing(states.hidden_states[_COMPARED_AT], chosen) + told
        if not comparing:
            ends = inputs["attention_mask"].sum(1) - 1
            logits = self.model.lm_head(states.last_hidden_state[torch.arange(len(ends)), ends])
            wanted = torch.tensor([self.prompts.token(answer) for _, answer, _ in asked], device=self.device)
            self.log("right", (logits.argmax(1) == wanted).float().mean(), prog_bar=True)
            loss = loss + nn.functional.cross_entropy(logits, wanted)
        self.log("loss", loss, prog_bar=True)
        return loss

    def _show(self, chosen: np.ndarray, turned: Sequence[bool], random: np.random.Generator) -> Tensor:
        """The pairs' images in the order in which they are asked about, (2 n, 3, 32, 32), half of them disturbed."""
        pairs = self.pairs.images[chosen]
        shown = torch.where(torch.tensor(turned)[:, None, None, None, None], pairs.flip(1), pairs)
        images = scale_pixels(shown.flatten(0, 1))
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        return torch.where(torch.rand(len(images), 1, 1, 1, generator=noise) < 0.5, disturb(images, noise), images)

    def _telling(self, states: Tensor, chosen: np.ndarray, turned: Sequence[bool]) -> Tensor:
        """Cross-entropy of both images' attributes at every token of the second image."""
        attributes = self.pairs.attributes[chosen]
        shown = torch.where(torch.tensor(turned)[:, None, None], attributes.flip(1), attributes).to(self.device)
        logits = self.tell(states[:, IMAGE_TOKENS : 2 * IMAGE_TOKENS]).unflatten(-1, (2, -1))
        return _attribute_loss(logits, shown[:, None].expand(-1, IMAGE_TOKENS, -1, -1))

    def _comparing(self, states: Tensor, chosen: np.ndarray) -> Tensor:
        """Cross-entropy of each attribute's agreement at every token of the second image."""
        attributes = self.pairs.attributes[chosen]
        agree = (attributes[:, 0] == attributes[:, 1]).float().to(self.device)
        logits = self.compare(states[:, IMAGE_TOKENS : 2 * IMAGE_TOKENS])
        return nn.functional.binary_cross_entropy_with_logits(logits, agree[:, None].expand_as(logits))

    def _ask(self, pair: int, kind: int, rubric: Rubric, random: np.random.Generator) -> tuple[str, str, bool]:
        """A question about a pair, its answer, and whether the test image is shown first."""
        turned, shown = bool(random.random() < 0.5), self.pairs.attributes[pair]
        if kind == 2:
            axis = AXES[int(random.integers(2))]
            text = rubric.ask(axis, questioned_concept(axis, int(shown[0, 0]), random), swapped=turned)
            return text, _yes_no(self.agreement[axis][pair]), turned
        attribute, second = _NAMES[int(random.integers(len(_NAMES)))], bool(random.random() < 0.5)
        values = shown[:, _NAMES.index(attribute)].tolist()
        if kind == 1:
            return agreement_question(attribute), _yes_no(values[0] == values[1]), turned
        value = values[second ^ turned]
        return name_question(attribute, second), VALUE_WORDS[attribute][value] if value >= 0 else NOTHING, turned

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient's norm to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self) -> Any:
        """AdamW on one cycle, annealed linearly: reading questions starts late, and a cosine would leave it little."""
        learnt = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return _one_cycle(learnt, self.stage, "linear")


class PromptTokens:
    """Turns texts into the very tokens that the processor makes of two images and a text, without images at hand."""

    def __init__(self, processor: LlavaProcessor) -> None:
        self._processor = processor
        self._known: dict[str, list[int]] = {}

    def encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """``input_ids`` and ``attention_mask`` (n, longest), padded on the right."""
        rows = [torch.tensor(self._tokens(text)) for text in texts]
        pad = self._processor.tokenizer.pad_token_id
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}

    def images(self, count: int) -> dict[str, Tensor]:
        """The tokens of two images and no text."""
        ids = torch.full((count, 2 * IMAGE_TOKENS), self._processor.image_token_id)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def token(self, word: str) -> int:
        """The id of a word."""
        return int(self._processor.tokenizer.convert_tokens_to_ids(word))

    def _tokens(self, text: str) -> list[int]:
        if text not in self._known:
            prompt = self._processor.apply_chat_template(messages(text, 2), add_generation_prompt=True, tokenize=False)
            image = self._processor.image_token
            self._known[text] = self._processor.tokenizer(prompt.replace(image, image * IMAGE_TOKENS))["input_ids"]
        return self._known[text]


def _attribute_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross-entropy of all attributes: logits (.., 45), wanted (.., 8), where -1 is not counted."""
    parts = zip(torch.split(logits, list(ATTRIBUTES.values()), dim=-1), wanted.unbind(-1), strict=True)
    losses = [nn.functional.cross_entropy(p.flatten(0, -2), w.flatten(), ignore_index=-1) for p, w in parts]
    return torch.stack(losses).mean()


def _yes_no(agrees: bool) -> str:
    return "yes" if agrees else "no"


def _one_cycle(learnt: list[nn.Parameter], stage: Stage, anneal: Literal["cos", "linear"]) -> dict[str, Any]:
    rate = stage.learning_rate
    optimiser = torch.optim.AdamW(learnt, rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, stage.steps + 1, pct_start=0.1, anneal_strategy=anneal
    )
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
