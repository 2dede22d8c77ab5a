"""Training of a toy base from scratch on renders, whatever its architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lorarar.diffusion import Backbone, Conditioning
from lorarar.storage import atomic_write
from lorarar.worlds.toy.attributes import Member, Style, Subject, neutral_looks
from lorarar.worlds.toy.captions import base_caption
from lorarar.worlds.toy.classifier import to_tensor
from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.world import toy_world


class BaseTraining(lightning.LightningModule):
    """Training by denoising: squared error of the clean sample, weighted 1/max(noise's share of the variance, 0.15).

    Args:
        pipeline: An untrained base; its parameters that require gradients are trained.
        seed: Seed of the training set and of the steps.
        steps: Optimiser steps.
        batch: Images in a step of each process.
        learning_rate: Highest rate of AdamW.
        renders: Images in the training set.
        cache: File for their latents; read if it exists.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        *,
        seed: int,
        steps: int,
        batch: int,
        learning_rate: float,
        renders: int,
        cache: Path,
    ) -> None:
        super().__init__()
        self.seed, self.steps, self.batch, self.learning_rate = seed, steps, batch, learning_rate
        self.pipeline = pipeline
        self.backbone = Backbone(pipeline, frozen=False)
        self.denoiser = self.backbone.denoiser
        self.encoders = nn.ModuleDict(self.backbone.encoders)
        self.pairs, self.latents = _pretraining_set(self.backbone, renders, seed, cache)

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step, process)."""
        random = np.random.default_rng((self.seed, self.global_step, self.global_rank))
        chosen = random.integers(len(self.pairs), size=self.batch)
        latents = self.latents[chosen].to(self.device)
        noise = torch.from_numpy(random.standard_normal(latents.shape, dtype=np.float32)).to(self.device)
        timesteps = torch.from_numpy(random.integers(1000, size=self.batch)).to(self.device)
        captions = []
        for i in chosen:
            subject, style = self.pairs[i]
            captions.append(base_caption(subject, style, toy_world(), random))
        noisy = self.backbone.add_noise(latents, noise, timesteps)
        predicted = self.backbone.predict(noisy, timesteps, self._encode(captions))
        errors = (self.backbone.noise.clean(noisy, predicted, timesteps) - latents).square().mean(dim=(1, 2, 3))
        loss = (errors / self.backbone.noise.level(timesteps).clamp(min=0.15)).mean()
        self.log("loss", loss, prog_bar=True)
        return loss

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
        """Clip the norm of the gradient to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self) -> Any:
        """Return AdamW, warmed up and then annealed to 0 by a cosine."""
        trained = [p for p in self.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(trained, self.learning_rate, weight_decay=0.0, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, self.steps + 1, pct_start=0.05)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _pretraining_set(
    backbone: Backbone, count: int, seed: int, cache: Path
) -> tuple[list[tuple[Subject, Style]], Tensor]:
    """Return pairs of the base's own sets, half of them with a name, and the latents of their renders."""
    random = np.random.default_rng(seed)
    world = toy_world()
    named_subjects, named_styles = list(world.subject_names), list(world.style_names)
    subjects = list(world.subjects["base"])
    styles = [*world.styles["base"], *neutral_looks()]
    pairs, seeds = [], []
    for _ in range(count):
        subject = _pick(named_subjects if random.random() < 0.5 else subjects, random)
        style = _pick(named_styles if random.random() < 0.5 else styles, random)
        pairs.append((subject, style))
        seeds.append(int(random.integers(2**31)))
    if not cache.is_file():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cache, force=True) as temporary:
            save_file({"latents": _latents(backbone, pairs, seeds).contiguous()}, temporary)
    return pairs, load_file(cache)["latents"]


def _latents(backbone: Backbone, pairs: list[tuple[Subject, Style]], seeds: list[int]) -> Tensor:
    """Return the latents (count, channels, h, w) of the pairs' renders, encoded in parts that fit in memory."""
    parts = []
    for start in range(0, len(pairs), 500):
        part = slice(start, start + 500)
        images = [render(*pair, seed) for pair, seed in zip(pairs[part], seeds[part], strict=True)]
        parts.append(backbone.encode_images(to_tensor(images)))
    return torch.cat(parts)


def _pick(members: Sequence[Member], random: np.random.Generator) -> Member:
    return members[int(random.integers(len(members)))]
