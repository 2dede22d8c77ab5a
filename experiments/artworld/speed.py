"""Compare the cost of a training step between shapes of the base, and between fp32 and bf16, side by side.

python experiments/artworld/speed.py
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from lorarar.worlds import world_named
from lorarar.worlds.stages.autoencoder import build_autoencoder
from lorarar.worlds.stages.pipelines import build_pipeline, new_parts
from lorarar.worlds.stages.precision import plain_attention
from lorarar.worlds.stages.recipes import Shape

HERE, BATCH, STEPS = Path(__file__).parent, 16, 6
# Name -> channels of the autoencoder's levels and of its latents, shape of the UNet.
SHAPES = {
    "8 x 8 x 64, two levels": ((32, 32, 64, 96), 64, Shape(widths=(96, 192))),
    "16 x 16 x 16, three levels": ((16, 48, 96), 16, Shape(widths=(48, 96, 192), convolutional=1)),
    "16 x 16 x 16, three levels, chosen": ((16, 48, 96), 16, Shape(widths=(64, 96, 160), convolutional=1)),
}


def main() -> None:
    torch.set_num_threads(1)
    unets = {name: unet_of(*parts) for name, parts in SHAPES.items()}
    seconds: dict[str, list[float]] = {}
    for _ in range(STEPS):  # in turn, so that other work on the machine meets all of them
        for name, unet in unets.items():
            for bf16 in (False, True):
                seconds.setdefault(f"{name}, {'bf16' if bf16 else 'fp32'}", []).append(step(unet, bf16))
    best = {name: min(values) for name, values in seconds.items()}
    first = next(iter(best.values()))
    ratios = {name: round(value / first, 2) for name, value in best.items()}
    record = {"processor_has_amx": torch.cpu.get_capabilities().get("amx_bf16", False), "batch": BATCH, "times": ratios}
    (HERE / "speed.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


def unet_of(widths: tuple[int, ...], channels: int, shape: Shape) -> UNet2DConditionModel:
    """Return an untrained UNet with plain attention."""
    autoencoder: AutoencoderKL = build_autoencoder(64, widths, channels)
    return plain_attention(build_pipeline(new_parts(autoencoder, world_named("art"), shape), shape).unet)


def step(unet: UNet2DConditionModel, bf16: bool) -> float:
    """Return the processor time of one forward and backward pass."""
    config = unet.config
    noisy = torch.randn(BATCH, config.in_channels, config.sample_size, config.sample_size)
    states = torch.randn(BATCH, 12, config.cross_attention_dim)
    pooled = torch.randn(BATCH, config.projection_class_embeddings_input_dim - 48)
    added = {"text_embeds": pooled, "time_ids": torch.zeros(BATCH, 6)}
    start = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        predicted = unet(noisy, torch.randint(1000, (BATCH,)), states, added_cond_kwargs=added).sample
    predicted.float().square().mean().backward()
    unet.zero_grad()
    return time.process_time() - start


if __name__ == "__main__":
    main()
