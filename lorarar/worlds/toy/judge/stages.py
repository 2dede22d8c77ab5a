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
from lorarar.worlds.toy.judge.data import TRAINING_SETS, check_training_pairs, reconstruct, render_pairs
from lorarar.worlds.toy.judge.ending import fit_end
from lorarar.worlds.toy.judge.model import build_model, build_processor
from lorarar.worlds.toy.judge.recipes import TinyJudgeConfig
from lorarar.worlds.toy.judge.scores import measure_judge
from lorarar.worlds.toy.judge.texts import RUBRICS, training_rubrics, vocabulary_texts
from lorarar.worlds.toy.judge.training import CURRICULUM, JudgeTraining, TowerTraining


def train_tiny(config: TinyJudgeConfig) -> Path:
    """Train the judge, or resume from its checkpoints; write it and its card; return its folder.

    Raises:
        ConfigError: The run's folder has other settings.
    """
    claim_run(config.runs, config, ignored=("output", "base", "held_out_pairs"))
    rubrics = training_rubrics()
    processor = build_processor(vocabulary_texts(rubrics))
    model = build_model(processor, config.seed)
    pairs = render_pairs(config.pairs, config.seed)
    check_training_pairs(pairs)
    pairs = reconstruct(pairs, config.base / "vae", config.rebuilt, config.seed)
    tower = TowerTraining(model, pairs, config.tower, config.seed)
    fit(tower, steps=config.tower.steps, folder=config.runs / "tower", accelerator="cpu", stage="train the tower")
    judge = JudgeTraining(model, processor, pairs, rubrics, CURRICULUM, config.judge, config.seed)
    fit(judge, steps=config.judge.steps, folder=config.runs / "judge", accelerator="cpu", stage="train the judge")
    fit_end(model, processor, pairs, rubrics, config.seed)
    save_judge(model, processor, config.output)
    write_card(config.output, **judge_facts(config))
    return config.output


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
    return {
        "what": "judge of the toy world: a LLaVA trained from scratch on renders alone",
        "recipe": {key: value for key, value in asdict(config).items() if key not in ("output", "base", "runs")},
        "learnt_from": [f"{name} subjects and styles" for name in TRAINING_SETS],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "validation_renders": {name: measure_judge(model, processor, pairs, load_rubric(name)) for name in RUBRICS},
    }
