"""Catalogue: every merger as data, readable without torch: name, kind, citation, needs, options with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lorarar.mergers.optimised.cat import CAT
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.text_guided import TEXT_GUIDED
from lorarar.mergers.optimised.ziplora import ZIPLORA, ZIPLORA_PYTORCH
from lorarar.storage import RENAMED_MERGERS, unknown_name

MergerKind = Literal["coefficients", "delta", "runtime"]
Options = Mapping[str, float | int]


@dataclass(frozen=True)
class MergerInfo:
    """A merger as data.

    Attributes:
        name: Key in the catalogue; for a learned merger the kind that its file states.
        kind: Calling convention, see `lorarar.mergers.table.Merger`: "coefficients", "delta" or "runtime".
        citation: Paper or project that describes it.
        options: Own settings and their defaults.
        learned: Whether it needs a trained network.
        pair: How its coefficients are optimised for each pair; None for a merger that is not optimised.
        pairs_only: Whether it merges exactly two LoRAs, a content and a style.
    """

    name: str
    kind: MergerKind
    citation: str
    options: Options = field(default_factory=dict)
    learned: bool = False
    pair: PairMethod | None = None
    pairs_only: bool = False

    @property
    def takes_kinds(self) -> bool:
        """Whether it takes any number of LoRAs and distinguishes contents from styles among them."""
        return self.learned and not self.pairs_only

    @property
    def needs(self) -> str:
        """What it needs besides the LoRAs: "network", "base images", "base descriptions" or nothing."""
        if self.pair:
            return f"base {self.pair.needs}"
        return "network" if self.learned else ""

    def settings(self, values: Options) -> dict[str, float | int]:
        """Return all options, the chosen ones in place of their defaults.

        Raises:
            ValueError: An option is unknown, or is not a whole number where one is needed.
        """
        for key, value in values.items():
            if key not in self.options:
                raise ValueError(unknown_name(f"an option of {self.name}", key, self.options))
            if isinstance(self.options[key], int) and not float(value).is_integer():
                raise ValueError(f"expected a whole number for option {key} of {self.name}, found {value}: round it")
        return {key: type(default)(values.get(key, default)) for key, default in self.options.items()}


def _learned(name: str, citation: str, *, pairs_only: bool = True) -> MergerInfo:
    return MergerInfo(name, "coefficients", citation, learned=True, pairs_only=pairs_only)


def _optimised(name: str, method: PairMethod, citation: str) -> MergerInfo:
    return MergerInfo(name, "coefficients", citation, method.options(), pair=method, pairs_only=True)


def _pruning(name: str, citation: str, **options: float | int) -> MergerInfo:
    return MergerInfo(name, "delta", citation, {"density": 0.5, **options})


_TIES, _DARE, _DELLA = "TIES, arXiv 2306.01708", "DARE, arXiv 2311.03099", "DELLA, arXiv 2406.11617"
_BREADCRUMBS, _KNOTS = "Model Breadcrumbs, arXiv 2312.06795", "KnOTS, arXiv 2410.19735"
_KLORA_WRAPPED = {"alpha": 1.5, "beta": 0.85 * 1.5}
_ZIPLORA, _KLORA = "ZipLoRA, arXiv 2311.13600", "K-LoRA, arXiv 2502.18461"

_ROWS = (
    MergerInfo("direct", "coefficients", "arXiv 2311.13600, baseline"),
    MergerInfo("average", "coefficients", "arXiv 2203.05482"),
    _learned("constant", "ablation of arXiv 2412.05148"),
    _learned("paper", "LoRA.rar, arXiv 2412.05148"),
    _learned("layerwise", "lorarar; after arXiv 2412.05148", pairs_only=False),
    _optimised("ziplora", ZIPLORA, _ZIPLORA),
    _optimised("ziplora_pytorch", ZIPLORA_PYTORCH, f"{_ZIPLORA}, as in ziplora-pytorch"),
    _optimised("cat", CAT, "CAT (LoRA Soups), arXiv 2410.13025"),
    _optimised("text_guided", TEXT_GUIDED, "lorarar: the distillation objective, for a single pair"),
    MergerInfo("peft_linear", "delta", "peft add_weighted_adapter, factor-wise; for comparison"),
    _pruning("ties", _TIES),
    _pruning("dare", _DARE, seed=0),
    _pruning("dare_ties", f"{_DARE}, with TIES", seed=0),
    _pruning("magnitude_prune", "mergekit; trim of arXiv 2306.01708, then sum"),
    _pruning("della", _DELLA, epsilon=0.15, seed=0),
    _pruning("della_linear", f"{_DELLA}, without election", epsilon=0.15, seed=0),
    _pruning("breadcrumbs", _BREADCRUMBS, gamma=0.01),
    _pruning("breadcrumbs_ties", f"{_BREADCRUMBS}, with TIES", gamma=0.01),
    MergerInfo("svd", "delta", "Eckart-Young: the sum, truncated", {"rank": 0}),
    _pruning("knots", _KNOTS),
    _pruning("knots_dare", _KNOTS, seed=0),
    MergerInfo("np_lora", "delta", "NP-LoRA, arXiv 2511.11051", {"mu": 0.5}),
    MergerInfo("klora", "runtime", _KLORA, {"alpha": 1.5, "beta": 0.5}, pairs_only=True),
    MergerInfo("klora_wrapped", "runtime", f"{_KLORA}, variant s*", _KLORA_WRAPPED, pairs_only=True),
    MergerInfo("switch", "runtime", "LoRA switch, arXiv 2402.16843", {"tau": 5}),
    MergerInfo("composite", "runtime", "LoRA composite, arXiv 2402.16843"),
)
CATALOGUE: Mapping[str, MergerInfo] = {info.name: info for info in _ROWS}


def find_merger(name: str) -> MergerInfo:
    """Return the row of a merger.

    Raises:
        ValueError: No merger has the name; the message suggests the nearest one.
    """
    if name in RENAMED_MERGERS:
        raise ValueError(f"expected {RENAMED_MERGERS[name]!r}, found its old name {name!r}: rename it")
    if name not in CATALOGUE:
        raise ValueError(unknown_name("a merger", name, CATALOGUE))
    return CATALOGUE[name]


def mergers_table() -> str:
    """Return all mergers as text, one per line: name, kind, number of LoRAs, needs, options, citation."""
    rows = [("name", "kind", "LoRAs", "needs", "options", "citation")]
    for info in CATALOGUE.values():
        options = " ".join(f"{key}={value}" for key, value in info.options.items())
        count = "2" if info.pairs_only else "any"
        rows.append((info.name, info.kind, count, info.needs or "-", options or "-", info.citation))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
