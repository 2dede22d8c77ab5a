"""Images of (LoRA, prompt, seed): deterministic, many LoRAs in one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from lorarar.diffusion.adaptation import adapted
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.composition import scheduled
from lorarar.diffusion.settings import Sampling
from lorarar.lora import LoRA, is_text_encoder
from lorarar.mergers import Merger, MergeRequest, split_accelerators
from lorarar.mergers.methods import add_deltas

Sampler = Callable[[str, Sequence[int]], Tensor]


def starting_latents(backbone: Backbone, seeds: Sequence[int]) -> Tensor:
    """Return the starting noise of each seed, (n, channels, height/8, width/8), the same on every device."""
    noise = [torch.randn(backbone.latent_shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(noise).to(backbone.device, backbone.dtype)


def sample_loras(
    backbone: Backbone,
    loras: Sequence[LoRA | None],
    prompts: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling,
) -> Tensor:
    """Sample images of every LoRA with its own prompt, at every seed, in one batch by the base's own pipeline.

    Args:
        loras: n LoRAs, text-encoder layers included; None is the base alone.
        prompts: n prompts, one for each LoRA.
        seeds: k seeds, the same for every LoRA.
        sampling: Steps and guidance.

    Returns:
        Images (n, k, 3, height, width), 0 to 1, on the CPU.

    Raises:
        ValueError: The numbers of prompts and LoRAs differ, or a LoRA does not fit the base.
    """
    if len(loras) != len(prompts):
        raise ValueError(
            f"expected a prompt for each of {len(loras)} LoRAs, found {len(prompts)} prompts: give one each"
        )
    denoisers = [lora and denoiser_part(lora) for lora in loras]
    with torch.no_grad(), ExitStack() as stack:
        stack.enter_context(adapted_encoders(backbone, loras))
        stack.enter_context(adapted(backbone.denoiser, denoisers * backbone.passes(sampling.guidance)))
        images = sample_prompts(
            backbone, [prompt for prompt in prompts for _ in seeds], list(seeds) * len(loras), sampling
        )
    by_lora: Tensor = images.unflatten(0, (len(loras), len(seeds)))
    return by_lora


def sample_composed(
    backbone: Backbone,
    loras: Sequence[LoRA],
    merger: Merger,
    prompt: str,
    seeds: Sequence[int],
    sampling: Sampling,
    options: Mapping[str, float] | None = None,
) -> Tensor:
    """Sample images of several LoRAs that a merger of the kind "runtime" composes at each step.

    Prompts are encoded once, before the first step, so the LoRAs' text-encoder layers are summed. Accelerators act in
    every step beside what the merger composes.

    Args:
        loras: LoRAs in the order that the merger expects, weights folded in.
        merger: A row of `lorarar.mergers.MERGERS`.
        prompt: One prompt for all images.
        seeds: k seeds.
        sampling: Steps and guidance.
        options: The merger's own settings.

    Returns:
        Images (k, 3, height, width), 0 to 1, on the CPU.

    Raises:
        ValueError: The merger is of another kind or does not take these LoRAs or options, or a LoRA does not fit the
            base.
    """
    if merger.kind != "runtime":
        raise ValueError(
            f'expected a merger of the kind "runtime", found {merger.name} of the kind "{merger.kind}": merge first, '
            "then generate"
        )
    placed = [lora.to(backbone.device) for lora in loras]
    calls = backbone.sampler_calls(sampling.steps)
    with torch.no_grad(), ExitStack() as stack:
        split = split_accelerators([denoiser_part(lora) for lora in placed], MergeRequest())
        schedule = merger.call(split.others, calls, **merger.settings(options or {}))
        for lora in split.kept:
            stack.enter_context(adapted(backbone.denoiser, lora))
        stack.enter_context(adapted_encoders(backbone, [_summed_encoders(placed)]))
        stack.enter_context(scheduled(backbone.denoiser, schedule, backbone.passes(sampling.guidance)))
        return sample_prompts(backbone, [prompt] * len(seeds), seeds, sampling)


def denoiser_part(lora: LoRA) -> LoRA:
    """Return the LoRA without its text-encoder layers."""
    return replace(lora, layers={la: delta for la, delta in lora.layers.items() if not is_text_encoder(la)})


@contextmanager
def adapted_encoders(backbone: Backbone, loras: Sequence[LoRA | None]) -> Iterator[None]:
    """Adapt the text encoders, one LoRA to each share of the prompts, until the context closes.

    Raises:
        ValueError: A LoRA's text-encoder layers do not fit.
    """
    with ExitStack() as stack:
        for name, encoder in backbone.encoders.items():
            parts = [lora and _encoder_part(lora, name, encoder) for lora in loras]
            adapts = any(part and part.layers for part in parts)
            with backbone.on_device([encoder] if adapts else []):  # where an offloaded one computes, its LoRA goes too
                stack.enter_context(adapted(encoder, parts))
        yield


def _encoder_part(lora: LoRA, name: str, encoder: nn.Module) -> LoRA:
    """Return the layers of one text encoder, named as its modules."""
    prefix = encoder_prefix(name, encoder)
    return replace(
        lora,
        layers={la.removeprefix(prefix): d for la, d in lora.layers.items() if la.partition(".")[0] == name},
    )


def encoder_prefix(name: str, encoder: nn.Module) -> str:
    """Return what stands before the paths of a text encoder's modules in the paths of a LoRA's layers."""
    # Whether the modules lie below "text_model" depends on the class and on transformers' version.
    return f"{name}." if "text_model" in dict(encoder.named_children()) else f"{name}.text_model."


def _summed_encoders(loras: Sequence[LoRA]) -> LoRA:
    layers = dict.fromkeys(layer for lora in loras for layer in lora.layers if is_text_encoder(layer))
    return LoRA({layer: add_deltas([lora.layers[layer] for lora in loras if layer in lora.layers]) for layer in layers})


@torch.no_grad()
def sample_prompts(backbone: Backbone, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> Tensor:
    """Return one image for each prompt and its seed, (n, 3, height, width), 0 to 1, on the CPU.

    The images are of the base alone, or of the LoRAs that a context adapts it with.
    """
    latents = starting_latents(backbone, seeds)
    images = backbone.sample(backbone.encode_prompts(prompts), latents, sampling.steps, sampling.guidance)
    return images.float().cpu()


def sample_batches(
    backbone: Backbone,
    loras: Sequence[LoRA | None],
    prompts: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling,
    *,
    batch: int,
) -> Iterator[Tensor]:
    """Yield the images of `batch` LoRAs at a time, see `sample_loras`, so that memory is bounded."""
    for start in range(0, len(loras), batch):
        part = slice(start, start + batch)
        yield sample_loras(backbone, loras[part], prompts[part], seeds, sampling)
