"""Plan: images, hours and bytes of a run, before anything runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

from lorarar.benchmark.quality.inputs import QualityInputs, missing_loras
from lorarar.benchmark.quality.settings import (
    JointSettings,
    PairSettings,
    RowSettings,
    TrainedSettings,
    TruthSettings,
)
from lorarar.diffusion import starting_latents

# A step of optimisation is two passes of teachers and two merged ones, whose gradients cost two more each.
_STEP_PASSES = 8
_TRAINING_PASSES = 3  # of a denoising step: a forward pass, and a backward that costs about two


def describe_plan(inputs: QualityInputs) -> str:
    """Return images, hours and GB of a run, from one timed pass of the base at batch 1.

    Batches are faster, so the hours are an upper bound.
    """
    config, rows, seconds = inputs.config, inputs.rows, forward_seconds(inputs)
    pairs, tuned = len(inputs.pairs()), len(inputs.tuning_pairs()) if any(row.trials for row in rows) else 0
    images = passes = kept = 0
    for row in rows:
        runs, trials = len(row.training_seeds), len(row.trials)
        kept += pairs * len(config.seeds) * runs
        images += pairs * len(config.seeds) * runs + tuned * len(config.tuned_seeds) * trials
        passes += _merge_passes(row.own.settings, pairs * runs, runs)
        passes += sum(_merge_passes(trial.settings, tuned, 1) for trial in row.trials)
    passes += images * config.steps * (2 if config.guidance > 1 else 1)
    size = inputs.backbone.resolution**2 * 3
    missing = missing_loras(config.loras, inputs.concepts)
    return (
        f"{len(rows)} rows, {pairs} pairs, {images} images ({kept} kept), at most "
        f"{passes * seconds / 3600:.1f} hours ({passes} passes of {seconds * 1000:.1f} ms) and "
        f"{kept * size / 1e9:.2f} GB of images" + (f". {_describe_missing(inputs, missing)}" if missing else "")
    )


def _describe_missing(inputs: QualityInputs, missing: Sequence[str]) -> str:
    return (
        f"{len(missing)} of {len(inputs.concepts)} LoRAs are missing in {inputs.config.loras}, first {missing[0]}: run "
        "`lorarar zoo` before the benchmark"
    )


def _merge_passes(settings: RowSettings, pairs: int, runs: int) -> int:
    """Return the passes that training or optimising takes for some pairs and training runs."""
    match settings:
        case TrainedSettings(config=config):
            return runs * config.recipe.steps * config.pairs * config.images_per_step * _STEP_PASSES
        case PairSettings(method=method):
            return pairs * method.recipe.steps * _STEP_PASSES
        case TruthSettings(fit=recipe) | JointSettings(recipe=recipe):
            return pairs * recipe.steps * recipe.images * _TRAINING_PASSES
        case _:
            return 0


@torch.no_grad()
def forward_seconds(inputs: QualityInputs) -> float:
    """Return the median time of one pass of the base at batch 1, in seconds."""
    backbone = inputs.backbone
    noisy = starting_latents(backbone, [0])
    conditioning, timesteps = backbone.encode_prompts([""]), torch.tensor([500], device=backbone.device)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        backbone.predict(noisy, timesteps, conditioning).cpu()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
