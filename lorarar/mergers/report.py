"""What a merge of files did: as plain data, and as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorarar.formats import token_names
from lorarar.lora import LoRA, LowRank, relative_error, summarise_coefficients
from lorarar.mergers.combination import Merged

Summary = dict[str, Any]


def summarise_merge(
    loras: Sequence[LoRA], merged: Merged, written: Sequence[Path], took: Mapping[str, float]
) -> Summary:
    """What was merged, how, and what was written.

    Args:
        loras: The inputs, in order.
        merged: What came of them.
        written: The files.
        took: Name of a step -> seconds.

    Returns:
        Plain data, fit for JSON.
    """
    losses = merged.losses
    worst = max(losses, key=lambda layer: losses[layer].relative) if losses else None
    return {
        "inputs": [
            {
                "role": role,
                "file": lora.name,
                "sha256": lora.sha256,
                "family": lora.family,
                "layers": len(lora.layers),
                "rank": _rank(lora),
                "weight": weight,
            }
            for role, lora, weight in zip(roles(len(loras)), loras, merged.weights.weights, strict=True)
        ],
        "method": {
            "name": merged.method.name,
            "kind": merged.method.kind,
            "citation": merged.method.citation,
            "options": dict(merged.options),
            "file": str(merged.network.file) if merged.network else None,
        },
        "strengths": merged.weights.facts(),
        "files": [str(path) for path in written],
        "family": merged.lora.family,
        "layers": len(merged.lora.layers),
        "predicted_layers": None if merged.predicted is None else len(merged.predicted),
        "rank": _rank(merged.lora),
        "coefficients": summarise_coefficients(merged.coefficients) if merged.coefficients else None,
        "truncation": {
            "error": relative_error(losses.values()),
            "worst": losses[worst].relative,
            "worst_layer": worst,
        }
        if worst
        else None,
        "milliseconds": {step: round(seconds * 1000, 1) for step, seconds in took.items()},
        "notes": [*merged.notes, *_about_vectors(merged), *_about_embeddings(merged.lora)],
    }


def describe_merge(found: Summary) -> str:
    """A summary as text, for people."""
    lines = [
        f"{entry['role']}: {entry['file']} ({entry['family'] or 'unknown family'}, {entry['layers']} layers, "
        f"rank {entry['rank']}, strength {entry['weight']:g})"
        for entry in found["inputs"]
    ]
    method = found["method"]
    lines.append(f"method: {method['name']} ({method['citation']})" + (f", {method['file']}" if method["file"] else ""))
    lines += [f"  {note}" for note in [*found["notes"], *_about_strengths(found["strengths"])]]
    if found["predicted_layers"] is not None:
        lines.append(
            f"  predicted: {found['predicted_layers']} layers; summed with fixed coefficients: the other "
            f"{found['layers'] - found['predicted_layers']}"
        )
    if found["truncation"]:
        lines.append(
            f"  truncated, relative error {found['truncation']['error']:.3g}, at most "
            f"{found['truncation']['worst']:.3g} in a layer ({found['truncation']['worst_layer']})"
        )
    took = found["milliseconds"]
    lines.append(
        f"written: {', '.join(found['files'])}: {found['layers']} layers, rank {found['rank']}; "
        f"read {took['read']:.0f} ms, merged {took['merge']:.0f} ms, written {took['write']:.0f} ms"
    )
    return "\n".join(lines)


def roles(count: int) -> list[str]:
    """What the inputs are called: content and style when there are two, else their numbers."""
    return ["content", "style"] if count == 2 else [str(index) for index in range(count)]


def _about_vectors(merged: Merged) -> list[str]:
    count = sum(len(delta.shape) == 1 for delta in merged.lora.layers.values())
    by_sum = count and merged.method.kind == "delta"
    return [f"{count} norms and biases are summed: {merged.method.name} is for matrices"] if by_sum else []


def _about_embeddings(lora: LoRA) -> list[str]:
    names = token_names(lora.embeddings)
    return [f"learned embeddings are written beside the result: {', '.join(names)}"] if names else []


def _about_strengths(found: Mapping[str, Any]) -> list[str]:
    """Strengths of parts; those of whole inputs stand beside these."""
    parts = dict(found.get("blocks", {}))
    if "text_encoder" in found:
        parts["the text encoders"] = found["text_encoder"]
    return [f"strength of {name}: {', '.join(f'{number:g}' for number in numbers)}" for name, numbers in parts.items()]


def _rank(lora: LoRA) -> int:
    """The largest rank of its low-rank layers; 0 where there are none."""
    return max((delta.rank for delta in lora.layers.values() if isinstance(delta, LowRank)), default=0)
