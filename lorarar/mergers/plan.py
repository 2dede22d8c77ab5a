"""Plan: what a merge of files would do, and how large the file would be, without merging or writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypedDict

import torch

from lorarar.formats import load_all, plan_file
from lorarar.lora import (
    Coefficients,
    Dense,
    Layer,
    LoRA,
    LowRank,
    merge_exactly,
    one_thread,
    torch_dtype,
    weight_coefficients,
    weight_loras,
)
from lorarar.mergers.accelerators import split_accelerators
from lorarar.mergers.balance import describe_balance
from lorarar.mergers.choice import Choice, check_has_coefficients, choose, family_of, kept_names
from lorarar.mergers.combination import check_prediction, joined_embeddings, low_rank_inputs
from lorarar.mergers.files import check_outputs
from lorarar.mergers.input_checks import check_lengths
from lorarar.mergers.methods.layers import merge_deltas
from lorarar.mergers.report import (
    InputSummary,
    MethodSummary,
    describe_method,
    embedding_notes,
    input_roles,
    summarise_inputs,
    summarise_method,
)
from lorarar.mergers.request import FileMerge, MergeRequest
from lorarar.storage import check_target, printable


class LayerCounts(TypedDict):
    """Number of merged layers, by where their coefficients come from.

    Attributes:
        predicted: A network predicts them, or an optimisation computes them.
        fixed: They are fixed, or the method has none.
        carried: Only one input has the layer.
    """

    predicted: int
    fixed: int
    carried: int


class OutputPlan(TypedDict):
    """The file that would be written.

    Attributes:
        file: The file.
        format, dtype: Its dialect and the precision of its weights.
        ranks: Rank -> number of layers of this rank, as text.
        dense_layers: Number of layers that are not low-rank.
        bytes: Size, without metadata of a few kB.
        exact: Whether the size is exact; else the file may be smaller, because the share of the norm decides the ranks,
            or projections with the same factor A are fused.
    """

    file: str
    format: str
    dtype: str
    ranks: dict[str, int]
    dense_layers: int
    bytes: int
    exact: bool


class MergePlan(TypedDict):
    """Plan of a merge of files: plain data, fit for JSON.

    Attributes:
        inputs, method, strengths, family, notes: As in `MergeSummary`.
        layers: Numbers of merged layers.
        output: The file.
    """

    inputs: list[InputSummary]
    method: MethodSummary
    strengths: dict[str, Any]
    family: str
    layers: LayerCounts
    output: OutputPlan
    notes: list[str]


def plan_merge(job: FileMerge) -> MergePlan:
    """Return what a merge would do, after the checks that the merge itself makes.

    A merger of the kind "delta" merges one layer of each shape, whose result has the rank of the others.

    Args:
        job: Files, output and how they are merged.

    Raises:
        FormatError: A file cannot be read, or the output may not be written.
        ValueError: The LoRAs do not fit each other or the merger, or an input of the merger is missing.
    """
    check_outputs(job)
    request = job.request
    request.check()
    request.check_pair()
    dtype = torch_dtype(job.dtype)
    read = load_all(job.files, request.weights_base)
    split = split_accelerators(read, request)
    loras, request = split.others, split.request
    choice = choose(loras, request)
    if job.save_coefficients:
        check_has_coefficients(choice.method)
    balanced, factors = choice.prepare(loras)
    shapes = _truncated(_merged_shapes(balanced, choice), request, balanced)
    shapes = replace(split, kept=[lora.to("meta") for lora in split.kept]).join(shapes)
    merged = replace(shapes, family=family_of(read), embeddings=joined_embeddings(read), names=kept_names(read))
    weights = split.weights or choice.weights
    planned = plan_file(merged, job.output, format=job.format, dtype=dtype)
    if planned.path.exists():
        check_target(planned.path, job.force)
    roles = input_roles(read, choice.method, job.request.kinds, split.places)
    ranks = Counter(layer.rank for layer in merged.layers.values() if isinstance(layer, LowRank))
    return {
        "inputs": summarise_inputs(read, weights.weights, roles),
        "method": summarise_method(choice.method, choice.options, choice.network),
        "strengths": weights.facts(),
        "family": merged.family,
        "layers": _count_layers(balanced, choice),
        "output": {
            "file": str(planned.path),
            "format": planned.format,
            "dtype": job.dtype,
            "ranks": {str(rank): count for rank, count in sorted(ranks.items())},
            "dense_layers": len(merged.layers) - ranks.total(),
            "bytes": planned.bytes,
            "exact": planned.exact and request.energy is None,
        },
        "notes": [
            *split.notes,
            *_foresee(balanced, choice, request),
            *choice.notes,
            *describe_balance(loras, factors, choice.balance),
            *embedding_notes(merged),
        ],
    }


def describe_merge_plan(plan: MergePlan) -> str:
    """Return a plan as text."""
    layers, output = plan["layers"], plan["output"]
    counts = [
        f"{layers['predicted']} predicted" if layers["predicted"] else "",
        f"{layers['fixed']} merged by fixed rules" if layers["fixed"] else "",
        f"{layers['carried']} from one input alone" if layers["carried"] else "",
    ]
    ranks = ", ".join(f"rank {rank} in {count} layers" for rank, count in output["ranks"].items())
    dense = f"{output['dense_layers']} layers in full" if output["dense_layers"] else ""
    size = f"{'' if output['exact'] else 'at most '}{output['bytes'] / 1e6:,.2f} MB"
    lines = describe_method(plan["inputs"], plan["method"], plan["notes"], plan["strengths"])
    lines.append(f"layers: {', '.join(filter(None, counts))}")
    lines.append(f"  {', '.join(filter(None, (ranks, dense)))}")
    lines.append(f"would write: {output['file']}: {output['format']}, {output['dtype']}, {size}; nothing was written")
    return "\n".join(map(printable, lines))


def _count_layers(loras: Sequence[LoRA], choice: Choice) -> LayerCounts:
    holders = Counter(layer for lora in loras for layer in lora.layers)
    predicted = choice.method.predicted(loras, choice.network) or frozenset()
    carried = sum(count == 1 for layer, count in holders.items() if layer not in predicted) if len(loras) > 1 else 0
    return {"predicted": len(predicted), "fixed": len(holders) - len(predicted) - carried, "carried": carried}


@torch.no_grad()
def _foresee(loras: Sequence[LoRA], choice: Choice, request: MergeRequest) -> list[str]:
    """Return the warnings and notes on the inputs that the merge would give."""
    method, warnings = choice.method, []
    if method.on_base:
        return []  # its coefficients, which may bring the lengths together, are not computed yet
    coefficients = None
    if choice.network:
        kinds = {"kinds": request.kinds} if request.kinds else {}
        predicted = method.call(loras, network=choice.network, **kinds, **choice.options)
        warnings = check_prediction(choice, loras, predicted, request)
        coefficients = weight_coefficients(predicted, choice.weights)
    notes, unequal = check_lengths(loras, choice.weights, choice.balance, coefficients)
    return [*(f"warning: {warning}" for warning in (*warnings, *unequal)), *notes]


def _merged_shapes(loras: Sequence[LoRA], choice: Choice) -> LoRA:
    """Return the merge before truncation as a LoRA on the meta device: shapes without memory."""
    if choice.method.kind == "coefficients":
        paths = dict.fromkeys(layer for lora in loras for layer in lora.layers)
        units = tuple(torch.ones(()) for _ in loras)
        return merge_exactly([lora.to("meta") for lora in loras], Coefficients(dict.fromkeys(paths, units)))
    stand_in: dict[str, object] = {"moments": {}} if choice.method.signals else {}
    call = partial(choice.method.call, **stand_in, **choice.options)
    examples: dict[tuple[Any, ...], Layer] = {}
    layers: dict[str, Layer] = {}
    for path in dict.fromkeys(layer for lora in loras for layer in lora.layers):
        held = [lora.layers.get(path) for lora in loras]
        kind = tuple((type(layer), layer.shape, getattr(layer, "rank", 0)) if layer else None for layer in held)
        if kind not in examples:
            alone = [replace(lora, layers={path: lora.layers[path]} if path in lora.layers else {}) for lora in loras]
            with torch.no_grad(), one_thread():
                merged = merge_deltas(weight_loras(alone, choice.weights), call)
            examples[kind] = merged.layers[path].to("meta")
        layers[path] = examples[kind]
    return LoRA(layers)


def _truncated(lora: LoRA, request: MergeRequest, inputs: Sequence[LoRA]) -> LoRA:
    """Return the largest shapes that the truncation of a request leaves."""
    layers: dict[str, Layer] = {}
    for path, layer in lora.layers.items():
        if request.rank is not None or request.energy is not None:
            layers[path] = _truncated_layer(layer, request.rank)
            continue
        factors = low_rank_inputs(inputs, path) if isinstance(layer, Dense) and not request.dense else []
        layers[path] = _truncated_layer(layer, sum(f.rank for f in factors)) if factors else layer
    return replace(lora, layers=layers)


def _truncated_layer(layer: Layer, rank: int | None) -> Layer:
    if len(layer.shape) == 1:
        return layer
    out, width = layer.shape
    full = layer.rank if isinstance(layer, LowRank) else min(out, width)
    kept = full if rank is None else min(full, rank)
    if isinstance(layer, LowRank) and kept == full:
        return layer
    kept = min(kept, out, width)
    factors = torch.empty(out, kept, device="meta"), torch.empty(kept, width, device="meta")
    return LowRank(*factors, kernel=layer.kernel)
