"""Display of a LoRA: one line for a terminal, a small table for a notebook.

Both show family, layers, ranks and norm. The norm comes from the factors, never from a dense delta, and is left out
where it would take more than a moment.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape

import torch

from lorarar.lora.families import FAMILIES
from lorarar.lora.lora import Layer, LoRA, delta_norm, is_text_encoder
from lorarar.lora.lowrank import LowRank

_AFFORDABLE = 5e9  # multiplications, about half a second on two cores


def describe_lora(lora: LoRA) -> str:
    """Return one line: "LoRA(sdxl, 722 layers: 560 unet + 162 text_encoder, rank 8-64, norm 12.3, 'a.safetensors')"."""
    family = FAMILIES.get(lora.family)
    denoiser = family.denoiser if family else "denoiser"
    parts = Counter(_root(path) if is_text_encoder(path) else denoiser for path in lora.layers)
    count = len(lora.layers)
    facts = [lora.family or "unknown family", f"{count} layer" if count == 1 else f"{count} layers"]
    if parts:
        facts[-1] += ": " + " + ".join(f"{count} {part}" for part, count in parts.items())
        ranks = _ranks(lora.layers.values())
        facts.append(f"rank {ranks}" if any(isinstance(layer, LowRank) for layer in lora.layers.values()) else ranks)
    size = _norm(lora.layers)
    facts += [f"norm {size}"] if size else []
    facts += [repr(lora.name)] if lora.name else []
    return f"LoRA({', '.join(facts)})"


def lora_html(lora: LoRA) -> str:
    """Return a table in HTML: a row for each part of the model, below the name, the family and the trigger words."""
    groups: dict[str, dict[str, Layer]] = {}
    for path, layer in lora.layers.items():
        groups.setdefault(_root(path), {})[path] = layer
    family = FAMILIES.get(lora.family)
    words = lora.metadata.get("modelspec.trigger_phrase") or lora.metadata.get("phrase") or "unknown"
    method = lora.metadata.get("lorarar.method")
    lines = [f"LoRA for {family.label if family else 'an unknown base model'}", f"trigger words: {words}"]
    lines += [f"merged by: {method}"] if method else []
    rows = [("part", "layers", "rank", "norm")]
    total = [("all", lora.layers)] if len(groups) > 1 else []
    rows += [
        (name, str(len(layers)), _ranks(layers.values()), _norm(layers) or "")
        for name, layers in [*groups.items(), *total]
    ]
    head = "".join(f"<div>{escape(line)}</div>" for line in lines)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div><b>{escape(lora.name or 'LoRA')}</b>{head}<table>{body}</table></div>"


def _root(path: str) -> str:
    return path.partition(".")[0]


def _ranks(layers: Iterable[Layer]) -> str:
    """Return the ranks of the low-rank layers and the number of the dense ones: "4-8", "4, 3 dense", "3 dense"."""
    layers = list(layers)
    ranks = [layer.rank for layer in layers if isinstance(layer, LowRank)]
    texts = []
    if ranks:
        texts.append(f"{min(ranks)}-{max(ranks)}" if max(ranks) > min(ranks) else f"{max(ranks)}")
    if len(ranks) < len(layers):
        texts.append(f"{len(layers) - len(ranks)} dense")
    return ", ".join(texts)


@torch.no_grad()
def _norm(layers: Mapping[str, Layer]) -> str:
    """Return the Frobenius norm of all deltas together; "" without layers, or where it takes too long."""
    if not layers or sum(map(_work, layers.values())) > _AFFORDABLE:
        return ""
    return f"{math.hypot(*map(delta_norm, layers.values())):.3g}"


def _work(layer: Layer) -> int:
    """Return the number of multiplications that the norm of a delta takes."""
    return layer.rank**2 * sum(layer.shape) if isinstance(layer, LowRank) else math.prod(layer.shape)
