"""Merging in memory: LoRAs in, one LoRA out, by any method of the table."""

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
        weights: Of the inputs.
        network: The learned merger, if there was one.
        options: The method's options, defaults included.
        predicted: The layers whose coefficients a learned merger predicted, the others being fixed; else None.
        coefficients: What `coefficients` mergers applied, weights included; else None.
        losses: What truncation removed from each layer that it looked at.
        seconds: From loaded to merged tensors.
        notes: What the user should know.
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
        loras: One or more. Mergers that distinguish content from style take them in the order content, style.
        request: How; None merges by the network shipped for their family, else by the sum.
        optimiser: For mergers that optimise each pair: a `lorarar.training.PairOptimiser`, which holds the base model and
            the concepts' images or descriptions.

    Returns:
        The merge, with its coefficients and errors.

    Raises:
        FormatError: The learned merger's file cannot be read.
        ValueError: The LoRAs do not fit each other or the method, or an option is unknown or out of its range.
    """
    request = request or MergeRequest()
    if not loras:
        raise ValueError("expected at least one LoRA to merge, found none")
    check_same_family(loras)
    check_same_shapes(loras)
    choice = _choose(loras, request)
    method, notes = choice.method, list(choice.notes)
    _check_optimiser(method, optimiser)
    if request.kinds and not method.takes_kinds:
        raise ValueError(f"expected kinds for a network that takes any number of LoRAs, found {method.name}: drop them")
    if method.takes_kinds and len(loras) > 2:
        notes.append(f"taken as {', '.join(request.kinds or kinds_of(loras))}")
    options = method.settings(request.options)
    weights = input_weights(loras, request.weights, request.blocks, request.text_encoder)
    placed = [lora.to(_checked(request.device)) for lora in loras]
    start = time.perf_counter()
    with torch.no_grad():
        if method.kind == "coefficients":
            needs = {"network": choice.network, "optimiser": optimiser, "kinds": request.kinds}
            given = {key: value for key, value in needs.items() if value}
            merged = _by_coefficients(placed, method, given, weights, options, request)
        else:
            merged = _by_deltas(placed, method, weights, options, request)
        lora = merged.lora.to("cpu")
    seconds = time.perf_counter() - start
    lora = replace(lora, family=_family(loras), embeddings=_embeddings(loras))
    return replace(merged, lora=lora, network=choice.network, options=options, seconds=seconds, notes=tuple(notes))


def merge(*loras: LoRA, optimiser: Optimiser | None = None, **settings: Any) -> LoRA:
    """Merge LoRAs into one and return only the result.

    `merge(content, style)`, `merge(content, style, merger="ties", options={"density": 0.3}, rank=16)`.

    Args:
        loras: One or more; two are content and style.
        optimiser: As in `combine`.
        settings: Attributes of `lorarar.mergers.MergeRequest`.

    Raises:
        FormatError, ValueError: As `combine`.
    """
    return combine(loras, MergeRequest(**settings), optimiser).lora


@dataclass(frozen=True, eq=False)
class _Choice:
    """The method of a merge, its network if it is learned, and what the user should know about the choice."""

    method: Merger
    network: Network | None = None
    notes: tuple[str, ...] = ()


def _choose(loras: Sequence[LoRA], request: MergeRequest) -> _Choice:
    request.check()
    if request.hypernetwork:
        given = open_network(request.hypernetwork)
        return _Choice(MERGERS[given.kind], given)
    if request.merger:
        return _Choice(_closed_form_or_optimised(request.merger))
    family = _family(loras)
    path = shipped_network(family)
    network = load_network(path) if path else None
    if network and _takes(MERGERS[network.kind], len(loras)) and network.predicted(loras):
        note = f"the network shipped for the family {family} was taken"
        return _Choice(MERGERS[network.kind], network, (note,))
    why = "the one shipped for their family does not predict these" if network else "none is shipped for these"
    note = f"summed (direct): no network was given (--hypernetwork; `lorarar train` makes one), {why}"
    return _Choice(MERGERS["direct"], notes=(note,))


def _takes(method: Merger, count: int) -> bool:
    return count == 2 if method.two else count > 1


def _closed_form_or_optimised(name: str) -> Merger:
    method = MERGERS[find_merger(name).name]
    if method.kind == "runtime":
        raise ValueError(
            f"{name} acts while sampling, so there is nothing that a file could hold: use `lorarar generate --merger "
            f"{name}`, or merge with another method"
        )
    if method.learned:
        raise ValueError(f"{name} needs a trained merger's file: give it as --hypernetwork (hypernetwork=)")
    return method


def _check_optimiser(method: Merger, optimiser: Optimiser | None) -> None:
    if method.pair and optimiser is None:
        raise ValueError(
            f"{method.name} optimises each pair, which takes the base model and the concepts' {method.pair.needs}: use "
            f"`lorarar merge --merger {method.name} --base MODEL`, which asks for them (in Python "
            "lorarar.workflows.merge_on_base, or optimiser=PairOptimiser(..))"
        )
    if optimiser is not None and not method.pair:
        names = ", ".join(name for name, row in MERGERS.items() if row.pair)
        raise ValueError(f"expected an optimiser for {names} alone, found one for {method.name}: drop it")


def _by_coefficients(
    loras: Sequence[LoRA],
    method: Merger,
    needs: Mapping[str, Any],
    weights: InputWeights,
    options: Options,
    request: MergeRequest,
) -> Merged:
    predicted = method.predicted(loras, needs.get("network"))
    losses: dict[str, TruncationLoss] = {}
    # What computes with a base model may use all threads.
    with nullcontext() if method.pair else one_thread():
        unweighted = method.call(loras, **needs, **options)
    with one_thread():
        coefficients = weight_coefficients(unweighted, weights)
        lora = merge_exactly(loras, coefficients)
    if request.rank is not None or request.energy is not None:
        lora, losses = truncate_lora(lora, rank=request.rank, energy=request.energy)
    return Merged(lora, method, weights, predicted=predicted, coefficients=coefficients, losses=losses)


def _by_deltas(
    loras: Sequence[LoRA], method: Merger, weights: InputWeights, options: Options, request: MergeRequest
) -> Merged:
    losses: dict[str, TruncationLoss] = {}

    def truncate(layer: str, delta: Layer) -> Layer:
        if request.rank is None and request.energy is None:
            return delta
        delta, losses[layer] = truncate_layer(delta, rank=request.rank, energy=request.energy)
        return delta

    lora = merge_deltas(weight_loras(loras, weights), partial(method.call, **options), truncate)
    return Merged(lora, method, weights, losses=losses)


def _checked(device: torch.device | str) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"expected a device such as cpu or cuda, found {device!r}") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a device of this machine, found cuda: torch finds no GPU here, use cpu")
    return found


def _family(loras: Sequence[LoRA]) -> str:
    return next((lora.family for lora in loras if lora.family), "")


def _embeddings(loras: Sequence[LoRA]) -> dict[str, Tensor]:
    """Every input's learned tokens. Where two inputs use one name, the later one's bears its LoRA's number."""
    found: dict[str, Tensor] = {}
    for index, lora in enumerate(loras):
        for name, tensor in lora.embeddings.items():
            found[f"{index}.{name}" if name in found else name] = tensor.cpu()
    return found
