"""Kinds of learned mergers: one table, readable without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lorarar.storage import Table

if TYPE_CHECKING:
    from torch import nn

    from lorarar.lora import LoRA


class NetworkParts(NamedTuple):
    """The code of a kind.

    Attributes:
        module: A class whose instances hold their `config`, map LoRAs to their coefficients when they are called, and
            return from `predicted(loras)` the layers whose coefficients they predict. `module(config)` is untrained.
        config: A frozen dataclass of the module's settings, which the header of a network's file keeps.
        sized: Function (config, lora) -> the config sized for LoRAs like the given one; None where none depends on it.
        derived: Settings that `sized` fills, which no user gives.
    """

    module: type[nn.Module]
    config: type[Any]
    sized: Callable[[Any, LoRA], Any] | None = None
    derived: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkKind:
    """A kind of learned merger.

    Attributes:
        name: Name of the kind, which the header of a network's file states.
        citation: Paper or project that describes it.
        load: Function that returns the code, so that torch is imported only where it is needed.
        pairs_only: Whether it merges exactly two LoRAs, a content and a style; others take any number and their kinds.
    """

    name: str
    citation: str
    load: Callable[[], NetworkParts]
    pairs_only: bool = True


def _constant() -> NetworkParts:
    from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger, sized_config

    return NetworkParts(
        ConstantMerger, ConstantConfig, lambda config, lora: sized_config(config, [lora]), ("groups", "columns")
    )


def _paper() -> NetworkParts:
    from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork, sized_paper

    return NetworkParts(PaperHypernetwork, PaperConfig, sized_paper, ("widths",))


def _layerwise() -> NetworkParts:
    from lorarar.hypernetwork.layerwise import LayerwiseConfig, LayerwiseHypernetwork

    return NetworkParts(LayerwiseHypernetwork, LayerwiseConfig)


NETWORK_KINDS: Table[NetworkKind] = Table(
    "NETWORKS",
    NetworkKind,
    "a kind of learned merger",
    [
        NetworkKind("constant", "ablation of arXiv 2412.05148", _constant),
        NetworkKind("paper", "LoRA.rar, arXiv 2412.05148", _paper),
        NetworkKind("layerwise", "lorarar; after arXiv 2412.05148", _layerwise, pairs_only=False),
    ],
)
