"""Describer: a second tiny vision-language model, which puts into words what several images have in common.

It has the vision tower of the embedded judge, which is frozen, and a smaller language model of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.datasets import AXES, Axis
from lorarar.evaluation.judge.ask import DESCRIBE, DESCRIBED_IMAGES
from lorarar.storage import claim_run, write_card
from lorarar.training import fit
from lorarar.worlds.toy.attributes import ATTRIBUTES, CONTENT_ATTRIBUTES, Style, Subject, all_styles, all_subjects
from lorarar.worlds.toy.judge.data import (
    TRAINING_SETS,
    ImagePairs,
    check_training_pairs,
    reconstruct,
    render_pairs,
    scale_pixels,
)
from lorarar.worlds.toy.judge.model import END, IMAGE_TOKENS, build_model, build_processor
from lorarar.worlds.toy.judge.recipes import DescriberConfig, TrainStage
from lorarar.worlds.toy.judge.stages import save_judge
from lorarar.worlds.toy.judge.training import PromptTokens, attribute_loss, one_cycle

_WIDTH, _LAYERS = 96, 2  # of the language model
_STRANGE = 0.1  # share of the images of a set that show something else, so that the others must outvote them
_BORDER = len(CONTENT_ATTRIBUTES)


def describe_member(axis: Axis, values: Sequence[int]) -> str:
    """Return the words of a subject or a style: "a red cat with white dots", "light blue grid bare flat style".

    Args:
        axis: "content" for a subject.
        values: Its four attributes.
    """
    return f"a {Subject(*values).words()}" if axis == "content" else f"{Style(*values).words()} style"


class ImageSets:
    """Sets of images that have a subject or a style in common.

    Args:
        images: Images (n, 3, 32, 32), 0 to 255, uint8.
        attributes: Their attributes, (n, 8); -1 for an image that shows neither subject nor style.
    """

    def __init__(self, images: Tensor, attributes: Tensor) -> None:
        shown = attributes[:, 0] >= 0
        self._images, self._attributes = images[shown], attributes[shown]
        self._groups: dict[Axis, dict[tuple[int, ...], list[int]]] = {axis: {} for axis in AXES}
        for number, row in enumerate(self._attributes.tolist()):
            for axis, values in zip(AXES, (row[:_BORDER], row[_BORDER:]), strict=True):
                self._groups[axis].setdefault(tuple(values), []).append(number)
        self._members = {axis: list(groups) for axis, groups in self._groups.items()}

    def pick(self, axis: Axis, count: int, random: np.random.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Return `count` sets.

        Returns:
            Images (count, `DESCRIBED_IMAGES`, 3, 32, 32), uint8; their attributes (count, `DESCRIBED_IMAGES`, 8); the
            words of each set.
        """
        chosen = [self._members[axis][i] for i in random.integers(len(self._members[axis]), size=count)]
        rows = np.stack([random.choice(self._groups[axis][member], DESCRIBED_IMAGES) for member in chosen])
        strange = random.random(rows.shape) < _STRANGE
        rows[strange] = random.integers(len(self._images), size=int(strange.sum()))
        return self._images[rows], self._attributes[rows], [describe_member(axis, member) for member in chosen]


class DescriberTraining(lightning.LightningModule):
    """Training of everything but the tower: write the words of a set of images.

    As in `JudgeTraining`, the images' tokens must predict their attributes after one layer, by heads that are dropped
    afterwards: with words alone as the signal, the model did not learn to name subjects in reasonable time.
    """

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        processor: LlavaProcessor,
        sets: ImageSets,
        stage: TrainStage,
        seed: int,
    ) -> None:
        super().__init__()
        self.model, self.sets, self.stage, self.seed = model, sets, stage, seed
        model.model.vision_tower.requires_grad_(False)
        self.attribute_heads = nn.Sequential(nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, sum(ATTRIBUTES.values())))
        self.prompts = PromptTokens(processor, DESCRIBED_IMAGES)

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step): sets of one axis, all texts equally long."""
        random = np.random.default_rng((self.seed, self.global_step))
        axis = AXES[int(random.integers(2))]
        images, attributes, words = self.sets.pick(axis, self.stage.batch, random)
        inputs = self.prompts.encode([DESCRIBE[axis]] * len(words), [f"{text} {END}" for text in words])
        answer = len(words[0].split()) + 1
        ids, pixels = inputs["input_ids"].to(self.device), scale_pixels(images.flatten(0, 1)).to(self.device)
        states = self.model.model(
            input_ids=ids[:, :-1], pixel_values=pixels, use_cache=False, output_hidden_states=True
        )
        logits, true = self.model.lm_head(states.last_hidden_state[:, -answer:]), ids[:, -answer:]
        self.log("right", (logits.argmax(-1) == true).float().mean(), prog_bar=True)
        shown = states.hidden_states[1][:, : DESCRIBED_IMAGES * IMAGE_TOKENS]
        own = attributes.repeat_interleave(IMAGE_TOKENS, dim=1).to(self.device)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), true.flatten())
        loss = loss + attribute_loss(self.attribute_heads(shown), own)
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of the gradient to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of its rate, annealed by a cosine."""
        return one_cycle([p for p in self.parameters() if p.requires_grad], self.stage, "cos")


