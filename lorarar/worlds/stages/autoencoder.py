"""Autoencoder of a base, trained on renders: AutoencoderKL of a few levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from lorarar.worlds.stages.precision import plain_attention
from lorarar.worlds.stages.recipes import AutoencoderRecipe
from lorarar.worlds.stages.world import from_bytes

KL_WEIGHT = 1e-3
_EDGE_WEIGHT = 0.5
_CROPPED = 0.75  # share of the steps


def build_autoencoder(size: int = 32, widths: Sequence[int] = (16, 32, 64), channels: int = 16) -> AutoencoderKL:
    """Return a new AutoencoderKL, randomly initialised.

    Its residual blocks add nothing at first (their second convolution is 0) and its other convolutions are orthogonal:
    it starts as a nearly linear map and learns faster.

    Args:
        size: Width and height of the images, pixels.
        widths: Channels of its levels; each after the first halves width and height.
        channels: Channels of the latents.
    """
    autoencoder = AutoencoderKL(
        block_out_channels=tuple(widths),
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
        sample_size=size,
        scaling_factor=1.0,
    )
    for module in autoencoder.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.orthogonal_(module.weight)
            nn.init.zeros_(module.bias)
    for module in autoencoder.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
    for part in (autoencoder.encoder, autoencoder.decoder):
        for attention in part.mid_block.attentions:
            nn.init.zeros_(attention.to_out[0].weight)
    return plain_attention(autoencoder)


class AutoencoderTraining(lightning.LightningModule):
    """Training by absolute error, squared error, the absolute error of edges and a small KL term.

    The KL term keeps the latents compact.

    Args:
        recipe: How to train.
        images: Training set (n, 3, size, size), bytes.
    """

    def __init__(self, recipe: AutoencoderRecipe, images: Tensor) -> None:
        super().__init__()
        torch.manual_seed(recipe.seed)
        self.recipe, self.images = recipe, images
        self.autoencoder = build_autoencoder(images.shape[-1], recipe.widths, recipe.channels)

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, step)."""
        random = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.global_step)
        images = self._batch(random).to(self.device)
        posterior = self.autoencoder.encode(images).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        noise = torch.randn(mean.shape, generator=random).to(mean)
        difference = self.autoencoder.decode(mean + (0.5 * logvar).exp() * noise).sample.float() - images
        edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        squared = difference.square().mean()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss: Tensor = difference.abs().mean() + squared + _EDGE_WEIGHT * edges + KL_WEIGHT * kl
        self.log_dict({"loss": loss, "error": squared}, prog_bar=True)
        return loss

    def _batch(self, random: torch.Generator) -> Tensor:
        """Return images, or twice as many crops."""
        recipe = self.recipe
        if recipe.crop is None or self.global_step >= _CROPPED * recipe.steps:
            return from_bytes(self.images[torch.randint(len(self.images), (recipe.batch,), generator=random)])
        chosen = torch.randint(len(self.images), (2 * recipe.batch,), generator=random).tolist()
        corners = torch.randint(self.images.shape[-1] - recipe.crop + 1, (2 * recipe.batch, 2), generator=random)
        crops = [
            self.images[i, :, top : top + recipe.crop, left : left + recipe.crop]
            for i, (top, left) in zip(chosen, corners.tolist(), strict=True)
        ]
        return from_bytes(torch.stack(crops))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of the gradient to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of its rate."""
        rate, steps = self.recipe.learning_rate, self.recipe.steps
        optimiser = torch.optim.AdamW(self.autoencoder.parameters(), rate, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps + 1, pct_start=0.05)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.no_grad()
    def finish(self) -> AutoencoderKL:
        """Return the trained autoencoder; its scaling factor gives its latents a standard deviation of 1."""
        autoencoder = self.autoencoder.eval().cpu()
        parts = [autoencoder.encode(from_bytes(part)).latent_dist.mean for part in self.images[:512].split(64)]
        autoencoder.register_to_config(scaling_factor=float(1 / torch.cat(parts).std()))
        return autoencoder
