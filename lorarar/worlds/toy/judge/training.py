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
from lorarar.worlds.stages.classifier import disturb
from lorarar.worlds.toy.attributes import ATTRIBUTES
from lorarar.worlds.toy.judge.data import ImagePairs, scale_pixels
from lorarar.worlds.toy.judge.model import IMAGE_TOKENS, TEXT_WIDTH, VISION_WIDTH
from lorarar.worlds.toy.judge.recipes import TrainStage
from lorarar.worlds.toy.judge.texts import NOTHING, VALUE_WORDS, agreement_question, name_question, questioned_concept

_NAMES = list(ATTRIBUTES)
# Layers of the language model after which images' tokens predict both images' attributes, and their agreement.
_ATTRIBUTES_AT, _AGREEMENT_AT = 1, 2


@dataclass(frozen=True)
class TrainingPhase:
    """A phase of the training, with its mixture of tasks.

    Attributes:
        until: End of the phase, as a share of all steps, 0 to 1.
        silent: Share of steps without a question: the model only compares, which is much faster.
        kinds: Among questions, the shares of naming an attribute, of one attribute's agreement, of whole questions.
    """

    until: float
    silent: float
    kinds: tuple[float, float, float]


@dataclass(frozen=True)
class _TrainingQuestion:
    """A question about a pair, its answer, and whether the test image comes first."""

    text: str
    answer: str
    swapped: bool


CURRICULUM = (
    TrainingPhase(0.4, 1, (0.15, 0.25, 0.6)),
    TrainingPhase(0.5, 0, (0.15, 0.25, 0.6)),
    TrainingPhase(1, 0, (0.05, 0.05, 0.9)),
)


class TowerTraining(lightning.LightningModule):
    """Training of the vision tower alone: each of its tokens must predict all eight attributes of the image."""

    def __init__(self, model: LlavaForConditionalGeneration, pairs: ImagePairs, stage: TrainStage, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stage, self.seed = stage, seed
        self.tower = model.model.vision_tower
        self.heads = nn.Sequential(nn.LayerNorm(VISION_WIDTH), nn.Linear(VISION_WIDTH, sum(ATTRIBUTES.values())))
        self.images, self.attributes = pairs.images.flatten(0, 1), pairs.attributes.flatten(0, 1)

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step)."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        chosen = torch.randint(len(self.images), (self.stage.batch,), generator=random)
        images = disturb(scale_pixels(self.images[chosen]), random).to(self.device)
        true = self.attributes[chosen].to(self.device)
        features = self.tower(images, output_hidden_states=True).hidden_states[-1]
        loss = attribute_loss(self.heads(features), true[:, None].expand(-1, features.shape[1], -1))
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of the gradient to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of its rate, annealed by a cosine."""
        return one_cycle(list(self.parameters()), self.stage, "cos")


class JudgeTraining(lightning.LightningModule):
    """Training of everything but the tower, which is frozen: compare two images, then answer a question in words.

    The second image's tokens must predict, by heads that are dropped afterwards, the attributes of both images after
    one layer, and after two layers the attributes in which both agree. With answers alone as the signal, the model did
    not learn to compare in reasonable time; without the attributes of both images, it did not learn to compare the less
    obvious ones.
    """

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        processor: LlavaProcessor,
        pairs: ImagePairs,
        rubrics: Sequence[Rubric],
        phases: Sequence[TrainingPhase],
        stage: TrainStage,
        seed: int,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stage, self.seed, self.phases = stage, seed, phases
        self.model, self.pairs, self.rubrics = model, pairs, rubrics
        model.model.vision_tower.requires_grad_(False)
        self.agreement_head = nn.Sequential(nn.LayerNorm(TEXT_WIDTH), nn.Linear(TEXT_WIDTH, len(ATTRIBUTES)))
        self.attribute_heads = nn.Sequential(
            nn.LayerNorm(TEXT_WIDTH), nn.Linear(TEXT_WIDTH, 2 * sum(ATTRIBUTES.values()))
        )
        self.prompts = PromptTokens(processor)
        self.agreement = {axis: pairs.same(axis).tolist() for axis in AXES}

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step)."""
        random = np.random.default_rng((self.seed, self.global_step))
        chosen = random.integers(len(self.pairs.images), size=self.stage.batch)
        phase = next(phase for phase in self.phases if self.global_step < phase.until * self.stage.steps)
        # All questions of a step are of one kind and rubric, so that short ones need no padding.
        kind, rubric = random.choice(3, p=phase.kinds), self.rubrics[int(random.integers(len(self.rubrics)))]
        questions = [self._ask(int(i), int(kind), rubric, random) for i in chosen]
        swapped = [question.swapped for question in questions]
        images = self._images(chosen, swapped, random)
        comparing = bool(random.random() < phase.silent)
        inputs = self.prompts.images(len(chosen)) if comparing else self.prompts.encode([q.text for q in questions])
        inputs = {k: v.to(self.device) for k, v in (inputs | {"pixel_values": images}).items()}
        states = self.model.model(**inputs, output_hidden_states=True, use_cache=False)
        attribute_loss = self._attribute_error(states.hidden_states[_ATTRIBUTES_AT], chosen, swapped)
        loss = self._agreement_error(states.hidden_states[_AGREEMENT_AT], chosen) + attribute_loss
        if not comparing:
            ends = inputs["attention_mask"].sum(1) - 1
            logits = self.model.lm_head(states.last_hidden_state[torch.arange(len(ends)), ends])
            answers = torch.tensor([self.prompts.token(q.answer) for q in questions], device=self.device)
            self.log("right", (logits.argmax(1) == answers).float().mean(), prog_bar=True)
            loss = loss + nn.functional.cross_entropy(logits, answers)
        self.log("loss", loss, prog_bar=True)
        return loss

    def _images(self, chosen: np.ndarray, swapped: Sequence[bool], random: np.random.Generator) -> Tensor:
        """Return the pairs' images in the order of the questions, (2 n, 3, 32, 32), half of them disturbed."""
        pairs = self.pairs.images[chosen]
        ordered = torch.where(torch.tensor(swapped)[:, None, None, None, None], pairs.flip(1), pairs)
        images = scale_pixels(ordered.flatten(0, 1))
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        return torch.where(torch.rand(len(images), 1, 1, 1, generator=noise) < 0.5, disturb(images, noise), images)

    def _attribute_error(self, states: Tensor, chosen: np.ndarray, swapped: Sequence[bool]) -> Tensor:
        """Return the cross-entropy of both images' attributes at every token of the second image."""
        attributes = self.pairs.attributes[chosen]
        ordered = torch.where(torch.tensor(swapped)[:, None, None], attributes.flip(1), attributes).to(self.device)
        logits = self.attribute_heads(states[:, IMAGE_TOKENS : 2 * IMAGE_TOKENS]).unflatten(-1, (2, -1))
        return attribute_loss(logits, ordered[:, None].expand(-1, IMAGE_TOKENS, -1, -1))

    def _agreement_error(self, states: Tensor, chosen: np.ndarray) -> Tensor:
        """Return the cross-entropy of each attribute's agreement at every token of the second image."""
        attributes = self.pairs.attributes[chosen]
        agree = (attributes[:, 0] == attributes[:, 1]).float().to(self.device)
        logits = self.agreement_head(states[:, IMAGE_TOKENS : 2 * IMAGE_TOKENS])
        return nn.functional.binary_cross_entropy_with_logits(logits, agree[:, None].expand_as(logits))

    def _ask(self, pair: int, kind: int, rubric: Rubric, random: np.random.Generator) -> _TrainingQuestion:
        """Return a question of a kind about a pair: naming (0), one attribute's agreement (1) or whole (2)."""
        swapped, attributes = bool(random.random() < 0.5), self.pairs.attributes[pair]
        if kind == 2:
            axis = AXES[int(random.integers(2))]
            text = rubric.ask(axis, questioned_concept(axis, int(attributes[0, 0]), random), swapped=swapped)
            return _TrainingQuestion(text, _yes_no(self.agreement[axis][pair]), swapped)
        attribute, second = _NAMES[int(random.integers(len(_NAMES)))], bool(random.random() < 0.5)
        values = attributes[:, _NAMES.index(attribute)].tolist()
        if kind == 1:
            return _TrainingQuestion(agreement_question(attribute), _yes_no(values[0] == values[1]), swapped)
        value = values[second ^ swapped]
        answer = VALUE_WORDS[attribute][value] if value >= 0 else NOTHING
        return _TrainingQuestion(name_question(attribute, second), answer, swapped)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of the gradient to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of its rate, annealed linearly: questions come late, when a cosine is near 0."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return one_cycle(trained, self.stage, "linear")


