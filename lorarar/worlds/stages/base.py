"""Training of a base from scratch on renders, whatever its architecture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning
import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn

from lorarar.diffusion import Backbone, Conditioning
from lorarar.worlds.stages.recipes import BaseRecipe
from lorarar.worlds.stages.world import Render, World

_WARM_UP = 0.05  # share of the steps, but at most 500 of them
_AVERAGED_EVERY, _HORIZON = 4, 400  # steps


class BaseTraining(lightning.LightningModule):
    """Training by denoising: squared error of the clean sample, weighted 1/max(noise's share of the variance, 0.15).

    A running mean of the weights is kept, for samples before the learning rate has fallen.

    Args:
        world: The world, for captions.
        pipeline: An untrained base; its parameters that require gradients are trained.
        recipe: How to train.
        renders: What the training set shows.
        latents: Its latents (n, channels, h, w).
    """

    def __init__(
        self, world: World, pipeline: DiffusionPipeline, recipe: BaseRecipe, renders: Sequence[Render], latents: Tensor
    ) -> None:
        super().__init__()
        self.world, self.recipe, self.renders, self.latents = world, recipe, renders, latents
        self.pipeline = pipeline
        self.backbone = Backbone(pipeline, frozen=False)
        self.denoiser = self.backbone.denoiser
        self.encoders = nn.ModuleDict(self.backbone.encoders)
        self.mean_weights = [p.detach().clone() for p in self.trained()]

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that are trained."""
        return [p for p in self.parameters() if p.requires_grad]

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step, process)."""
        random = np.random.default_rng((self.recipe.seed, self.global_step, self.global_rank))
        chosen = random.integers(len(self.renders), size=self.recipe.batch)
        latents = self.latents[chosen].float().to(self.device)
        noise = torch.from_numpy(random.standard_normal(latents.shape, dtype=np.float32)).to(self.device)
        timesteps = torch.from_numpy(random.integers(1000, size=self.recipe.batch)).to(self.device)
        captions = self.captions(chosen, random)
        noisy = self.backbone.add_noise(latents, noise, timesteps)
        with self.conditions(chosen):
            predicted = self.backbone.predict(noisy, timesteps, self._encode(captions)).float()
        errors = (self.backbone.noise.clean(noisy, predicted, timesteps) - latents).square().mean(dim=(1, 2, 3))
        loss = (errors / self.backbone.noise.level(timesteps).clamp(min=0.15)).mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def captions(self, chosen: NDArray[np.int64], random: np.random.Generator) -> list[str]:
        """Return captions of chosen images, (n,) indices."""
        found = []
        for i in chosen:
            content, style, _ = self.renders[i]
            found.append(self.world.caption(content, style, random))
        return found

    def conditions(self, chosen: NDArray[np.int64]) -> AbstractContextManager[None]:
        """Return a context in which the denoiser sees what else belongs to chosen images: here, nothing."""
        return nullcontext()

    def _encode(self, captions: list[str]) -> Conditioning:
        """Encode the captions, empty ones as guidance does in sampling: SDXL's pipeline takes zeros for them."""
        conditional = self.backbone.encode_prompts(captions)
        unconditional = self.backbone.unconditional(conditional[:1])
        empty = torch.tensor([[caption == ""] for caption in captions], device=self.device)
        embeddings = torch.where(empty[..., None], unconditional.embeddings, conditional.embeddings)
        if conditional.pooled is None or unconditional.pooled is None:
            return Conditioning(embeddings, None)
        return Conditioning(embeddings, torch.where(empty, unconditional.pooled, conditional.pooled))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of the gradient to 1; Lightning refuses to in mixed precision, since the optimiser is fused."""
        nn.utils.clip_grad_norm_(self.trained(), 1.0)

    @torch.no_grad()
    def on_train_batch_end(self, *_: Any) -> None:
        """Move the running mean towards the weights: over the first steps quickly, then over 400 steps."""
        if self.global_step % _AVERAGED_EVERY == 0:
            horizon = min(_HORIZON, 10 + self.global_step / 5)
            trained = [p.detach() for p in self.trained()]
            torch._foreach_lerp_(self.mean_weights, trained, 1 - math.exp(-_AVERAGED_EVERY / horizon))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the running mean of the weights for a while."""
        trained = self.trained()
        kept = [p.detach().clone() for p in trained]
        _assign(trained, self.mean_weights)
        try:
            yield
        finally:
            _assign(trained, kept)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the running mean."""
        checkpoint["mean_weights"] = self.mean_weights

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the running mean."""
        self.mean_weights = [w.to(p) for w, p in zip(checkpoint["mean_weights"], self.trained(), strict=True)]

    def on_fit_start(self) -> None:
        """Move the running mean to the device of the weights."""
        self.mean_weights = [w.to(self.device) for w in self.mean_weights]

    def configure_optimizers(self) -> Any:
        """Return AdamW, whose rate is warmed up, constant, and annealed to 0 by a cosine."""
        optimiser = torch.optim.AdamW(self.trained(), self.recipe.learning_rate, weight_decay=0.0, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, self.recipe))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate(step: int, recipe: BaseRecipe) -> float:
    """Return the learning rate of a step as a share of the highest one."""
    warm_up = min(500, max(1, _WARM_UP * recipe.steps))
    cooldown = recipe.cooldown * recipe.steps
    left = min(1.0, max(0.0, (recipe.steps - step) / cooldown))
    return min(1.0, (step + 1) / warm_up) * (0.5 - 0.5 * math.cos(math.pi * left))


@torch.no_grad()
def _assign(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
