"""Autoencoder of the toy base, trained on renders: 32 x 32 pixels to 8 x 8 latents."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lorarar.worlds.toy.classifier import sample_renders

LATENT_CHANNELS = 16
KL_WEIGHT = 1e-3


def build_autoencoder() -> AutoencoderKL:
    """Return a new AutoencoderKL, randomly initialised."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=32,
        scaling_factor=1.0,
    )


class AutoencoderTraining(lightning.LightningModule):
    """Training by absolute error, squared error and a small KL term, which keeps the latents compact."""

    def __init__(self, *, seed: int, steps: int, batch: int, learning_rate: float, renders: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.seed, self.steps, self.batch = seed, steps, batch
        self.learning_rate = learning_rate
        self.autoencoder = build_autoencoder()
        self.images, _ = sample_renders(renders, seed)

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step)."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        images = self.images[torch.randint(len(self.images), (self.batch,), generator=random)].to(self.device)
        posterior = self.autoencoder.encode(images).latent_dist
        difference = self.autoencoder.decode(posterior.sample(generator=random)).sample - images
        error = difference.abs().mean() + difference.square().mean()
        loss: Tensor = error + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
        self.log_dict({"loss": loss, "error": error}, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of its rate."""
        optimiser = torch.optim.AdamW(self.autoencoder.parameters(), self.learning_rate, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, self.steps, pct_start=0.05)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.no_grad()
    def finish(self) -> AutoencoderKL:
        """Return the trained autoencoder; its scaling factor gives its latents a standard deviation of 1."""
        autoencoder = self.autoencoder.eval().cpu()
        latents = autoencoder.encode(self.images[:512]).latent_dist.mean
        autoencoder.register_to_config(scaling_factor=float(1 / latents.std()))
        return autoencoder
