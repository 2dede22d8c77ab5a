"""Every merger, in one table. Callers ask for the kind, never for the name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lorarar.hypernetwork import load_merger
from lorarar.lora import Coefficients, LoRA
from lorarar.mergers.methods.average import average
from lorarar.mergers.methods.direct import direct
from lorarar.mergers.methods.klora import klora
from lorarar.mergers.methods.knots import knots
from lorarar.mergers.methods.linear import linear
from lorarar.mergers.methods.np_lora import np_lora
from lorarar.mergers.methods.pruning import PRUNINGS, pruned
from lorarar.mergers.methods.svd import svd
from lorarar.mergers.methods.switch import composite, switch
from lorarar.mergers.optimised import cat, text_guided, ziplora
from lorarar.mergers.optimised.recipe import PairMethod
from lorarar.storage import unknown_name

Kind = Literal["coefficients", "delta", "runtime"]
Options = Mapping[str, float | int]
# Optimises the coefficients of two LoRAs, with whatever base model and images it holds.
Optimiser = Callable[[Sequence[LoRA], PairMethod], Coefficients]


@dataclass(frozen=True)
class Merger:
    """One method.

    Args:
        name: Its key in the table; a learned merger's is the kind that its file names.
        kind: Its calling convention. "coefficients": call(loras, **needs) -> Coefficients, then `merging.merge`.
            "delta": call(deltas, layer=path, **options) -> the merged delta, one layer at a time, run by
            `mergers.driver.merge_deltas`. "runtime": call(loras, steps, **options) -> for each sampling step the LoRAs
            whose guided predictions are averaged; there is nothing to save.
        citation: Where it comes from.
        needs: Keyword arguments that `call` must get besides the LoRAs.
        call: The function.
        options: Keyword arguments that `call` takes besides, and their defaults.
        predicts: (loras, **needs) -> the layers whose coefficients it predicts or optimises, the others being fixed;
            None for a method that learned nothing.
        pair: For a method that is optimised for each pair: how. It needs an `Optimiser`, which needs a base model and
            the concepts' images.
        two: Whether it merges exactly two LoRAs, a content and a style.
    """

    name: str
    kind: Kind
    citation: str
    needs: tuple[str, ...]
    call: Callable[..., Any]
    options: Options = field(default_factory=dict)
    predicts: Callable[..., list[str]] | None = None
    pair: PairMethod | None = None
    two: bool = False

    @property
    def takes_kinds(self) -> bool:
        """Whether it can be told which of any number of LoRAs are contents and which are styles."""
        return "merger_file" in self.needs and not self.two

    def settings(self, given: Options) -> dict[str, float | int]:
        """All options, the given ones in place of their defaults.

        Raises:
            ValueError: An option is unknown, or no whole number where one is needed.
        """
        for key, value in given.items():
            if key not in self.options:
                raise ValueError(unknown_name(f"options of {self.name}", key, self.options))
            if isinstance(self.options[key], int) and not float(value).is_integer():
                raise ValueError(f"expected a whole number for {self.name}'s option {key}, found {value}")
        return {key: type(default)(given.get(key, default)) for key, default in self.options.items()}


def learned(loras: Sequence[LoRA], *, merger_file: str | Path, kinds: Sequence[str] | None = None) -> Coefficients:
    """The coefficients of a learned merger that was saved to a file.

    Args:
        kinds: "content" or "style" for each LoRA, for a merger that takes any number of them.

    Raises:
        FormatError: The file is no learned merger.
        ValueError: The merger does not fit the LoRAs.
    """
    device = next((delta.device for lora in loras for delta in lora.layers.values()), "cpu")
    merger = load_merger(merger_file).to(device)
    coefficients: Coefficients = merger(loras, kinds) if kinds else merger(loras)
    return coefficients


def learned_layers(loras: Sequence[LoRA], *, merger_file: str | Path) -> list[str]:
    """The layers whose coefficients a learned merger's file predicts; the others get its fixed ones.

    Raises:
        FormatError: The file is no learned merger.
    """
    layers: list[str] = load_merger(merger_file).predicted(loras)  # type: ignore[operator]
    return layers


def optimised(
    method: PairMethod, loras: Sequence[LoRA], *, optimiser: Optimiser, **options: float | int
) -> Coefficients:
    """The coefficients that an optimiser finds for these LoRAs with a method's settings, some of them given."""
    return optimiser(loras, method.configured(options))


