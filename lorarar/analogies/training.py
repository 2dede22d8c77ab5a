"""Training of a basis, with its router, on a frozen editing base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lightning
import torch
from torch import Tensor

from lorarar.analogies.basis import Basis, mixed
from lorarar.analogies.examples import Examples
from lorarar.analogies.recipes import BasisConfig
from lorarar.diffusion import Backbone, Conditioning, conditioned
from lorarar.mergers.optimised import MergerRecipe
from lorarar.training import Recipe, check_finite, denoiser_layers, manual_optimiser, sample_noise, step_generator


def new_basis(config: BasisConfig, backbone: Backbone, examples: Examples, seed: int) -> Basis:
    """Return an untrained basis for a base and for the features of some examples.

    Raises:
        ValueError: The base has no linear layers of the configured names.
    """
    recipe = Recipe(
        rank=config.rank, alphas=(config.alpha,), steps=1, images=1, learning_rate=1.0, targets=config.targets
    )
    layers = denoiser_layers(backbone.denoiser, recipe)
    shapes = {layer.path: (layer.out, layer.channels) for layer in layers if not layer.kernel}
    torch.manual_seed(seed)
    basis = Basis(config, shapes, examples.features[0].numel(), len(examples.names))
    features = examples.features.flatten(1)
    basis.center.copy_(features.mean(0))
    basis.spread.copy_(features.std(0).clamp_min(1e-6))
    return basis.to(backbone.device)


@contextmanager
def analogy_loss(
    backbone: Backbone,
    basis: Basis,
    mix: Tensor,
    target: Tensor,
    condition: Tensor,
    *,
    prompt: Conditioning,
    random: torch.Generator,
    noisiest: float,
) -> Iterator[Tensor]:
    """Give the base's own loss on n targets; the base stays adapted, as backward needs it, until the context closes.

    Args:
        backbone: The editing base.
        basis: The basis.
        mix: Weights of its LoRAs, (n, layers, N).
        target: Latents of the targets, (n, channels, h, w).
        condition: Latents of the condition images, (n, images, channels, h, w).
        prompt: The encoded prompt of all, one entry.
        random: Random numbers of the timesteps and the noise.
        noisiest: Share of the timesteps, the noisiest, that are drawn.
    """
    device, last = backbone.device, backbone.noise.steps - 1
    latents = target.float().to(device)
    timesteps, noise = sample_noise(backbone, latents, len(latents), random)
    timesteps = last - ((last - timesteps) * noisiest).long()
    noisy = backbone.add_noise(latents, noise, timesteps)
    words = prompt[torch.zeros(len(latents), dtype=torch.long, device=device)]
    with conditioned(backbone.denoiser, condition.to(device)), mixed(backbone.denoiser, basis, mix):
        predicted = backbone.predict(noisy, timesteps, words).float()
        yield (predicted - backbone.target(latents, noise, timesteps)).square().mean()


class AnalogyTraining(lightning.LightningModule):
    """Training of a basis by the base's own loss on the targets of analogies.

    Each step's analogies, timesteps and noise are a function of (seed, step), so a resumed run equals an uninterrupted
    one. The optimisation is manual because the adapted context must stay open through backward. The state dict holds
    the basis alone.

    Args:
        basis: The basis.
        backbone: The editing base.
        examples: The training analogies.
        recipe: How the basis is optimised.
        batch: Analogies in a step.
        prompt: Prompt of every analogy.
        seed: Seed of the steps.
        noisiest: Share of the timesteps, the noisiest, that steps draw.
    """

    def __init__(
        self,
        basis: Basis,
        backbone: Backbone,
        examples: Examples,
        recipe: MergerRecipe,
        *,
        batch: int,
        prompt: str,
        seed: int,
        noisiest: float = 1.0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.basis, self.backbone, self.examples, self.recipe = basis, backbone, examples, recipe
        self.batch, self.seed, self.noisiest = batch, seed, noisiest
        self.conditioning = backbone.encode_prompts([prompt])

    def training_step(self, batch: int, index: int) -> None:
        """Take one step."""
        optimiser = manual_optimiser(self)
        optimiser.zero_grad()
        for group in optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.global_step)
        random = step_generator(self.seed, "analogies", self.global_step)
        rows = torch.randint(len(self.examples), (self.batch,), generator=random)
        loss = self.loss(rows, random)
        check_finite(
            {"the basis": float(loss)}, step=self.global_step, unit="bases", advice="lower recipe.learning_rate"
        )
        self.clip_gradients(optimiser, self.recipe.clip, "norm")
        optimiser.step()
        self.log("train/loss", loss)
        self.log("loss", loss, prog_bar=True, logger=False)

    def loss(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """Return the loss of some analogies, with gradients left on the basis where it can have them.

        Args:
            rows: Their numbers, (n,).
            random: Random numbers of the timesteps and the noise.
        """
        device = self.backbone.device
        with torch.autocast(device.type, enabled=False):
            mix = self.basis.mix(self.examples.features[rows].to(device), self.examples.tasks[rows].to(device))
        with analogy_loss(
            self.backbone,
            self.basis,
            mix,
            self.examples.target[rows],
            self.examples.condition[rows],
            prompt=self.conditioning,
            random=random,
            noisiest=self.noisiest,
        ) as loss:
            if torch.is_grad_enabled():
                self.manual_backward(loss)
        return loss.detach()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW on the basis and the router, with the paper's betas."""
        return torch.optim.AdamW(
            self.basis.parameters(), self.recipe.learning_rate, (0.9, 0.99), weight_decay=self.recipe.weight_decay
        )
