"""What a run will take, before anything runs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

from lorarar.benchmark.quality.config import MethodConfig
from lorarar.benchmark.quality.world import World
from lorarar.diffusion import starting_latents
from lorarar.mergers import MERGERS
from lorarar.storage import load_config
from lorarar.workflows import TrainConfig

# A step of optimisation is two passes of teachers and two merged ones, whose gradients cost two more each.
_STEP_PASSES = 8


def plan(world: World) -> str:
    """Images, hours and GB, from one timed pass of the base at batch 1. Batches are faster: an upper bound."""
    config, seconds = world.config, forward_seconds(world)
    pairs, tuned = len(world.pairs()), len(world.tuned_pairs()) if any(row.tried for row in config.methods) else 0
    images = passes = kept = 0
    for row in config.methods:
        runs, trials = len(row.training_seeds), len(row.tried)
        kept += pairs * len(config.seeds) * runs
        images += pairs * len(config.seeds) * runs + tuned * len(config.tuned_seeds) * trials
        passes += _passes_of_making(row, pairs * runs + tuned * trials, runs + trials)
    passes += images * config.steps * (2 if config.guidance > 1 else 1)
    size = world.backbone.resolution**2 * 3
    return (
        f"{len(config.methods)} rows, {pairs} pairs, {images} images ({kept} kept), at most "
        f"{passes * seconds / 3600:.1f} hours ({passes} passes of {seconds * 1000:.1f} ms) and "
        f"{kept * size / 1e9:.2f} GB of images"
    )


def _passes_of_making(row: MethodConfig, pairs: int, runs: int) -> int:
    """Passes to train or optimise what a row needs."""
    if row.kind == "trained":
        train = load_config(TrainConfig, Path(row.source), [])
        return runs * train.recipe.steps * train.pairs * train.images_per_step * _STEP_PASSES
    if row.kind == "pair":
        method = MERGERS[row.source].pair
        return pairs * int(row.settings.get("steps", method.recipe.steps if method else 0)) * _STEP_PASSES
    if row.kind in ("truth", "joint"):
        return pairs * int(row.settings["steps"]) * int(row.settings["images"]) * 3
    return 0


@torch.no_grad()
def forward_seconds(world: World) -> float:
    """Median time of one pass of the base at batch 1."""
    backbone = world.backbone
    noisy = starting_latents(backbone, [0])
    conditioning, timesteps = backbone.encode_prompts([""]), torch.tensor([500], device=backbone.device)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        backbone.predict(noisy, timesteps, conditioning).cpu()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
