"""Tiny random models and LoRAs that several tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from diffusers import PixArtTransformer2DModel, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def factors(
    out: int, width: int, rank: int, scale: float = 1.0, seed: int = 0, dtype: torch.dtype = torch.float32
) -> LowRank:
    """Random factors of order 1."""
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(out, rank, generator=generator, dtype=torch.float64)
    a = torch.randn(rank, width, generator=generator, dtype=torch.float64)
    return LowRank(b.to(dtype), a.to(dtype), scale)


def dense(f: LowRank) -> Tensor:
    """The delta by plain float64 arithmetic, independent of the code under test."""
    return f.scale * (f.B.double() @ f.A.double())


def lora_for(
    model: nn.Module, ranks: Sequence[int] = (3,), scales: Sequence[float] = (0.5,), seed: int = 0, name: str = ""
) -> LoRA:
    """A random LoRA on all attention projections, ranks and scales taken in turn."""
    layers = {}
    for i, (layer, module) in enumerate(model.named_modules()):
        if isinstance(module, nn.Linear) and layer.endswith(ATTENTION):
            f = factors(
                module.out_features, module.in_features, ranks[i % len(ranks)], scales[i % len(scales)], seed + i
            )
            layers[layer] = LowRank(f.B * 0.3, f.A * 0.3, f.scale)
    return LoRA(layers, name=name)


def two_block_lora(
    rank: int, scale: float = 1.0, seed: int = 0, width: int = 6, dtype: torch.dtype = torch.float32
) -> LoRA:
    """A LoRA with UNet-like names and two out widths, without any model: to_q, to_k, to_v, to_out in two blocks."""
    layers = {}
    for i, (block, out) in enumerate((("down_blocks.1", width), ("mid_block", 2 * width))):
        for j, name in enumerate(ATTENTION):
            layer = f"{block}.attentions.0.transformer_blocks.0.attn1.{name}"
            layers[layer] = factors(out, out, rank, scale, seed + 10 * i + j, dtype)
    return LoRA(layers)


def tiny_unet(sdxl: bool = False) -> UNet2DConditionModel:
    """A UNet with cross attention in two blocks and two heads, about 50,000 parameters."""
    torch.manual_seed(0)
    extra = (
        {"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 32}
        if sdxl
        else {}
    )
    return UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=12,
        attention_head_dim=2,
        norm_num_groups=4,
        use_linear_projection=True,
        **extra,
    ).eval()


def tiny_pixart() -> PixArtTransformer2DModel:
    """A diffusion transformer with two blocks."""
    torch.manual_seed(0)
    return PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=16,
        sample_size=8,
        patch_size=2,
        caption_channels=12,
        num_embeds_ada_norm=10,
        use_additional_conditions=False,
    ).eval()


def unet_inputs(batch: int = 1, sdxl: bool = False, seed: int = 0) -> dict[str, object]:
    """Keyword arguments of the tiny UNet's forward."""
    generator = torch.Generator().manual_seed(seed)
    inputs: dict[str, object] = {
        "sample": torch.randn(batch, 4, 8, 8, generator=generator),
        "timestep": torch.tensor(5),
        "encoder_hidden_states": torch.randn(batch, 7, 12, generator=generator),
    }
    if sdxl:
        inputs["added_cond_kwargs"] = {
            "text_embeds": torch.randn(batch, 8, generator=generator),
            "time_ids": torch.ones(batch, 6),
        }
    return inputs


def pixart_inputs(batch: int = 1) -> dict[str, object]:
    """Keyword arguments of the tiny transformer's forward."""
    generator = torch.Generator().manual_seed(0)
    return {
        "hidden_states": torch.randn(batch, 4, 8, 8, generator=generator),
        "timestep": torch.full((batch,), 5),
        "encoder_hidden_states": torch.randn(batch, 7, 12, generator=generator),
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
    }


def write_concepts(folder: Path, images: int = 3) -> None:
    """Noise images in ``folder/images`` and a manifest ``concepts.yaml`` with one set of splits, "tiny"."""
    random = np.random.default_rng(0)
    splits = {
        split: {
            f"{kind}s": [f"{split}_{kind}_{i:02d}" for i in range(2 if split == "train" else 1)]
            for kind in ("content", "style")
        }
        for split in ("train", "validation")
    }
    entries = []
    for members in splits.values():
        for name in members["contents"]:
            description = "a red cat with white dots"
            entries.append({"name": name, "kind": "content", "prompt": "a sks cat", "description": description})
        for name in members["styles"]:
            captions = [f"a red {word} with white dots in szn style" for word in ("car", "fish", "mug")[:images]]
            description = "deep blue grid bare flat style"
            entries.append(
                {"name": name, "kind": "style", "phrase": "szn style", "captions": captions, "description": description}
            )
    for entry in entries:
        path = folder / "images" / str(entry["name"])
        path.mkdir(parents=True)
        for i in range(images):
            Image.fromarray(random.integers(256, size=(40, 48, 3), dtype=np.uint8)).save(path / f"{i}.png")
    (folder / "concepts.yaml").write_text(yaml.safe_dump({"concepts": entries, "splits": {"tiny": splits}}))