class PromptTokens:
    """Tokens that the processor makes of some images and a text, computed without the images."""

    def __init__(self, processor: LlavaProcessor, images: int = 2) -> None:
        self._processor, self._images = processor, images
        self._tokens_of: dict[str, list[int]] = {}

    def encode(self, texts: Sequence[str], answers: Sequence[str] = ()) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (n, longest), padded on the right.

        Args:
            answers: The words that follow each text.
        """
        words = [[self.token(word) for word in answer.split()] for answer in answers] or [[]] * len(texts)
        rows = [torch.tensor(self._tokens(text) + word) for text, word in zip(texts, words, strict=True)]
        pad = self._processor.tokenizer.pad_token_id
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}

    def images(self, count: int) -> dict[str, Tensor]:
        """Return the tokens of two images without a text."""
        ids = torch.full((count, 2 * IMAGE_TOKENS), self._processor.image_token_id)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def token(self, word: str) -> int:
        """Return the id of a word."""
        return int(self._processor.tokenizer.convert_tokens_to_ids(word))

    def _tokens(self, text: str) -> list[int]:
        if text not in self._tokens_of:
            prompt = self._processor.apply_chat_template(
                messages(text, self._images), add_generation_prompt=True, tokenize=False
            )
            image = self._processor.image_token
            self._tokens_of[text] = self._processor.tokenizer(prompt.replace(image, image * IMAGE_TOKENS))["input_ids"]
        return self._tokens_of[text]


def attribute_loss(logits: Tensor, true: Tensor) -> Tensor:
    """Return the mean cross-entropy of all attributes from logits (.., 45) and values (.., 8); -1 does not count."""
    parts = zip(torch.split(logits, list(ATTRIBUTES.values()), dim=-1), true.unbind(-1), strict=True)
    losses = [nn.functional.cross_entropy(p.flatten(0, -2), w.flatten(), ignore_index=-1) for p, w in parts]
    return torch.stack(losses).mean()


def _yes_no(agrees: bool) -> str:
    return "yes" if agrees else "no"


def one_cycle(trained: list[nn.Parameter], stage: TrainStage, anneal: Literal["cos", "linear"]) -> dict[str, Any]:
    """Return AdamW with one cycle of its rate."""
    rate = stage.learning_rate
    optimiser = torch.optim.AdamW(trained, rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, stage.steps + 1, pct_start=0.1, anneal_strategy=anneal
    )
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
