"""Stages that make the embedded judge: data, training, the folder that is shipped, its card."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.evaluation.judge.ask.rubrics import load_rubric
from lorarar.storage import claim_run, write_card
from lorarar.training import fit
from lorarar.worlds.toy.judge.data import (
    TRAINING_SETS,
    ImagePairs,
    check_training_pairs,
    reconstruct,
    render_pairs,
)
from lorarar.worlds.toy.judge.ending import fit_end
from lorarar.worlds.toy.judge.generated import generate_images, pair_with_renders
from lorarar.worlds.toy.judge.model import build_model, build_processor
from lorarar.worlds.toy.judge.recipes import Refinement, TinyJudgeConfig
from lorarar.worlds.toy.judge.scores import measure_judge
from lorarar.worlds.toy.judge.texts import RUBRICS, training_rubrics, vocabulary_texts
from lorarar.worlds.toy.judge.training import CURRICULUM, REFINEMENT, JudgeTraining, TowerTraining


def train_tiny(config: TinyJudgeConfig) -> Path:
    """Train the judge, or resume from its checkpoints; write it and its card; return its folder.

    Raises:
        ConfigError: The run's folder has other settings.
    """
    claim_run(config.runs, config, ignored=("output", "world", "held_out_pairs"))
    processor = build_processor(vocabulary_texts(training_rubrics()))
    model = build_model(processor, config.seed)
    pairs = reconstruct(
        render_pairs(config.pairs, config.seed), config.world / "base" / "vae", config.rebuilt, config.seed
    )
    check_training_pairs(pairs)
    tower = TowerTraining(model, pairs, config.tower, config.seed)
    fit(tower, steps=config.tower.steps, folder=config.runs / "tower", accelerator="cpu", stage="train the tower")
    judge = JudgeTraining(model, processor, pairs, training_rubrics(), CURRICULUM, config.judge, config.seed)
    fit(judge, steps=config.judge.steps, folder=config.runs / "judge", accelerator="cpu", stage="train the judge")
    if config.refinement:
        refine(model, processor, pairs, config.refinement, config)
    fit_end(model, processor, pairs, training_rubrics(), config.seed)
    save_judge(model, processor, config.output)
    write_card(config.output, **judge_facts(config))
    return config.output


def refine(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    renders: ImagePairs,
    refinement: Refinement,
    config: TinyJudgeConfig,
) -> None:
    """Train a judge of renders on as many pairs with generated images too, or resume from the checkpoints."""
    runs, seed = config.runs / "refinement", config.seed
    generated = generate_images(config.world, refinement.generated, seed, config.runs / "generated")
    pairs = renders[: refinement.pairs] + pair_with_renders(generated, refinement.pairs, seed)
    check_training_pairs(pairs)
    tower = TowerTraining(model, pairs, refinement.tower, seed, generated)
    fit(tower, steps=refinement.tower.steps, folder=runs / "tower", accelerator="cpu", stage="refine the tower")
    judge = JudgeTraining(model, processor, pairs, training_rubrics(), REFINEMENT, refinement.judge, seed)
    fit(judge, steps=refinement.judge.steps, folder=runs / "judge", accelerator="cpu", stage="refine the judge")


def save_judge(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write model (fp16) and processor under a temporary name, then rename the folder."""
    temporary = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    short: Any = model
    short.half().save_pretrained(temporary)
    processor.save_pretrained(temporary)
    for path in temporary.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner may read
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def judge_facts(config: TinyJudgeConfig) -> dict[str, Any]:
    """Return the facts of the card: how the judge was made, and how well it separates validation renders."""
    processor = LlavaProcessor.from_pretrained(config.output)
    model = LlavaForConditionalGeneration.from_pretrained(config.output, dtype=torch.float32)
    pairs = render_pairs(config.held_out_pairs, config.seed + 1, ("validation",), (*TRAINING_SETS, "validation"))
    sources = [f"{name} subjects and styles" for name in TRAINING_SETS]
    if config.refinement:
        sources.append("images of the base with training LoRAs, as the attribute classifier reads them")
    return {
        "what": "judge of the toy world: a LLaVA trained from scratch",
        "recipe": {key: value for key, value in asdict(config).items() if key not in ("output", "world", "runs")},
        "learnt_from": sources,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "validation_renders": {name: measure_judge(model, processor, pairs, load_rubric(name)) for name in RUBRICS},
    }