def optimised_layers(method: PairMethod, loras: Sequence[LoRA], *, optimiser: Optimiser) -> list[str]:
    """The layers whose coefficients a method optimises; the others get its fixed ones."""
    return method.initial(loras).predicted(loras)


def mergers_table() -> str:
    """All mergers as text, one a line: name, kind, how many LoRAs, what it needs, options with defaults, citation."""
    rows = [("name", "kind", "LoRAs", "needs", "options", "citation")]
    for merger in MERGERS.values():
        options = " ".join(f"{key}={value}" for key, value in merger.options.items())
        needs = f"base {merger.pair.needs}" if merger.pair else " ".join(merger.needs) or "-"
        number = "2" if merger.two else "any"
        rows.append((merger.name, merger.kind, number, needs, options or "-", merger.citation))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _learned(name: str, citation: str, two: bool = True) -> Merger:
    return Merger(name, "coefficients", citation, ("merger_file",), learned, predicts=learned_layers, two=two)


def _optimised(name: str, method: PairMethod, citation: str) -> Merger:
    call, predicts = partial(optimised, method), partial(optimised_layers, method)
    return Merger(name, "coefficients", citation, ("optimiser",), call, method.options(), predicts, method, two=True)


def _pruned(name: str, citation: str, **options: float | int) -> Merger:
    return Merger(name, "delta", citation, (), partial(pruned, PRUNINGS[name]), {"density": 0.5, **options})


def _knots(name: str, pruning: str, **options: float | int) -> Merger:
    call = partial(knots, PRUNINGS[pruning])
    return Merger(name, "delta", "KnOTS, arXiv 2410.19735", (), call, {"density": 0.5, **options})


_TABLE = (
    Merger("direct", "coefficients", "arXiv 2311.13600, baseline", (), direct),
    Merger("average", "coefficients", "arXiv 2203.05482", (), average),
    _learned("constant", "ablation of arXiv 2412.05148"),
    _learned("paper", "LoRA.rar, arXiv 2412.05148"),
    _learned("layerwise", "lorarar; after arXiv 2412.05148", two=False),
    _optimised("ziplora", ziplora.ZIPLORA, ziplora.CITATION),
    _optimised("ziplora_pytorch", ziplora.ZIPLORA_PYTORCH, f"{ziplora.CITATION}, as in ziplora-pytorch"),
    _optimised("cat", cat.CAT, cat.CITATION),
    _optimised("text_guided", text_guided.TEXT_GUIDED, text_guided.CITATION),
    Merger("peft_linear", "delta", "peft add_weighted_adapter, factor-wise; for comparison", (), linear),
    _pruned("ties", "TIES, arXiv 2306.01708"),
    _pruned("dare", "DARE, arXiv 2311.03099", seed=0),
    _pruned("dare_ties", "DARE, arXiv 2311.03099, with TIES", seed=0),
    _pruned("magnitude_prune", "mergekit; trim of arXiv 2306.01708, then sum"),
    _pruned("della", "DELLA, arXiv 2406.11617", epsilon=0.15, seed=0),
    _pruned("della_linear", "DELLA, arXiv 2406.11617, without election", epsilon=0.15, seed=0),
    _pruned("breadcrumbs", "Model Breadcrumbs, arXiv 2312.06795", gamma=0.01),
    _pruned("breadcrumbs_ties", "Model Breadcrumbs, arXiv 2312.06795, with TIES", gamma=0.01),
    Merger("svd", "delta", "Eckart-Young: the sum, truncated", (), svd, {"rank": 0}),
    _knots("knots", "ties"),
    _knots("knots_dare", "dare_ties", seed=0),
    Merger("np_lora", "delta", "NP-LoRA, arXiv 2511.11051", (), np_lora, {"mu": 0.5}),
    Merger("klora", "runtime", "K-LoRA, arXiv 2502.18461", (), klora, {"alpha": 1.5, "beta": 0.5}, two=True),
    Merger(
        "klora_wrapped",
        "runtime",
        "K-LoRA, arXiv 2502.18461, variant s*",
        (),
        partial(klora, wrapped=True),
        {"alpha": 1.5, "beta": 0.85 * 1.5},
        two=True,
    ),
    Merger("switch", "runtime", "LoRA switch, arXiv 2402.16843", (), switch, {"tau": 5}),
    Merger("composite", "runtime", "LoRA composite, arXiv 2402.16843", (), composite),
)
MERGERS: Mapping[str, Merger] = {merger.name: merger for merger in _TABLE}
