"""Cases: base model, pairs of LoRAs and noisy images that the benchmarks run on, all in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from lorarar.benchmark.size import SIZED_BASES
from lorarar.benchmark.speed.random_base import RandomBackbone
from lorarar.benchmark.speed.synthetic import random_lora
from lorarar.datasets import Pair, load_concepts, load_splits
from lorarar.diffusion import Backbone, load_backbone
from lorarar.lora import LoRA, pick_device, torch_dtype
from lorarar.mergers.optimised import ZIPLORA
from lorarar.storage import EMBEDDED, checked, say_device
from lorarar.training import NoisyBatch, PairBatch, PairSampler, load_loras

DEFAULT_BASE, SDXL_BASE = "embedded", "sdxl"
_RANK = 64  # the paper's


@dataclass(frozen=True)
class SpeedCase:
    """A base model and the inputs of training steps on it.

    Attributes:
        name: The base, as `load_case` takes it.
        backbone: The base model.
        batches: step -> the pairs of that step.
    """

    name: str
    backbone: Backbone
    batches: Callable[[int], list[PairBatch]]


def load_case(
    base: str = DEFAULT_BASE,
    *,
    pairs: int = 1,
    images: int = 1,
    device: str = "auto",
    dtype: str = "fp32",
    gradient_checkpointing: bool = False,
) -> SpeedCase:
    """Load a case by the name of its base.

    Args:
        base: "embedded": the shipped base and validation concepts with their LoRAs; "sdxl": SDXL's denoiser with random
            weights; else a folder or hub id. All but the embedded one get random LoRAs of rank 64 and random latents
            and prompts: times do not depend on their values.
        pairs: Pairs per step.
        images: Images per step of each concept of a pair.
        device: Where the base computes.
        dtype: Of the base: "fp32", "bf16", "fp16".
        gradient_checkpointing: Whether activations are computed again in the backward pass.

    Raises:
        FileNotFoundError: The base does not exist.
        ValueError: The embedded default has fewer pairs, or the dtype is unknown.
    """
    computed = torch_dtype(dtype)
    if base == SDXL_BASE:
        place = pick_device(device)
        say_device(str(place), dtype)
        backbone: Backbone = RandomBackbone(SIZED_BASES[SDXL_BASE], place, computed)
    else:
        folder = checked(EMBEDDED / "base") if base == DEFAULT_BASE else base
        backbone = load_backbone(folder, device=device, dtype=computed)
    if gradient_checkpointing:
        checkpoint_activations(backbone)
    if base == DEFAULT_BASE:
        return SpeedCase(base, backbone, _embedded_batches(backbone, pairs, images))
    return random_case(base, backbone, pairs=pairs, images=images)


def content_batch(pair: PairBatch) -> NoisyBatch:
    """Return the noisy images of a pair's content, which every case has."""
    return cast(NoisyBatch, pair.content)


def random_case(name: str, backbone: Backbone, *, rank: int = _RANK, pairs: int = 1, images: int = 1) -> SpeedCase:
    """Return a case of random LoRAs, latents and prompts on any base: times do not depend on their values."""
    shapes = attention_layers(backbone.denoiser)
    loras = [random_lora(shapes, rank, seed).to(backbone.device) for seed in range(2 * pairs)]

    def batches(step: int) -> list[PairBatch]:
        random = torch.Generator().manual_seed(step)
        return [_random_pair(backbone, (loras[2 * i], loras[2 * i + 1]), images, random) for i in range(pairs)]

    return SpeedCase(name, backbone, batches)


def checkpoint_activations(backbone: Backbone) -> None:
    """Let the denoiser compute its activations again in the backward pass."""
    cast(UNet2DConditionModel, backbone.denoiser).enable_gradient_checkpointing()
    backbone.denoiser.train()  # diffusers checkpoints in training mode only; nothing here drops out


def _embedded_batches(backbone: Backbone, pairs: int, images: int) -> Callable[[int], list[PairBatch]]:
    """Return batches of the shipped validation concepts, each pair of its own content and style."""
    split = load_splits(EMBEDDED / "concepts.yaml", DEFAULT_BASE)["validation"]
    names = [*split.contents[:pairs], *split.styles[:pairs]]
    if len(names) < 2 * pairs:
        raise ValueError(f"expected at most {len(split.contents)} pairs, as many as there are concepts, found {pairs}")
    for name in names:
        checked(EMBEDDED / "loras" / f"{name}.safetensors")
    concepts = load_concepts([EMBEDDED / "concepts.yaml"], EMBEDDED / "images", names)
    members = [Pair(concepts[names[i]], concepts[names[pairs + i]]) for i in range(pairs)]
    sampler = PairSampler(backbone, concepts.values(), load_loras(EMBEDDED / "loras", names))
    return lambda step: [sampler.batch(pair, images, ("speed", step)) for pair in members]


def attention_layers(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Return path -> (out, in) of the linear attention projections of a model."""
    return {
        path: (module.out_features, module.in_features)
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and path.removesuffix(".0").endswith(ZIPLORA.predicted)
    }


def _random_pair(backbone: Backbone, loras: tuple[LoRA, LoRA], images: int, random: torch.Generator) -> PairBatch:
    """Return one step's random inputs of a pair, with the same timesteps for both concepts."""
    timesteps = torch.randint(1000, (images,), generator=random)
    content, style = (_random_batch(backbone, timesteps, random) for _ in range(2))
    prompt = content.conditioning[:1]
    return PairBatch("random", loras, content, style, prompt, prompt)


def _random_batch(backbone: Backbone, timesteps: torch.Tensor, random: torch.Generator) -> NoisyBatch:
    noisy = torch.randn((len(timesteps), *backbone.latent_shape), generator=random)
    noisy = noisy.to(backbone.device, backbone.dtype)
    return NoisyBatch(noisy, timesteps.to(backbone.device), backbone.encode_prompts([""] * len(timesteps)), noisy)
