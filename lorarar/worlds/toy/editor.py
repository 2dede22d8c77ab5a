"""Editor base: a base that edits an image by words or by a reference image.

It is the toy base, trained further with the condition images as channels, or a new transformer of FLUX's class, trained
from nothing with the condition images as tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor

from lorarar.diffusion import conditioned, load_backbone, widen
from lorarar.storage import ConfigError, claim_run, write_card
from lorarar.training import fit
from lorarar.worlds.stages.base import BaseTraining
from lorarar.worlds.stages.pipelines import build_pipeline, parts_of
from lorarar.worlds.stages.precision import fast_dtype
from lorarar.worlds.stages.recipes import BaseRecipe, EditorConfig
from lorarar.worlds.stages.runs import encoded_renders, save_pipeline
from lorarar.worlds.toy.analogies import Edit, plan_edits
from lorarar.worlds.toy.definition import TOY

CONDITIONS = 3  # before, after, image


class EditorTraining(BaseTraining):
    """Training of a widened base on edits.

    Args:
        pipeline: An untrained editor base; its parameters that require gradients are trained.
        recipe: How to train.
        edits: The edits.
        latents: Latents of reference, image and target of each, (n, 3, channels, h, w).
    """

    def __init__(self, pipeline: DiffusionPipeline, recipe: BaseRecipe, edits: Sequence[Edit], latents: Tensor) -> None:
        super().__init__(TOY, pipeline, recipe, [edit.renders()[-1] for edit in edits], latents[:, 2])
        self.edits, self.conditions_of = edits, latents

    def captions(self, chosen: NDArray[np.int64], random: np.random.Generator) -> list[str]:
        """Return the words of chosen edits."""
        return [self.edits[i].caption for i in chosen]

    def conditions(self, chosen: NDArray[np.int64]) -> AbstractContextManager[None]:
        """Return a context in which the denoiser sees the images of chosen edits."""
        latents = self.conditions_of[chosen].float().to(self.device)
        condition = torch.zeros_like(latents)
        condition[:, 2] = latents[:, 1]
        for row, i in enumerate(chosen):
            place = self.edits[i].place
            if place is not None:
                condition[row, place] = latents[row, 0]
        return conditioned(self.denoiser, condition)


def run_editor(config: EditorConfig) -> Path:
    """Train the editor base; write it with its card.

    Raises:
        ConfigError: The run's folder has other settings; the number of steps may change. Or there is neither a base to
            start from nor the shape and the parts of a new one.
        FileNotFoundError: There is no base.
    """
    recipe = config.recipe
    claim_run(config.runs, {"base": config.base, **asdict(recipe)}, ignored=["steps", "evaluate_every"])
    torch.manual_seed(recipe.seed)
    parts, pipeline = _untrained(config)
    edits = plan_edits(recipe.renders, recipe.seed)
    plan = [render for edit in edits for render in edit.renders()]
    latents = encoded_renders(TOY, plan, pipeline.vae, parts / "vae", config.runs / "latents")
    module = EditorTraining(pipeline, recipe, edits, latents.unflatten(0, (-1, 3)))
    fit(
        module,
        steps=recipe.steps,
        folder=config.runs,
        accelerator="cpu",
        checkpoint_every=250,
        dtype="fp32" if config.base is None else fast_dtype(),  # bf16 does not speed up fused attention
        stage="train the editor base",
    )
    save_pipeline(module.pipeline, config.output)
    facts = json.loads(json.dumps(asdict(recipe), default=str))
    write_card(config.output, what="editor base of the toy world", base=str(parts), recipe=facts)
    return config.output


def _untrained(config: EditorConfig) -> tuple[Path, DiffusionPipeline]:
    """Return the folder of the parts that stay frozen, and the base before training."""
    shape, parts = config.recipe.shape, config.recipe.parts
    if config.base is not None:
        backbone = load_backbone(config.base, device="cpu")
        widen(backbone.denoiser, CONDITIONS).requires_grad_(True).train()
        return config.base, backbone.pipeline
    if parts is None or shape.denoiser != "flux":
        raise ConfigError(
            f"expected base, or recipe.shape.denoiser=flux and recipe.parts, found {shape.denoiser} and {parts}: name "
            "a UNet of the toy world to start from, or a shape of FLUX's and the base whose parts it takes"
        )
    pipeline = build_pipeline(parts_of(parts), shape)
    pipeline.set_progress_bar_config(disable=True)
    return parts, pipeline
