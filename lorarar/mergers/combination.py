"""Combination: merge LoRAs in memory into one LoRA, by any method of the table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lorarar.hypernetwork import Network, kinds_of, load_network, open_network, shipped_network
from lorarar.lora import (
    Coefficients,
    InputWeights,
    Layer,
    LoRA,
    TruncationLoss,
    check_same_shapes,
    input_weights,
    merge_exactly,
    one_thread,
    truncate_layer,
    truncate_lora,
    weight_coefficients,
    weight_loras,
)
from lorarar.lora.families import check_same_family
from lorarar.mergers.catalogue import Options, find_merger
from lorarar.mergers.methods.layers import merge_deltas
from lorarar.mergers.request import MergeRequest
from lorarar.mergers.table import MERGERS, Merger, Optimiser


@dataclass(frozen=True, eq=False)
class Merged:
    """A merge and how it was made.

    Attributes:
        lora: The result, on the CPU.
        method: The merger's row of the table.
        weights: Weights of the inputs.
        network: The learned merger; None for other methods.
        options: Options of the method, defaults included.
        predicted: Layers whose coefficients a learned merger predicted, the others being fixed; None for other methods.
        coefficients: Coefficients that were applied, weights included; None for methods of another kind.
        losses: Truncated layer -> the part that truncation removed.
        seconds: Time from loaded to merged tensors.
        notes: Notes for the user.
    """

    lora: LoRA
    method: Merger
    weights: InputWeights
    network: Network | None = None
    options: Options = field(default_factory=dict)
    predicted: frozenset[str] | None = None
    coefficients: Coefficients | None = None
    losses: Mapping[str, TruncationLoss] = field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def combine(loras: Sequence[LoRA], request: MergeRequest | None = None, optimiser: Optimiser | None = None) -> Merged:
    """Merge LoRAs of one base model into one.

    Args:
        loras: One or more LoRAs. Mergers that distinguish content from style take them in the order content, style.
        request: How to merge; None merges by the network that is shipped for their family, else by the sum.
        optimiser: For mergers that optimise each pair: a `lorarar.training.PairOptimiser`, which holds the base model
            and the images or descriptions of the concepts.

    Returns:
        The merge, with its coefficients and errors.

    Raises:
        FormatError: The file of the learned merger cannot be read.
        ValueError: The LoRAs do not fit each other or the method, or an option is unknown or out of its range.
    """
    request = request or MergeRequest()
    if not loras:
        raise ValueError("expected at least one LoRA to merge, found none")
    check_same_family(loras)
    check_same_shapes(loras)
    choice = _choose(loras, request)
    method = choice.method
    _check_optimiser(method, optimiser)
    notes = [*choice.notes, *_check_kinds(method, loras, request.kinds)]
    options = method.settings(request.options)
    weights = input_weights(loras, request.weights, request.blocks, request.text_encoder)
    on_device = [lora.to(_device(request.device)) for lora in loras]
    start = time.perf_counter()
    with torch.no_grad():
        if method.kind == "coefficients":
            inputs = {"network": choice.network, "optimiser": optimiser, "kinds": request.kinds}
            used = {key: value for key, value in inputs.items() if value}
            merged = _by_coefficients(on_device, method, used, weights, options, request)
        else:
            merged = _by_deltas(on_device, method, weights, options, request)
        lora = merged.lora.to("cpu")
    seconds = time.perf_counter() - start
    lora = replace(lora, family=_family(loras), embeddings=_embeddings(loras))
    return replace(merged, lora=lora, network=choice.network, options=options, seconds=seconds, notes=tuple(notes))


def merge(*loras: LoRA, optimiser: Optimiser | None = None, **settings: Any) -> LoRA:
    """Merge LoRAs into one and return only the result.

    `merge(content, style)`, `merge(content, style, merger="ties", options={"density": 0.3}, rank=16)`.

    Args:
        loras: One or more LoRAs; two are content and style.
        optimiser: As in `combine`.
        settings: Attributes of `lorarar.mergers.MergeRequest`.

    Raises:
        FormatError, ValueError: As `combine`.
    """
    return combine(loras, MergeRequest(**settings), optimiser).lora


@dataclass(frozen=True, eq=False)
class _Choice:
    """Method of a merge, its network if it is learned, and notes for the user about the choice."""

    method: Merger
    network: Network | None = None
    notes: tuple[str, ...] = ()


def _choose(loras: Sequence[LoRA], request: MergeRequest) -> _Choice:
    request.check()
    if request.hypernetwork:
        network = open_network(request.hypernetwork)
        return _Choice(MERGERS[network.kind], network)
    if request.merger:
        return _Choice(_closed_form_or_optimised(request.merger))
    return _default_choice(loras)


def _default_choice(loras: Sequence[LoRA]) -> _Choice:
    """Choose the network that is shipped for the LoRAs' family where it predicts some of their layers, else the sum."""
    family = _family(loras)
    path = shipped_network(family)
    network = load_network(path) if path else None
    if network and _takes(MERGERS[network.kind], len(loras)) and network.predicted(loras):
        return _Choice(MERGERS[network.kind], network, (f"used the network that is shipped for the family {family}",))
    reason = "the one shipped for their family does not predict their layers" if network else "none is shipped for them"
    note = (
        f"summed the LoRAs (direct): no network was given, and {reason}; give one as --hypernetwork (`lorarar train` "
        "trains one)"
    )
    return _Choice(MERGERS["direct"], notes=(note,))


