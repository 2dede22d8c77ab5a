"""Table: every merger with its function. Callers ask for the kind of a merger, never for its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from lorarar.hypernetwork import Network
from lorarar.lora import Coefficients, LoRA
from lorarar.mergers.catalogue import CATALOGUE, MergerInfo
from lorarar.mergers.methods.average import average
from lorarar.mergers.methods.direct import direct
from lorarar.mergers.methods.klora import klora
from lorarar.mergers.methods.knots import knots
from lorarar.mergers.methods.linear import linear
from lorarar.mergers.methods.np_lora import np_lora
from lorarar.mergers.methods.pruning import PRUNINGS, prune
from lorarar.mergers.methods.svd import svd
from lorarar.mergers.methods.switch import composite, switch
from lorarar.mergers.optimised.pair_method import PairMethod

# Function that optimises the coefficients of two LoRAs, with the base model and the inputs that it holds.
Optimiser = Callable[[Sequence[LoRA], PairMethod], Coefficients]


@dataclass(frozen=True, kw_only=True)
class Merger(MergerInfo):
    """A merger with its function. The kind decides how the function is called.

    * "coefficients": call(loras, **options) -> Coefficients, then `lorarar.lora.merge_exactly`. A learned merger also
      takes network=, and kinds= where `takes_kinds`; a merger that is optimised for each pair takes optimiser=.
    * "delta": call(deltas, layer=path, **options) -> the merged delta, one layer at a time, run by
      `lorarar.mergers.methods.layers.merge_deltas`.
    * "runtime": call(loras, steps, **options) -> for each sampling step the LoRAs whose guided predictions are
      averaged; there is nothing to save.
    """

    call: Callable[..., Any]

    def predicted(self, loras: Sequence[LoRA], network: Network | None = None) -> frozenset[str] | None:
        """Return the layers whose coefficients are learned or optimised, the others being fixed; None without any."""
        if self.pair:
            return frozenset(self.pair.initial(loras).predicted(loras))
        return frozenset(network.predicted(loras)) if network else None


def apply_network(loras: Sequence[LoRA], *, network: Network, kinds: Sequence[str] | None = None) -> Coefficients:
    """Return the coefficients that a learned merger predicts.

    Args:
        loras: The inputs, on one device; the network is moved there.
        network: The learned merger.
        kinds: "content" or "style" for each LoRA, for a merger that takes any number of them.

    Raises:
        ValueError: The merger does not fit the LoRAs.
    """
    device = next((delta.device for lora in loras for delta in lora.layers.values()), "cpu")
    module = network.module.to(device)
    coefficients: Coefficients = module(loras, kinds) if kinds else module(loras)
    return coefficients


def optimise_pair(
    method: PairMethod, loras: Sequence[LoRA], *, optimiser: Optimiser, **options: float | int
) -> Coefficients:
    """Return the coefficients of two LoRAs, optimised with a method's settings."""
    return optimiser(loras, method.configured(options))


_CALLS: Mapping[str, Callable[..., Any]] = {
    "direct": direct,
    "average": average,
    "peft_linear": linear,
    "svd": svd,
    "knots": partial(knots, PRUNINGS["ties"]),
    "knots_dare": partial(knots, PRUNINGS["dare_ties"]),
    "np_lora": np_lora,
    "klora": klora,
    "klora_wrapped": partial(klora, wrapped=True),
    "switch": switch,
    "composite": composite,
    **{name: partial(prune, pruning) for name, pruning in PRUNINGS.items()},
}


def _function(info: MergerInfo) -> Callable[..., Any]:
    if info.learned:
        return apply_network
    return partial(optimise_pair, info.pair) if info.pair else _CALLS[info.name]


def _merger(info: MergerInfo) -> Merger:
    data = {field.name: getattr(info, field.name) for field in fields(info)}
    return Merger(**data, call=_function(info))


MERGERS: Mapping[str, Merger] = {name: _merger(info) for name, info in CATALOGUE.items()}
