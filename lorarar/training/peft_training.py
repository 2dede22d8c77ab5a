"""Training of one LoRA with peft's own adapter: the reference that training in a batch must equal."""

from __future__ import annotations

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
from lorarar.training.units import Units


class PeftTraining(lightning.LightningModule):
    """Training of one LoRA with peft's own adapter, at a constant rate.

    Of the recipe's algorithms it knows lora alone.
    """

    denoiser: Any  # diffusers' mixin of adapters is not typed

    def __init__(self, backbone: Backbone, concept: Concept, recipe: Recipe) -> None:
        super().__init__()
        self.strict_loading = False  # a checkpoint does not hold the base
        self.backbone, self.recipe, self.name = backbone, recipe, concept.name
        self.encoded = encode_concept(backbone, concept)
        self.denoiser = backbone.denoiser
        initial = Units(backbone, recipe, [concept.name]).unit(0)
        self.denoiser.add_adapter(
            LoraConfig(
                r=recipe.rank, lora_alpha=recipe.scale(concept.name) * recipe.rank, target_modules=list(recipe.targets)
            )
        )
        cast_training_params(self.denoiser, torch.float32)  # the base may be in a short type
        state = {f"{path}.lora_A.weight": parts["down"] for path, parts in initial.items()}
        state |= {f"{path}.lora_B.weight": parts["up"] for path, parts in initial.items()}
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