def _takes(method: Merger, count: int) -> bool:
    """Return whether a learned merger merges so many LoRAs."""
    return count == 2 if method.pairs_only else count > 1


def _closed_form_or_optimised(name: str) -> Merger:
    method = MERGERS[find_merger(name).name]
    if method.kind == "runtime":
        raise ValueError(
            f"expected a merger whose result a file can hold, found {name}, which acts while sampling: use `lorarar "
            f"generate --merger {name}`, or merge with another method"
        )
    if method.learned:
        raise ValueError(
            f"expected a method without a network, found {name}: give its trained merger as --hypernetwork "
            "(hypernetwork=) instead"
        )
    return method


def _check_optimiser(method: Merger, optimiser: Optimiser | None) -> None:
    if method.pair and optimiser is None:
        raise ValueError(
            f"{method.name} optimises each pair, so it needs an optimiser with the base model and the concepts' "
            f"{method.pair.needs}: use `lorarar merge --merger {method.name} --base MODEL` (in Python "
            "lorarar.workflows.merge_on_base, or optimiser=PairOptimiser(..))"
        )
    if optimiser is not None and not method.pair:
        names = ", ".join(name for name, row in MERGERS.items() if row.pair)
        raise ValueError(f"expected an optimiser for {names} alone, found one for {method.name}: drop it")


def _check_kinds(method: Merger, loras: Sequence[LoRA], kinds: Sequence[str] | None) -> list[str]:
    """Refuse kinds that the method would ignore; return a note on the kinds of three or more LoRAs."""
    if not method.takes_kinds:
        if kinds:
            raise ValueError(
                f"expected kinds for a network that takes any number of LoRAs, found {method.name}: drop them"
            )
        return []
    return [f"merged as {', '.join(kinds or kinds_of(loras))}"] if len(loras) > 2 else []


def _by_coefficients(
    loras: Sequence[LoRA],
    method: Merger,
    inputs: Mapping[str, Any],
    weights: InputWeights,
    options: Options,
    request: MergeRequest,
) -> Merged:
    """Merge exactly, by the coefficients that the method computes from its inputs (network, optimiser, kinds)."""
    predicted = method.predicted(loras, inputs.get("network"))
    losses: dict[str, TruncationLoss] = {}
    # A method that computes with a base model may use all threads.
    with nullcontext() if method.pair else one_thread():
        unweighted = method.call(loras, **inputs, **options)
    with one_thread():
        coefficients = weight_coefficients(unweighted, weights)
        lora = merge_exactly(loras, coefficients)
    if request.rank is not None or request.energy is not None:
        lora, losses = truncate_lora(lora, rank=request.rank, energy=request.energy)
    return Merged(lora, method, weights, predicted=predicted, coefficients=coefficients, losses=losses)


def _by_deltas(
    loras: Sequence[LoRA], method: Merger, weights: InputWeights, options: Options, request: MergeRequest
) -> Merged:
    """Merge layer by layer and truncate each merged delta at once, so that few dense deltas are in memory."""
    losses: dict[str, TruncationLoss] = {}

    def truncate(layer: str, delta: Layer) -> Layer:
        if request.rank is None and request.energy is None:
            return delta
        delta, losses[layer] = truncate_layer(delta, rank=request.rank, energy=request.energy)
        return delta

    lora = merge_deltas(weight_loras(loras, weights), partial(method.call, **options), truncate)
    return Merged(lora, method, weights, losses=losses)


def _device(name: torch.device | str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"expected a device such as cpu or cuda, found {name!r}: name one of these") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a device of this machine, found cuda: torch finds no GPU here, use cpu")
    return device


def _family(loras: Sequence[LoRA]) -> str:
    """Return the family of the first LoRA that has one, or ""."""
    return next((lora.family for lora in loras if lora.family), "")


def _embeddings(loras: Sequence[LoRA]) -> dict[str, Tensor]:
    """Return the learned tokens of all inputs; a name that an earlier input uses gets the number of its LoRA."""
    embeddings: dict[str, Tensor] = {}
    for index, lora in enumerate(loras):
        for name, tensor in lora.embeddings.items():
            embeddings[f"{index}.{name}" if name in embeddings else name] = tensor.cpu()
    return embeddings
