"""DreamBooth training of one LoRA with peft, and the parts that the zoo shares.

A rare token (contents) or the style's phrase, frozen text encoders, the attention projections, the model's own
denoising loss at a constant rate, without prior preservation: the recipe of arXiv 2412.05148.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from diffusers.training_utils import cast_training_params
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from lorarar.datasets import Concept
from lorarar.diffusion import Backbone
from lorarar.lora import LoRA, LowRank
from lorarar.training.batches import encode_concept, noisy_batch, sample_noise, step_generator
from lorarar.training.settings import Recipe


def target_layers(denoiser: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """Return the denoiser's linear layers whose paths end in one of the targets, by path.

    Raises:
        ValueError: The denoiser has no such layer.
    """
    layers = {
        path: module
        for path, module in denoiser.named_modules()
        if isinstance(module, nn.Linear) and any(path.endswith(f".{target}") for target in targets)
    }
    if not layers:
        raise ValueError(f"expected layers named {list(targets)} in the base, found none: check recipe.targets")
    return layers


def initial_factors(denoiser: nn.Module, recipe: Recipe, name: str) -> dict[str, LowRank]:
    """Return the initial factors of a concept's LoRA by layer: a function of the recipe's seed and the name.

    As in peft, A is uniform in +-1/sqrt(in), and B is zero.
    """
    layers = {}
    for path, linear in target_layers(denoiser, recipe.targets).items():
        random = step_generator(recipe.seed, name, path)
        bound = linear.in_features**-0.5
        down = (torch.rand(recipe.rank, linear.in_features, generator=random) * 2 - 1) * bound
        layers[path] = LowRank(torch.zeros(linear.out_features, recipe.rank), down, recipe.scale(name))
    return layers


class DreamBoothTraining(lightning.LightningModule):
    """Training of one LoRA with peft's own adapter: the reference that the zoo must equal."""

    denoiser: Any  # diffusers' mixin of adapters is not typed

    def __init__(self, backbone: Backbone, concept: Concept, recipe: Recipe) -> None:
        super().__init__()
        self.strict_loading = False  # a checkpoint does not hold the base
        self.backbone, self.recipe, self.name = backbone, recipe, concept.name
        self.encoded = encode_concept(backbone, concept)
        self.denoiser = backbone.denoiser
        initial = initial_factors(self.denoiser, recipe, concept.name)
        self.denoiser.add_adapter(
            LoraConfig(
                r=recipe.rank, lora_alpha=recipe.scale(concept.name) * recipe.rank, target_modules=list(recipe.targets)
            )
        )
        cast_training_params(self.denoiser, torch.float32)  # the base may be in a short type
        state = {f"{path}.lora_A.weight": factors.A for path, factors in initial.items()}
        state |= {f"{path}.lora_B.weight": factors.B for path, factors in initial.items()}
        set_peft_model_state_dict(self.denoiser, state)

    def training_step(self, batch: int, index: int) -> Tensor:
        """Return the loss of a batch that is a function of (seed, concept, step)."""
        random = step_generator(self.recipe.seed, self.name, self.global_step)
        timesteps, noise = sample_noise(self.backbone, self.encoded.latents, self.recipe.images, random)
        noisy = noisy_batch(self.backbone, self.encoded, timesteps, noise, random)
        predicted = self.backbone.predict(noisy.noisy, noisy.timesteps, noisy.conditioning)
        loss = nn.functional.mse_loss(predicted.float(), noisy.target.float())
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of the gradient."""
        self.clip_gradients(optimizer, self.recipe.clip, "norm")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW at a constant rate."""
        trained = [p for p in self.denoiser.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the adapter alone, without the base."""
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if ".lora_" in k}

    def lora(self) -> LoRA:
        """Return the LoRA as trained so far."""
        state = get_peft_model_state_dict(self.denoiser)
        scale = self.recipe.scale(self.name)
        layers = {}
        for key in state:
            if key.endswith(".lora_A.weight"):
                path = key.removesuffix(".lora_A.weight")
                up, down = state[f"{path}.lora_B.weight"], state[key]
                layers[path] = LowRank(up.detach().cpu(), down.detach().cpu(), scale)
        return LoRA(layers, name=self.name)
