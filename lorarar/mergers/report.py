"""Report: what a merge of files did, as plain data and as text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from lorarar.formats import Checked, token_names
from lorarar.lora import LoRA, LowRank, TruncationLoss, relative_error, summarise_coefficients
from lorarar.mergers.choice import goes_by_place, stated_kind
from lorarar.mergers.combination import Merged
from lorarar.mergers.table import Merger, Options
from lorarar.storage import plugins_in, printable

if TYPE_CHECKING:
    from lorarar.hypernetwork import Network


class InputSummary(TypedDict):
    """One input: its role, file, largest rank (None where every layer is dense) and LoRA weight."""

    role: str
    file: str
    sha256: str
    family: str
    layers: int
    rank: int | None
    weight: float


class MethodSummary(TypedDict):
    """The merger, its options, and the file of its network; None without a network."""

    name: str
    kind: str
    citation: str
    options: dict[str, float | int]
    file: str | None


class TruncationSummary(TypedDict):
    """Relative errors of a truncation: over all layers, and in the layer where it is largest."""

    error: float
    worst: float
    worst_layer: str


class MergeSummary(TypedDict):
    """Summary of a merge of files: plain data, fit for JSON.

    Attributes:
        inputs: The inputs, in order.
        method: The merger.
        strengths: Weights of the inputs, blocks and text encoders that differ from 1.
        files: Files that were written.
        family: Family of the base model.
        layers: Number of merged layers.
        predicted_layers: Number of layers whose coefficients a learned merger predicted; None for other methods.
        rank: Largest rank of a merged layer; None where every layer is dense.
        coefficients: Moments of the coefficients, see `lorarar.lora.summarise_coefficients`; None without any.
        truncation: Errors of the truncation; None without a truncation.
        milliseconds: Time of each step: read, merge, write, verify.
        device: Where it was merged, such as "cpu".
        notes: Notes for the user.
        plugins: Plugins that had a part in the merge, each with its SHA-256.
        verified: What the file holds when it is read again, as text; None where it was not read.
    """

    inputs: list[InputSummary]
    method: MethodSummary
    strengths: dict[str, Any]
    files: list[str]
    family: str
    layers: int
    predicted_layers: int | None
    rank: int | None
    coefficients: dict[str, dict[str, list[dict[str, float]]]] | None
    truncation: TruncationSummary | None
    milliseconds: dict[str, float]
    device: str
    notes: list[str]
    plugins: dict[str, str]
    verified: str | None


def summarise_merge(
    loras: Sequence[LoRA],
    merged: Merged,
    written: Sequence[Path],
    durations: Mapping[str, float],
    checked: Checked | None = None,
    kinds: Sequence[str] | None = None,
) -> MergeSummary:
    """Return the summary of a merge of files.

    Args:
        loras: The inputs, in order.
        merged: The merge.
        written: Files that were written.
        durations: Name of a step -> seconds.
        checked: The file as it was read again; None where it was not.
        kinds: The kinds that the request gives.
    """
    roles = input_roles(loras, merged.method, kinds, merged.accelerators)
    return {
        "inputs": summarise_inputs(loras, merged.weights.weights, roles),
        "method": summarise_method(merged.method, merged.options, merged.network),
        "strengths": merged.weights.facts(),
        "files": [str(path) for path in written],
        "family": merged.lora.family,
        "layers": len(merged.lora.layers),
        "predicted_layers": None if merged.predicted is None else len(merged.predicted),
        "rank": largest_rank(merged.lora),
        "coefficients": summarise_coefficients(merged.coefficients) if merged.coefficients else None,
        "truncation": _truncation(merged.losses),
        "device": merged.device,
        "milliseconds": {step: round(seconds * 1000, 1) for step, seconds in durations.items()},
        "notes": [
            *(f"warning: {warning}" for warning in merged.warnings),
            *merged.notes,
            *_vector_notes(merged),
            *embedding_notes(merged.lora),
        ],
        "plugins": plugins_in(merged.lora.metadata),
        "verified": checked.text() if checked else None,
    }


def summarise_inputs(loras: Sequence[LoRA], weights: Sequence[float], roles: Sequence[str]) -> list[InputSummary]:
    """Return the summary of each input.

    Args:
        loras: The inputs, in order.
        weights: LoRA weight of each.
        roles: Role of each, see `input_roles`.
    """
    return [
        {
            "role": role,
            "file": lora.name,
            "sha256": lora.sha256,
            "family": lora.family,
            "layers": len(lora.layers),
            "rank": largest_rank(lora),
            "weight": weight,
        }
        for role, lora, weight in zip(roles, loras, weights, strict=True)
    ]


def summarise_method(method: Merger, options: Options, network: Network | None) -> MethodSummary:
    """Return the summary of the method.

    Args:
        method: The merger's row of the table.
        options: Its options, defaults included.
        network: The learned merger, or None.
    """
    return {
        "name": method.name,
        "kind": method.kind,
        "citation": method.citation,
        "options": dict(options),
        "file": str(network.file) if network else None,
    }


def _truncation(losses: Mapping[str, TruncationLoss]) -> TruncationSummary | None:
    if not losses:
        return None
    worst = max(losses, key=lambda layer: losses[layer].relative)
    return {"error": relative_error(losses.values()), "worst": losses[worst].relative, "worst_layer": worst}


def describe_merge(summary: MergeSummary) -> str:
    """Return a summary as text."""
    truncation, milliseconds = summary["truncation"], summary["milliseconds"]
    lines = describe_method(summary["inputs"], summary["method"], summary["notes"], summary["strengths"])
    lines += [f"  plugin: {name}, SHA-256 {sha256}" for name, sha256 in summary["plugins"].items()]
    if summary["predicted_layers"] is not None:
        fixed = summary["layers"] - summary["predicted_layers"]
        others = f"; summed with fixed coefficients: {fixed} layers" if fixed else ""
        lines.append(f"  predicted: {summary['predicted_layers']} layers{others}")
    if truncation:
        lines.append(
            f"  truncated, relative error {truncation['error']:.3g}, at most "
            f"{truncation['worst']:.3g} in a layer ({truncation['worst_layer']})"
        )
    lines.append(
        f"written: {', '.join(summary['files'])}: {summary['layers']} layers, {_rank_text(summary['rank'])}; read "
        f"{milliseconds['read']:.0f} ms, merged {milliseconds['merge']:.0f} ms on {summary['device']}, written "
        f"{milliseconds['write']:.0f} ms"
    )
    if summary["verified"]:
        lines.append(summary["verified"])
    return "\n".join(map(printable, lines))


def describe_method(
    inputs: Sequence[InputSummary], method: MethodSummary, notes: Sequence[str], strengths: Mapping[str, Any]
) -> list[str]:
    """Return the lines about the inputs and the method of a merge.

    Args:
        inputs, method: Their summaries.
        notes: Notes for the user.
        strengths: Weights that differ from 1, see `MergeSummary`.
    """
    lines = [
        f"{entry['role']}: {entry['file']} ({entry['family'] or 'unknown family'}, {entry['layers']} layers, "
        f"{_rank_text(entry['rank'])}, weight {entry['weight']:g})"
        for entry in inputs
    ]
    lines.append(f"method: {method['name']} ({method['citation']})" + (f", {method['file']}" if method["file"] else ""))
    return lines + [f"  {note}" for note in [*notes, *_weight_notes(strengths)]]


def input_names(count: int) -> list[str]:
    """Return the names of the inputs in files of coefficients: content and style for two, else their numbers.

    Args:
        count: Number of inputs.
    """
    return ["content", "style"] if count == 2 else [str(index) for index in range(count)]


def input_roles(
    loras: Sequence[LoRA], method: Merger, kinds: Sequence[str] | None = None, accelerators: Collection[int] = ()
) -> list[str]:
    """Return the role of each input in a summary.

    Two inputs that are merged have the kinds that are given. Without these they are content and style for a method that
    goes by their place, else what their files state; where a file states nothing, its input is "first" or "second", or
    for an optimisation "content" or "style". Any other number of inputs is numbered.

    Args:
        loras: The inputs, in order.
        method: The merger.
        kinds: The kinds that the request gives.
        accelerators: Numbers of the inputs that are added unchanged.
    """
    merged = [index for index in range(len(loras)) if index not in accelerators]
    names = input_names(len(merged))
    if len(merged) == 2 and kinds and method.takes_kinds:
        names = list(kinds) if len(kinds) == 2 else [kinds[index] for index in merged]
    elif len(merged) == 2 and not goes_by_place(method):
        places = names if method.pair else ["first", "second"]
        names = [stated_kind(loras[index]) or place for index, place in zip(merged, places, strict=True)]
    roles = dict(zip(merged, names, strict=True))
    return [roles.get(index, "accelerator") for index in range(len(loras))]


def _vector_notes(merged: Merged) -> list[str]:
    count = sum(len(delta.shape) == 1 for delta in merged.lora.layers.values())
    by_sum = count and merged.method.kind == "delta"
    return [f"{count} norms and biases are summed: {merged.method.name} is for matrices"] if by_sum else []


def embedding_notes(lora: LoRA) -> list[str]:
    """Return a note on the learned embeddings of a LoRA, if it has some."""
    names = token_names(lora.embeddings)
    return [f"learned embeddings are written beside the result: {', '.join(names)}"] if names else []


def _weight_notes(weights: Mapping[str, Any]) -> list[str]:
    """Return notes on the weights of blocks and text encoders; those of whole inputs stand beside the inputs."""
    parts = dict(weights.get("blocks", {}))
    if "text_encoder" in weights:
        parts["the text encoders"] = weights["text_encoder"]
    return [f"weight of {name}: {', '.join(f'{number:g}' for number in numbers)}" for name, numbers in parts.items()]


def largest_rank(lora: LoRA) -> int | None:
    """Return the largest rank of the low-rank layers of a LoRA; None if there are none."""
    return max((delta.rank for delta in lora.layers.values() if isinstance(delta, LowRank)), default=None)


def _rank_text(rank: int | None) -> str:
    return "dense" if rank is None else f"rank {rank}"
