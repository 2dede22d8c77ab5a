"""Measure whether a released LoRA.rar network uses the pair: its coefficients on random LoRAs and on real ones.

python experiments/released/measure.py SDXL.pth KOALA.pth [LORA.safetensors LORA.safetensors]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from lorarar.formats import load
from lorarar.hypernetwork import load_network
from lorarar.lora import LoRA, LowRank, projection

RANK, PAIRS = 64, 16
UP = (1e-3, 2e-3, 5e-3, 1e-2)  # standard deviation of B; A's is 1 / 64, so that delta's entries have 1.2e-4 to 1.2e-3
LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def random_lora(width: int, up: float, random: torch.Generator) -> LowRank:
    """Return a random layer (width, width) of rank 64."""
    b, a = torch.randn(width, RANK, generator=random) * up, torch.randn(RANK, width, generator=random) / RANK
    return LowRank(b, a, 1.0)


def describe(network: torch.nn.Module, pairs: list[tuple[LowRank, LowRank]]) -> dict[str, object]:
    """Return means and spreads of the coefficients over columns and pairs, and the distance to a constant's merge."""
    with torch.no_grad():
        found = torch.stack([torch.stack(coefficients(network, pair)) for pair in pairs])  # (pairs, 2, in)
    constants = found.mean((0, 2))
    return {
        "mean": rounded(constants),
        "deviation_over_columns": rounded(found.std(2).mean(0)),
        "deviation_of_pair_means": rounded(found.mean(2).std(0)) if len(pairs) > 1 else None,
        "merge_away_from_the_constant": round(
            float(torch.stack([distance(pair, m, constants) for pair, m in zip(pairs, found, strict=True)]).mean()), 4
        ),
    }


def coefficients(network: torch.nn.Module, pair: tuple[LowRank, LowRank]) -> tuple[Tensor, ...]:
    """Return (m_c, m_s), (in,) each."""
    return network([LoRA({LAYER: delta}) for delta in pair]).layers[LAYER]


def distance(pair: tuple[LowRank, LowRank], m: Tensor, constants: Tensor) -> Tensor:
    """Return |dW_m - dW_constant| / |dW_m|, in Frobenius norms."""
    content, style = (delta.scale * (delta.B.float() @ delta.A.float()) for delta in pair)
    merged, constant = content * m[0] + style * m[1], content * constants[0] + style * constants[1]
    return (merged - constant).norm() / merged.norm()


def rounded(values: Tensor) -> list[float]:
    return [round(float(value), 4) for value in values]


def real_pairs(paths: list[str], width: int) -> list[tuple[LowRank, LowRank]]:
    """Return the layers of two files that the network of a width takes, in both roles."""
    first, second = (load(path) for path in paths)
    layers = [
        layer
        for layer, delta in first.layers.items()
        if layer in second.layers and projection(layer) in ("to_q", "to_out") and delta.shape == (width, width)
    ]
    return [(a.layers[layer], b.layers[layer]) for layer in layers for a, b in ((first, second), (second, first))]


def main(networks: list[str], files: list[str]) -> None:
    torch.set_num_threads(1)
    record = {}
    for path in networks:
        network = load_network(path).module
        for width in (640, 1280):
            found = {}
            for up in UP:
                random = torch.Generator().manual_seed(0)
                pairs = [(random_lora(width, up, random), random_lora(width, up, random)) for _ in range(PAIRS)]
                found[f"random, entries of {up / RANK**0.5:.1e}"] = describe(network, pairs)
            if files:
                found["real layers of Stable Diffusion 1"] = describe(network, real_pairs(files, width))
            record[f"{Path(path).stem}, width {width}"] = found
            print(json.dumps(found, indent=1))
    Path(__file__).with_name("results.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    main([w for w in words if w.endswith(".pth")], [w for w in words if not w.endswith(".pth")])
