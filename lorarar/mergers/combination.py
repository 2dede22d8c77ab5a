"""Combination: merge LoRAs in memory into one LoRA, by any method of the table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from lorarar.hypernetwork import Network
from lorarar.lora import (
    Coefficients,
    Dense,
    InputWeights,
    Layer,
    LoRA,
    LowRank,
    TruncationLoss,
    compress_layer,
    merge_exactly,
    one_thread,
    pick_device,
    relative_error,
    truncate_layer,
    truncate_lora,
    weight_coefficients,
    weight_loras,
)
from lorarar.lora.families import check_same_family
from lorarar.mergers.accelerators import Split, split_accelerators
from lorarar.mergers.balance import balance_loras, describe_balance
from lorarar.mergers.choice import Choice, check_optimiser, choose, family_of, kept_names
from lorarar.mergers.input_checks import check_lengths, check_range
from lorarar.mergers.methods.layers import merge_deltas
from lorarar.mergers.methods.svc import calibrate_lora
from lorarar.mergers.objective import TERMS
from lorarar.mergers.request import MergeRequest
from lorarar.mergers.table import DEFAULT, MERGERS, Merger, Optimiser, Options, Probe
from lorarar.storage import plugins_in, with_plugins

# Relative error of a truncation from which on it is a warning.
LARGE_ERROR = 0.1


@dataclass(frozen=True, eq=False)
class Merged:
    """A merge and how it was made.

    Attributes:
        lora: The result, on the CPU.
        method: The merger's row of the table.
        weights: Weights of the inputs.
        balance: How far the inputs were brought to one length first.
        svc: Bound by which the singular values were calibrated; None where they were not.
        network: The learned merger; None for other methods.
        options: Options of the method, defaults included.
        predicted: Layers whose coefficients a learned merger predicted, the others being fixed; None for other methods.
        coefficients: Coefficients that were applied to the inputs, weights and balance included; None for methods of
            another kind.
        losses: Truncated layer -> the part that truncation removed.
        seconds: Time from loaded to merged tensors.
        device: Where it was computed, such as "cpu".
        accelerators: Numbers of the inputs that were added unchanged.
        notes: Notes for the user.
        warnings: What may make the result bad, each with its numbers and its remedy.
    """

    lora: LoRA
    method: Merger
    weights: InputWeights
    balance: float = 0.0
    svc: float | None = None
    network: Network | None = None
    options: Options = field(default_factory=dict)
    predicted: frozenset[str] | None = None
    coefficients: Coefficients | None = None
    losses: Mapping[str, TruncationLoss] = field(default_factory=dict)
    seconds: float = 0.0
    device: str = "cpu"
    accelerators: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def combine(
    loras: Sequence[LoRA],
    request: MergeRequest | None = None,
    optimiser: Optimiser | Probe | None = None,
    *,
    dense_dtype: torch.dtype | None = None,
) -> Merged:
    """Merge LoRAs of one base model into one.

    Args:
        loras: One or more LoRAs. Mergers that distinguish content from style take them in the order content, style.
        request: How to merge; None merges by the network that is shipped for their family and fits them,
            else by "auto".
        optimiser: For mergers that optimise each pair: a `lorarar.training.PairOptimiser`, which holds the base model
            and the images or descriptions of the concepts. For "ssr": a `lorarar.diffusion.SignalProbe`.
        dense_dtype: Dtype to which each dense delta is cast as soon as it is made, which saves memory; None keeps
            float32.

    Returns:
        The merge, with its coefficients and errors.

    Raises:
        FormatError: The file of the learned merger cannot be read.
        ValueError: The LoRAs do not fit each other or the method, or an option is unknown or out of its range.
    """
    request = request or MergeRequest()
    split = split_accelerators(loras, request)
    if split.kept:
        return _beside_accelerators(loras, split, optimiser)
    choice = choose(loras, request)
    method = choice.method
    check_optimiser(method, optimiser)
    device = pick_device(request.device, mps=False)
    on_device = [lora.to(device) for lora in loras]
    start = time.perf_counter()
    with torch.no_grad():
        balanced, factors = choice.prepare(on_device)
        if method.kind == "coefficients":
            inputs = {"network": choice.network, "optimiser": optimiser, "kinds": request.kinds}
            used = {key: value for key, value in inputs.items() if value}
            merged = _by_coefficients(balanced, choice, used, request)
        else:
            moments = {"moments": cast(Probe, optimiser)(balanced)} if method.signals else {}
            merged = _by_deltas(balanced, choice, request, moments, None if request.svc else dense_dtype)
        if request.svc is not None:
            merged = _calibrated(merged, balanced, choice, request.svc)
        lora = merged.lora.to("cpu")
    seconds = time.perf_counter() - start
    metadata = with_plugins(lora.metadata, _plugins(loras, choice))
    lora = replace(
        lora,
        family=family_of(loras),
        embeddings=joined_embeddings(loras),
        metadata=metadata,
        names=kept_names(loras),
    )
    return replace(
        merged,
        lora=lora,
        balance=choice.balance,
        network=choice.network,
        options=choice.options,
        coefficients=_product(merged.coefficients, factors) if merged.coefficients else None,
        seconds=seconds,
        device=str(device),
        notes=(*choice.notes, *describe_balance(loras, factors, choice.balance), *merged.notes),
    )


def _beside_accelerators(loras: Sequence[LoRA], split: Split, optimiser: Optimiser | Probe | None) -> Merged:
    """Merge the other LoRAs, then add the accelerators."""
    check_same_family(loras)
    merged = combine(split.others, split.request, optimiser)
    lora = replace(split.join(merged.lora), embeddings=joined_embeddings(loras), names=kept_names(loras))
    weights = split.weights or merged.weights
    notes = (*split.notes, *merged.notes)
    return replace(merged, lora=lora, weights=weights, accelerators=split.places, notes=notes)


def _by_coefficients(loras: Sequence[LoRA], choice: Choice, inputs: Mapping[str, Any], request: MergeRequest) -> Merged:
    """Merge exactly, by the coefficients that the method computes from its inputs (network, optimiser, kinds)."""
    method, weights = choice.method, choice.weights
    predicted = method.predicted(loras, choice.network)
    losses: dict[str, TruncationLoss] = {}
    # A method that computes with a base model may use all threads.
    with nullcontext() if method.pair else one_thread():
        unweighted = method.call(loras, **inputs, **choice.options)
    with one_thread():
        warnings = check_prediction(choice, loras, unweighted, request)
        coefficients = weight_coefficients(unweighted, weights)
        notes, unequal = check_lengths(loras, weights, choice.balance, coefficients if predicted else None)
        lora = merge_exactly(loras, coefficients)
    if request.rank is not None or request.energy is not None:
        lora, losses = truncate_lora(lora, rank=request.rank, energy=request.energy)
    return Merged(
        lora,
        method,
        weights,
        predicted=predicted,
        coefficients=coefficients,
        losses=losses,
        notes=tuple(notes),
        warnings=(*warnings, *unequal),
    )


def check_prediction(
    choice: Choice, loras: Sequence[LoRA], coefficients: Coefficients, request: MergeRequest
) -> list[str]:
    """Return warnings about what a network predicted; none for other methods.

    Raises:
        ValueError: The LoRAs lie far outside what the network was trained on.
    """
    if choice.network is None:
        return []
    return check_range(choice.network, loras, coefficients, allow_extrapolation=request.allow_extrapolation)


def _calibrated(merged: Merged, loras: Sequence[LoRA], choice: Choice, alpha: float) -> Merged:
    """Calibrate the singular values of a merge (SVC)."""
    with one_thread():
        lora = calibrate_lora(merged.lora, weight_loras(loras, choice.weights), alpha)
    return replace(merged, lora=lora, svc=alpha, notes=(*merged.notes, f"singular values calibrated (svc {alpha:g})"))


def _by_deltas(
    loras: Sequence[LoRA],
    choice: Choice,
    request: MergeRequest,
    inputs: Mapping[str, Any],
    dense_dtype: torch.dtype | None,
) -> Merged:
    """Merge layer by layer and truncate each merged delta at once, so that few dense deltas are in memory."""
    losses: dict[str, TruncationLoss] = {}

    def truncate(layer: str, delta: Layer) -> Layer:
        if request.rank is not None or request.energy is not None:
            delta, losses[layer] = truncate_layer(delta, rank=request.rank, energy=request.energy)
        elif isinstance(delta, Dense) and not request.dense:
            factors = low_rank_inputs(loras, layer)
            if factors:
                rows = torch.cat([f.A.float() for f in factors])
                delta, losses[layer] = compress_layer(delta, len(rows), rows)
        if isinstance(delta, Dense) and dense_dtype is not None:
            delta = delta.to(dtype=dense_dtype)
        return delta

    call = partial(choice.method.call, **inputs, **choice.options)
    lora = merge_deltas(weight_loras(loras, choice.weights), call, truncate)
    losses = {layer: losses[layer] for layer in lora.layers if layer in losses}  # threads finish in any order
    notes, warnings = check_lengths(loras, choice.weights, choice.balance)
    if losses and request.rank is None and request.energy is None:
        error = relative_error(losses.values())
        text = f"truncated to the sum of the inputs' ranks, relative error {error:.3g}: `dense=True` keeps all"
        if error > LARGE_ERROR:
            warnings.append(f"{text}, a larger `rank` keeps more")
        else:
            notes.append(text)
    return Merged(lora, choice.method, choice.weights, losses=losses, notes=tuple(notes), warnings=tuple(warnings))


def _product(coefficients: Coefficients, factors: Coefficients) -> Coefficients:
    """Multiply the coefficients of each input by its factors."""
    rows = coefficients.layers.items()
    return Coefficients(
        {path: tuple(m * f for m, f in zip(row, factors.layers[path], strict=True)) for path, row in rows}
    )


def default_coefficients(loras: Sequence[LoRA], *, balanced: bool = False) -> Coefficients:
    """Return the coefficients by which "auto" merges these LoRAs, its balance included.

    Args:
        loras: One or more LoRAs of one base model.
        balanced: Whether they have been balanced already.
    """
    auto = MERGERS[DEFAULT]
    loras, factors = balance_loras(loras, 0.0 if balanced else auto.balance)
    coefficients: Coefficients = auto.call(loras)
    return _product(coefficients, factors)


def low_rank_inputs(loras: Sequence[LoRA], layer: str) -> list[LowRank]:
    """Return the deltas of the LoRAs that hold a layer; none if one of them is dense."""
    held = [lora.layers[layer] for lora in loras if layer in lora.layers]
    factors = [delta for delta in held if isinstance(delta, LowRank)]
    return factors if len(factors) == len(held) else []


def _plugins(loras: Sequence[LoRA], choice: Choice) -> dict[str, str]:
    """Return the plugins that had a part in a merge, each with its SHA-256."""
    plugins: dict[str, str] = {}
    for header in [*(lora.metadata for lora in loras), choice.network.metadata if choice.network else {}]:
        plugins |= plugins_in(header)
    terms = choice.method.pair.weights.extra if choice.method.pair else ()
    return plugins | MERGERS.plugins([choice.method.name]) | TERMS.plugins(terms)


def joined_embeddings(loras: Sequence[LoRA]) -> dict[str, Tensor]:
    """Return the learned tokens of all inputs; a name that an earlier input uses gets the number of its LoRA."""
    embeddings: dict[str, Tensor] = {}
    for index, lora in enumerate(loras):
        for name, tensor in lora.embeddings.items():
            embeddings[f"{index}.{name}" if name in embeddings else name] = tensor.cpu()
    return embeddings
