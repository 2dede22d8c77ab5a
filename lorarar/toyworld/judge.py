"""Training of the tiny judge: its vision tower on attributes, then the whole model on questions about two images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.judge.backends.transformers import last_logits
from lorarar.toyworld.attributes import ATTRIBUTES
from lorarar.toyworld.judge_data import ImagePairs, scaled
from lorarar.toyworld.judge_model import IMAGE_TOKENS
from lorarar.toyworld.judge_texts import NOTHING, VALUE_WORDS, Wording, ask_name, ask_same, name_for
from lorarar.toyworld.reader import disturb

_NAMES = list(ATTRIBUTES)
# Shares of (naming, one attribute the same?, whole questions) up to each part of the training.
_CURRICULUM = ((0.3, (0.5, 0.5, 0.0)), (0.5, (0.2, 0.4, 0.4)), (1.0, (0.05, 0.1, 0.85)))


class TowerTraining(lightning.LightningModule):
    """The vision tower alone: every token must tell all eight attributes of its image."""

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        pairs: ImagePairs,
        *,
        seed: int,
        steps: int,
        batch: int,
        learning_rate: float,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.seed, self.steps, self.batch, self.learning_rate = seed, steps, batch, learning_rate
        self.tower, width = model.model.vision_tower, model.config.vision_config.hidden_size
        self.heads = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(ATTRIBUTES.values())))
        self.images, self.attributes = pairs.images.flatten(0, 1), pairs.attributes.flatten(0, 1)

    def training_step(self, batch: int, index: int) -> Tensor:
        """One step on a batch that is a function of (seed, step)."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        chosen = torch.randint(len(self.images), (self.batch,), generator=random)
        images = disturb(scaled(self.images[chosen]), random).to(self.device)
        wanted = self.attributes[chosen].to(self.device)
        features = self.tower(images, output_hidden_states=True).hidden_states[-1]
        tokens = features.shape[1]
        losses = [
            nn.functional.cross_entropy(logits.flatten(0, 1), wanted[:, i].repeat_interleave(tokens), ignore_index=-1)
            for i, logits in enumerate(self.heads(features).split(list(ATTRIBUTES.values()), dim=2))
        ]
        loss = torch.stack(losses).mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient's norm to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self):  # noqa: ANN201 - Lightning's own type is a union of ten
        """AdamW on one cycle."""
        return _one_cycle([{"params": self.parameters(), "lr": self.learning_rate}], self.steps)


class JudgeTraining(lightning.LightningModule):
    """The whole model: names, then comparisons of one attribute, then the judge's questions."""

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        processor: LlavaProcessor,
        pairs: ImagePairs,
        wordings: Sequence[Wording],
        *,
        seed: int,
        steps: int,
        batch: int,
        learning_rate: float,
    ) -> None:
        super().__init__()
        self.seed, self.steps, self.batch, self.learning_rate = seed, steps, batch, learning_rate
        self.model, self.pairs, self.wordings = model, pairs, wordings
        self.prompts = Prompts(processor)
        self.agreement = {axis: pairs.same(axis).tolist() for axis in ("content", "style")}

    def training_step(self, batch: int, index: int) -> Tensor:
        """One step on a batch that is a function of (seed, step)."""
        random = np.random.default_rng((self.seed, self.global_step))
        chosen = random.integers(len(self.pairs.images), size=self.batch)
        asked = [self._ask(int(i), random) for i in chosen]
        images = torch.stack(
            [
                self.pairs.images[i].flip(0) if turned else self.pairs.images[i]
                for i, (_, _, turned) in zip(chosen, asked)
            ]
        )
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        pixels = disturb(scaled(images.flatten(0, 1)), noise)
        pixels = torch.where(
            torch.rand(len(pixels), 1, 1, 1, generator=noise) < 0.5, pixels, scaled(images.flatten(0, 1))
        )
        inputs = self.prompts.encode([text for text, _, _ in asked]) | {"pixel_values": pixels}
        wanted = torch.tensor([self.prompts.token(answer) for _, answer, _ in asked], device=self.device)
        logits = last_logits(self.model, {name: value.to(self.device) for name, value in inputs.items()})
        loss = nn.functional.cross_entropy(logits, wanted)
        self.log_dict({"loss": loss, "right": (logits.argmax(1) == wanted).float().mean()}, prog_bar=True)
        return loss

    def _ask(self, pair: int, random: np.random.Generator) -> tuple[str, str, bool]:
        """A question about a pair, its answer, and whether the test image comes first."""
        shares = next(shares for until, shares in _CURRICULUM if self.global_step <= until * self.steps)
        kind = random.choice(3, p=shares)
        shown = self.pairs.attributes[pair]
        if kind == 2:
            wording = self.wordings[random.integers(len(self.wordings))]
            text = wording.text.replace("{name}", name_for(wording.axis, int(shown[0, 0]), random))
            return text, "yes" if self.agreement[wording.axis][pair] else "no", wording.swapped
        attribute, turned, second = (
            int(random.integers(len(_NAMES))),
            bool(random.random() < 0.5),
            bool(random.random() < 0.5),
        )
        values = shown[:, attribute].tolist()
        if kind == 1:
            return ask_same(_NAMES[attribute]), "yes" if values[0] == values[1] else "no", turned
        value = values[int(second) ^ int(turned)]
        return (
            ask_name(_NAMES[attribute], second),
            VALUE_WORDS[_NAMES[attribute]][value] if value >= 0 else NOTHING,
            turned,
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient's norm to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self):  # noqa: ANN201 - Lightning's own type is a union of ten
        """AdamW on one cycle, the trained tower at a fifth of the rate."""
        tower = list(self.model.model.vision_tower.parameters())
        known = {id(p) for p in tower}
        rest = [p for p in self.model.parameters() if id(p) not in known]
        groups = [{"params": rest, "lr": self.learning_rate}, {"params": tower, "lr": self.learning_rate / 5}]
        return _one_cycle(groups, self.steps)


class Prompts:
    """Turns texts into the very tokens that the processor makes of two images and a text, faster."""

    def __init__(self, processor: LlavaProcessor) -> None:
        self._processor, self._known = processor, {}

    def encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """``input_ids`` and ``attention_mask`` (n, longest), padded on the right."""
        rows = [torch.tensor(self._tokens(text)) for text in texts]
        pad = self._processor.tokenizer.pad_token_id
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}

    def token(self, word: str) -> int:
        """The id of a word."""
        return int(self._processor.tokenizer.convert_tokens_to_ids(word))

    def _tokens(self, text: str) -> list[int]:
        if text not in self._known:
            prompt = self._processor.apply_chat_template(messages(text), add_generation_prompt=True, tokenize=False)
            expanded = prompt.replace(self._processor.image_token, self._processor.image_token * IMAGE_TOKENS)
            self._known[text] = self._processor.tokenizer(expanded)["input_ids"]
        return self._known[text]


def messages(text: str):
    return [{"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": text}]}]


def _one_cycle(groups, steps):  # noqa: ANN001, ANN202
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    with warnings.catch_warnings():
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [g["lr"] for g in groups], steps + 1, pct_start=0.1)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
