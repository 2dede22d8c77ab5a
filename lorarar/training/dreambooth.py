"""Train LoRAs by DreamBooth: one with peft, or the pieces that the zoo trains many with.

A rare token (contents) or the style's words, frozen text encoders, the attention projections, the
model's own denoising loss at a constant rate, no prior preservation: the recipe of arXiv 2412.05148.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """The denoiser's linear layers whose paths end in one of the targets.

    Raises:
        ValueError: there is none.
    """
    found = {
        path: module
        for path, module in denoiser.named_modules()
        if isinstance(module, nn.Linear) and any(path.endswith(f".{target}") for target in targets)
    }
    if not found:
        raise ValueError(f"expected layers named {list(targets)} in the base, found none: check `targets`")
    return found


def initial_lora(denoiser: nn.Module, recipe: Recipe, name: str) -> LoRA:
    """The start of a LoRA's training: A uniform in +-1/sqrt(in) as in peft, B zero; a function of seed and name."""
    layers = {}
    for path, linear in target_layers(denoiser, recipe.targets).items():
        random = step_generator(recipe.seed, name, path)
        bound = linear.in_features**-0.5
        down = (torch.rand(recipe.rank, linear.in_features, generator=random) * 2 - 1) * bound
        layers[path] = LowRank(torch.zeros(linear.out_features, recipe.rank), down, recipe.scale(name))
    return LoRA(layers, name=name)


class DreamBoothTraining(lightning.LightningModule):
    """One LoRA with peft's own adapter: the reference that the zoo must equal."""

    def __init__(self, backbone: Backbone, concept: Concept, recipe: Recipe) -> None:
        super().__init__()
        self.backbone, self.recipe, self.name = backbone, recipe, concept.name
        self.encoded = encode_concept(backbone, concept)
        self.denoiser = backbone.denoiser
        start = initial_lora(self.denoiser, recipe, concept.name)
        self.denoiser.add_adapter(
            LoraConfig(
                r=recipe.rank, lora_alpha=recipe.scale(concept.name) * recipe.rank, target_modules=list(recipe.targets)
            )
        )
        cast_training_params(self.denoiser, torch.float32)  # the base may be in a short type
        state = {f"{path}.lora_A.weight": factors.A for path, factors in start.layers.items()}
        state |= {f"{path}.lora_B.weight": factors.B for path, factors in start.layers.items()}
        set_peft_model_state_dict(self.denoiser, state)

    def training_step(self, batch: int, index: int) -> Tensor:
        """One step on a batch that is a function of (seed, concept, step)."""
        random = step_generator(self.recipe.seed, self.name, self.global_step)
        noise = sample_noise(self.backbone, self.encoded.latents, self.recipe.images, random)
        drawn = noisy_batch(self.backbone, self.encoded, *noise, random)
        predicted = self.backbone.predict(drawn.noisy, drawn.timesteps, drawn.conditioning)
        loss = nn.functional.mse_loss(predicted.float(), drawn.target.float())
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient's norm."""
        self.clip_gradients(optimizer, self.recipe.clip, "norm")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW at a constant rate."""
        learned = [p for p in self.denoiser.parameters() if p.requires_grad]
        return torch.optim.AdamW(learned, self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Keep the adapter only, not the base."""
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if ".lora_" in k}

    @property
    def strict_loading(self) -> bool:
        """The base is not in a checkpoint."""
        return False

    def lora(self) -> LoRA:
        """The LoRA as trained so far."""
        state = get_peft_model_state_dict(self.denoiser)
        scale = self.recipe.scale(self.name)
        paths = [key.removesuffix(".lora_A.weight") for key in state if key.endswith(".lora_A.weight")]
        layers = {
            path: LowRank(
                state[f"{path}.lora_B.weight"].detach().cpu(), state[f"{path}.lora_A.weight"].detach().cpu(), scale
            )
            for path in paths
        }
        return LoRA(layers, name=self.name)