def train_describer(config: DescriberConfig) -> Path:
    """Train the describer, or resume from its checkpoint; write it and its card; return its folder.

    Raises:
        ConfigError: The run's folder has other settings.
    """
    claim_run(config.runs, config, ignored=("output", "judge", "base", "held_out_pairs"))
    processor = build_processor(_all_texts())
    model = build_model(processor, config.seed, _WIDTH, _LAYERS)
    judge = LlavaForConditionalGeneration.from_pretrained(config.judge, dtype=torch.float32)
    model.model.vision_tower.load_state_dict(judge.model.vision_tower.state_dict())
    pairs = _pairs(config, config.pairs, config.seed, TRAINING_SETS)
    check_training_pairs(pairs)
    training = DescriberTraining(model, processor, _sets(pairs), config.training, config.seed)
    fit(training, steps=config.training.steps, folder=config.runs / "describer", accelerator="cpu", stage="train")
    save_judge(model, processor, config.output)
    write_card(config.output, **_facts(config))
    return config.output


def _pairs(config: DescriberConfig, count: int, seed: int, sets: Sequence[str]) -> ImagePairs:
    return reconstruct(render_pairs(count, seed, sets), config.base / "vae", config.rebuilt, seed)


def _sets(pairs: ImagePairs) -> ImageSets:
    return ImageSets(pairs.images.flatten(0, 1), pairs.attributes.flatten(0, 1))


def _all_texts() -> list[str]:
    """Return every text that the vocabulary must cover."""
    subjects, styles = all_subjects(), all_styles()
    values: dict[Axis, list[list[int]]] = {
        "content": [[getattr(subject, field.name) for field in fields(subject)] for subject in subjects],
        "style": [[getattr(style, field.name) for field in fields(style)] for style in styles],
    }
    return [*DESCRIBE.values(), *(describe_member(axis, row) for axis, rows in values.items() for row in rows)]


@torch.no_grad()
def _facts(config: DescriberConfig) -> dict[str, Any]:
    """Return the facts of the card: how the describer was made, and its words for sets of validation renders."""
    processor = LlavaProcessor.from_pretrained(config.output)
    model: Any = LlavaForConditionalGeneration.from_pretrained(config.output, dtype=torch.float32)
    sets = _sets(_pairs(config, config.held_out_pairs, config.seed + 1, ("validation",)))
    prompts, random, right = PromptTokens(processor, DESCRIBED_IMAGES), np.random.default_rng(config.seed), {}
    for axis in AXES:
        images, _, words = sets.pick(axis, config.held_out_pairs, random)
        inputs = prompts.encode([DESCRIBE[axis]] * len(words))
        written = model.generate(
            **inputs, pixel_values=scale_pixels(images.flatten(0, 1)), max_new_tokens=8, do_sample=False
        )
        texts = processor.tokenizer.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        right[axis] = float(np.mean([text == true for text, true in zip(texts, words, strict=True)]))
    paths = ("output", "judge", "base", "runs")
    return {
        "what": "describer of the toy world: the tower of the embedded judge, and a language model trained on renders",
        "recipe": {key: value for key, value in asdict(config).items() if key not in paths},
        "learnt_from": [f"{name} subjects and styles" for name in TRAINING_SETS],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "all_words_right_on_validation_renders": right,
    }
