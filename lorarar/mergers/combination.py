"""Merge LoRAs in memory by any method of the table: what `from lorarar import merge` gives."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorarar.hypernetwork import kinds_of, merger_kind, shipped_network
from lorarar.lora import (
    Coefficients,
    InputWeights,
    Layer,
    LoRA,
    Loss,
    apply_weights,
    check_same_shapes,
    input_weights,
    merge_exactly,
    one_thread,
    truncate_layer,
    truncate_lora,
    weighted,
)
from lorarar.lora.families import check_same_family
from lorarar.mergers.methods.layers import merge_deltas
from lorarar.mergers.table import MERGERS, Merger, Optimiser, Options, learned_layers
from lorarar.storage import unknown_name


@dataclass(frozen=True, eq=False)
class Merged:
    """A merge and how it was made.

    Attributes:
        lora: The result, on the CPU.
        method: The merger's row of the table.
        strengths: Of the inputs.
        merger_file: The learned merger's file, if there was one.
        options: The method's options, defaults included.
        predicted: The layers whose coefficients a learned merger predicted, the others being fixed; else None.
        coefficients: What `coefficients` mergers applied, strengths included; else None.
        losses: What truncation removed from each layer that it looked at.
        seconds: From loaded to merged tensors.
        notes: What the user should know.
    """

    lora: LoRA
    method: Merger
    strengths: InputWeights
    merger_file: Path | None = None
    options: Options = field(default_factory=dict)
    predicted: frozenset[str] | None = None
    coefficients: Coefficients | None = None
    losses: Mapping[str, Loss] = field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def combine(
    loras: Sequence[LoRA],
    *,
    merger: str | None = None,
    hypernetwork: str | Path | None = None,
    kinds: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    blocks: Mapping[str, float | Sequence[float]] | None = None,
    text_encoder: float | Sequence[float] | None = None,
    options: Options | None = None,
    optimiser: Optimiser | None = None,
    rank: int | None = None,
    energy: float | None = None,
    device: torch.device | str = "cpu",
) -> Merged:
    """Merges LoRAs of one base model into one.

    Args:
        loras: One or more. Mergers that tell content from style take them in the order content, style.
        merger: A name in `lorarar.mergers.MERGERS`. Without it: the network given as `hypernetwork`, else one that is
            shipped for the LoRAs' family, else "direct".
        hypernetwork: A learned merger's file.
        kinds: "content" or "style" for each LoRA, for networks that take any number of them. Without it two are content
            and style; of more, each is what its file says, or, where one says nothing, the first is the content.
        weights: One number for each LoRA.
        blocks: Beginning of a layer path -> one number, or one for each LoRA.
        text_encoder: One number, or one for each LoRA, for the text encoders' layers.
        options: The method's own settings, such as {"density": 0.3}.
        optimiser: For methods that are optimised for each pair, such as "ziplora": a
            `lorarar.training.pair_optimiser.PairOptimiser`, which holds the base model and the concepts' images.
        rank: Largest rank of a merged layer; what is larger is truncated, the error reported.
        energy: Share of each layer's squared norm to keep, 0 to 1: the smallest rank that does.
        device: Where to compute.

    Returns:
        The merge, with its coefficients and errors.

    Raises:
        FormatError: The learned merger's file cannot be read.
        ValueError: The LoRAs do not fit each other or the method, or an option is unknown or out of its range.
    """
    if not loras:
        raise ValueError("expected at least one LoRA to merge, found none")
    check_same_family(loras)
    check_same_shapes(loras)
    method, file, notes = _choose(loras, merger, hypernetwork)
    _check_optimiser(method, optimiser)
    if kinds and not method.takes_kinds:
        raise ValueError(f"expected kinds for a network that takes any number of LoRAs, found {method.name}: drop them")
    if method.takes_kinds and len(loras) > 2:
        notes.append(f"taken as {', '.join(kinds or kinds_of(loras))}")
    chosen = method.settings(options or {})
    strengths = input_weights(loras, weights, blocks, text_encoder)
    placed = [lora.to(_checked(device)) for lora in loras]
    start = time.perf_counter()
    with torch.no_grad():
        if method.kind == "coefficients":
            needs = _needs(method, file, optimiser, kinds)
            merged = _by_coefficients(placed, method, needs, strengths, chosen, rank, energy)
        else:
            merged = _by_deltas(placed, method, strengths, chosen, rank, energy)
        lora = merged.lora.to("cpu")
    seconds = time.perf_counter() - start
    lora = replace(lora, family=_family(loras), embeddings=_embeddings(loras))
    return replace(merged, lora=lora, merger_file=file, options=chosen, seconds=seconds, notes=tuple(notes))


def merge(*loras: LoRA, **options: Any) -> LoRA:
    """Merges LoRAs into one: `combine` with the LoRAs one by one, and only the result.

    `merge(content, style)`, `merge(content, style, merger="ties", options={"density": 0.3}, rank=16)`.

    Args:
        loras: One or more; two are content and style.
        options: Keyword arguments of `combine`.

    Raises:
        FormatError, ValueError: As `combine`.
    """
    return combine(loras, **options).lora


def _choose(
    loras: Sequence[LoRA], merger: str | None, hypernetwork: str | Path | None
) -> tuple[Merger, Path | None, list[str]]:
    """The method, the file that it needs, and what to tell the user about the choice."""
    if merger and hypernetwork:
        raise ValueError(f"expected a merger or a hypernetwork, found both ({merger}, {hypernetwork}): drop one")
    if hypernetwork:
        file = Path(hypernetwork)
        return MERGERS[merger_kind(file)], file, []
    if merger:
        return _named(merger), None, []
    family = _family(loras)
    shipped = shipped_network(family)
    method = MERGERS[merger_kind(shipped)] if shipped else MERGERS["direct"]
    if shipped and _takes(method, len(loras)) and learned_layers(loras, merger_file=shipped):
        return method, shipped, [f"the network shipped for the family {family} was taken"]
    why = "the one shipped for their family does not predict these" if shipped else "none is shipped for these"
    note = f"summed (direct): no network was given (--hypernetwork; `lorarar train` makes one), {why}"
    return MERGERS["direct"], None, [note]


def _takes(method: Merger, count: int) -> bool:
    return count == 2 if method.two else count > 1


def _named(name: str) -> Merger:
    if name not in MERGERS:
        raise ValueError(unknown_name("a merger", name, MERGERS))
    method = MERGERS[name]
    if method.kind == "runtime":
        raise ValueError(
            f"{name} acts while sampling, so there is nothing that a file could hold: use `lorarar generate --merger "
            f"{name}`, or merge with another method"
        )
    if "merger_file" in method.needs:
        raise ValueError(f"{name} needs a trained merger's file: give it as --hypernetwork (hypernetwork=)")
    return method


def _check_optimiser(method: Merger, optimiser: Optimiser | None) -> None:
    if method.pair and optimiser is None:
        raise ValueError(
            f"{method.name} optimises each pair, which takes the base model and the concepts' {method.pair.needs}: use "
            f"`lorarar merge --merger {method.name} --base MODEL`, which asks for them (in Python "
            "optimiser=lorarar.training.pair_optimiser.PairOptimiser(..))"
        )
    if optimiser is not None and not method.pair:
        names = ", ".join(name for name, row in MERGERS.items() if row.pair)
        raise ValueError(f"expected an optimiser for {names} alone, found one for {method.name}: drop it")


def _needs(
    method: Merger, file: Path | None, optimiser: Optimiser | None, kinds: Sequence[str] | None
) -> dict[str, Any]:
    """What the method is called with besides the LoRAs and its options."""
    given = {"merger_file": file, "optimiser": optimiser, "kinds": kinds}
    return {key: value for key, value in given.items() if value}


def _by_coefficients(
    loras: Sequence[LoRA],
    method: Merger,
    needs: Mapping[str, Any],
    strengths: InputWeights,
    options: Options,
    rank: int | None,
    energy: float | None,
) -> Merged:
    sources = {key: value for key, value in needs.items() if key != "kinds"}
    predicted = frozenset(method.predicts(loras, **sources)) if method.predicts else None
    losses: dict[str, Loss] = {}
    # What computes with a base model may use all threads.
    with nullcontext() if method.pair else one_thread():
        found = method.call(loras, **needs, **options)
    with one_thread():
        coefficients = apply_weights(found, strengths)
        lora = merge_exactly(loras, coefficients)
    if rank is not None or energy is not None:
        lora, losses = truncate_lora(lora, rank=rank, energy=energy)
    return Merged(lora, method, strengths, predicted=predicted, coefficients=coefficients, losses=losses)


def _by_deltas(
    loras: Sequence[LoRA],
    method: Merger,
    strengths: InputWeights,
    options: Options,
    rank: int | None,
    energy: float | None,
) -> Merged:
    losses: dict[str, Loss] = {}

    def finish(layer: str, delta: Layer) -> Layer:
        if rank is None and energy is None:
            return delta
        delta, losses[layer] = truncate_layer(delta, rank=rank, energy=energy)
        return delta

    lora = merge_deltas(weighted(loras, strengths), partial(method.call, **options), finish)
    return Merged(lora, method, strengths, losses=losses)


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
