"""Cases: base model, pairs of LoRAs and noisy images that the benchmarks run on, all in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import nn

from lorarar.benchmark.size import SDXL_UNET
from lorarar.benchmark.speed.synthetic import random_lora
from lorarar.datasets import Pair, load_concepts, load_splits
from lorarar.diffusion import Backbone, Conditioning, load_backbone
from lorarar.lora import LoRA, pick_device, torch_dtype
from lorarar.mergers.optimised import ZIPLORA
from lorarar.storage import EMBEDDED, checked, say_device
from lorarar.training import NoisyBatch, PairBatch, PairSampler, load_loras

DEFAULT_BASE, SDXL_BASE = "embedded", "sdxl"
_RANK = 64  # the paper's
_TOKENS = 77
_DEVIATION = 0.02  # of random weights


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
        backbone = random_sdxl(place, computed)
    else:
        folder = checked(EMBEDDED / "base") if base == DEFAULT_BASE else base
        backbone = load_backbone(folder, device=device, dtype=computed)
    if gradient_checkpointing:
        cast(UNet2DConditionModel, backbone.denoiser).enable_gradient_checkpointing()
        backbone.denoiser.train()  # diffusers checkpoints in training mode only; nothing here drops out
    if base == DEFAULT_BASE:
        return SpeedCase(base, backbone, _embedded_batches(backbone, pairs, images))
    return SpeedCase(base, backbone, _random_batches(backbone, pairs, images))


def content_batch(pair: PairBatch) -> NoisyBatch:
    """Return the noisy images of a pair's content, which every case has."""
    return cast(NoisyBatch, pair.content)


def random_sdxl(device: torch.device, dtype: torch.dtype) -> Backbone:
    """Return SDXL's denoiser with 2.57 billion random weights, without autoencoder and text encoders."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL_UNET)
    unet = unet.to(dtype).to_empty(device=device).requires_grad_(False).eval()
    fill_random(unet)
    parts = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipeline = StableDiffusionXLPipeline(
        **parts,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        add_watermarker=False,
    )
    return Backbone(pipeline, frozen=False)  # frozen above: the other parts are missing


def fill_random(model: nn.Module) -> None:
    """Fill a model's parameters with random weights; norms get their initial values."""
    for module in model.modules():
        _fill(module)


def _fill(module: nn.Module) -> None:
    """Fill a module with random weights; norms get their initial values."""
    is_norm = isinstance(module, nn.GroupNorm | nn.LayerNorm)
    for name, parameter in module.named_parameters(recurse=False):
        if name == "bias":
            nn.init.zeros_(parameter)
        elif is_norm:
            nn.init.ones_(parameter)
        else:
            nn.init.normal_(parameter, std=_DEVIATION)


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


def _random_batches(backbone: Backbone, pairs: int, images: int) -> Callable[[int], list[PairBatch]]:
    shapes = attention_layers(backbone.denoiser)
    loras = [random_lora(shapes, _RANK, seed).to(backbone.device) for seed in range(2 * pairs)]

    def batches(step: int) -> list[PairBatch]:
        random = torch.Generator().manual_seed(step)
        return [_random_pair(backbone, (loras[2 * i], loras[2 * i + 1]), images, random) for i in range(pairs)]

    return batches


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
    config, count = backbone.pipeline.unet.config, len(timesteps)
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    shapes = (
        (count, config.in_channels, config.sample_size, config.sample_size),
        (count, _TOKENS, config.cross_attention_dim),
        (count, pooled),
    )
    noisy, embeddings, pools = (
        torch.randn(shape, generator=random).to(backbone.device, backbone.dtype) for shape in shapes
    )
    return NoisyBatch(noisy, timesteps.to(backbone.device), Conditioning(embeddings, pools), noisy)
