"""Images for (LoRA, prompt, seed): deterministic, many LoRAs in one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lorarar.adaptation import adapted
from lorarar.backbone import Backbone, load_backbone
from lorarar.files import DTYPES
from lorarar.formats import load
from lorarar.lora import LoRA
from lorarar.pictures import save_image


@dataclass(frozen=True)
class Sampling:
    """How images are drawn: ``steps`` of the base's scheduler, classifier-free ``guidance`` (1 is none)."""

    steps: int = 50
    guidance: float = 5.0


def starting_latents(backbone: Backbone, seeds: Sequence[int]) -> Tensor:
    """The starting noise of each seed, (n, channels, height/8, width/8): the same on every device."""
    size = backbone.denoiser.config.sample_size
    shape = (1, backbone.denoiser.config.in_channels, size, size)
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(drawn).to(backbone.device, backbone.dtype)


def generate(
    backbone: Backbone,
    loras: Sequence[LoRA | None],
    prompts: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling,
) -> Tensor:
    """Every LoRA with its own prompt, at every seed, in one batch through the base's own pipeline.

    Args:
        loras: n of them; None is the base alone.
        prompts: n, one for each LoRA.
        seeds: k, the same for every LoRA.

    Returns:
        Images (n, k, 3, height, width), 0 to 1, on the CPU.

    Raises:
        ValueError: not as many prompts as LoRAs.
    """
    if len(loras) != len(prompts):
        raise ValueError(f"expected a prompt for each of {len(loras)} LoRAs, found {len(prompts)} prompts")
    conditioning = backbone.encode_prompts([prompt for prompt in prompts for _ in seeds])
    guided = sampling.guidance > 1
    with torch.no_grad(), ExitStack() as stack:
        if any(lora is not None for lora in loras):
            # With guidance the pipeline's batch is all unconditional samples, then all conditional ones.
            stack.enter_context(adapted(backbone.denoiser, [*loras, *loras] if guided else list(loras)))
        images = backbone.pipeline(
            prompt_embeds=conditioning.embeddings,
            pooled_prompt_embeds=conditioning.pooled,
            latents=starting_latents(backbone, list(seeds) * len(loras)),
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            output_type="pt",
        ).images
    return images.float().cpu().unflatten(0, (len(loras), len(seeds)))


def generate_batches(
    backbone: Backbone,
    loras: Sequence[LoRA | None],
    prompts: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling,
    *,
    batch: int,
) -> Iterator[Tensor]:
    """``generate`` for ``batch`` LoRAs at a time, so that memory is bounded and progress can be shown."""
    for start in range(0, len(loras), batch):
        part = slice(start, start + batch)
        yield generate(backbone, loras[part], prompts[part], seeds, sampling)


def generate_files(
    base: str,
    lora: Path | None,
    prompt: str,
    seeds: Sequence[int],
    sampling: Sampling,
    output: Path,
    *,
    device: str = "cpu",
    dtype: str = "fp32",
) -> list[Path]:
    """Write ``output/<seed>.png`` for each seed.

    Raises:
        FormatError: the LoRA's file cannot be read.
        FileNotFoundError: there is no base model.
        ValueError: the LoRA was made for another base.
    """
    loaded = load(lora) if lora else None
    backbone = load_backbone(base, device=device, dtype=DTYPES[dtype])
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in seeds:
        image = generate(backbone, [loaded], [prompt], [seed], sampling)[0, 0]
        paths.append(output / f"{seed}.png")
        save_image(image, paths[-1])
    return paths
