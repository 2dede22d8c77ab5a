"""Table: every merger with its function, readable without torch.

Callers ask for the kind of a merger, never for its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from lorarar.hypernetwork import NETWORK_KINDS, NetworkKind
from lorarar.mergers.optimised.cat import CAT
from lorarar.mergers.optimised.nsc import NSC
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.text_guided import TEXT_GUIDED
from lorarar.mergers.optimised.ziplora import ZIPLORA, ZIPLORA_PYTORCH
from lorarar.mergers.optimised.ziprank import ZIPRANK
from lorarar.storage import RENAMED_MERGERS, Plugin, Table, unknown_name

if TYPE_CHECKING:
    from lorarar.hypernetwork import Network
    from lorarar.lora import Coefficients, LoRA

MergerKind = Literal["coefficients", "delta", "runtime"]
_OF_EVERY_MERGER = ("balance", "svc", "rank", "energy")  # numbers of a request, which are no options of a merger
Options = Mapping[str, float | int]
# Function that optimises the coefficients of two LoRAs, with the base model and the inputs that it holds.
Optimiser = Callable[[Sequence["LoRA"], PairMethod], "Coefficients"]
# Function that runs each LoRA on a base model and returns the moments of its signals by layer.
Probe = Callable[[Sequence["LoRA"]], Mapping[str, Any]]


@dataclass(frozen=True)
class Merger:
    """A merger. The kind decides how its function is called.

    * "coefficients": call(loras, **options) -> Coefficients, then `lorarar.lora.merge_exactly`. A learned merger also
      takes network=, and kinds= where `takes_kinds`; a merger that is optimised for each pair takes optimiser=.
    * "delta": call(deltas, layer=path, **options) -> the merged delta, one layer at a time, run by
      `lorarar.mergers.methods.layers.merge_deltas`. A merger with `signals` also takes moments=.
    * "runtime": call(loras, steps, **options) -> for each sampling step the LoRAs whose guided predictions are
      averaged, or a `lorarar.mergers.methods.Step`; there is nothing to save.

    Attributes:
        name: Key in the table; for a learned merger the kind that its file states.
        kind: "coefficients", "delta" or "runtime".
        citation: Paper or project that describes it.
        call: Its function.
        options: Own settings and their defaults.
        learned: Whether it needs a trained network.
        pair: How its coefficients are optimised for each pair; None for a merger that is not optimised.
        signals: Whether it takes the moments of what each LoRA receives inside a base model.
        pairs_only: Whether it merges exactly two LoRAs, a content and a style.
        balance: How far the LoRAs are brought to one length first, where the request does not say; see
            `lorarar.mergers.balance`.
    """

    name: str
    kind: MergerKind
    citation: str
    call: Callable[..., Any] = field(compare=False)
    options: Options = field(default_factory=dict)
    learned: bool = False
    pair: PairMethod | None = None
    signals: bool = False
    pairs_only: bool = False
    balance: float = 0.0

    @property
    def takes_kinds(self) -> bool:
        """Whether it takes any number of LoRAs and distinguishes contents from styles among them."""
        return self.learned and not self.pairs_only

    @property
    def on_base(self) -> bool:
        """Whether it computes on a base model, with an optimiser or a probe."""
        return self.pair is not None or self.signals

    @property
    def work(self) -> str:
        """What it does on a base model, for messages: such as "ziplora optimises each pair with .."."""
        verb = "optimises each pair" if self.pair else "measures each LoRA"
        return f"{self.name} {verb} with a base model and the concepts' {self.needs.removeprefix('base ')}"

    @property
    def needs(self) -> str:
        """What it needs besides the LoRAs: "network", "base images", "base descriptions", "base prompts" or nothing."""
        if self.on_base:
            return f"base {self.pair.needs if self.pair else 'prompts'}"
        return "network" if self.learned else ""

    def settings(self, values: Options) -> dict[str, float | int]:
        """Return all options, the chosen ones in place of their defaults.

        Raises:
            ValueError: An option is unknown, or is not a whole number where one is needed.
        """
        for key, value in values.items():
            if key in _OF_EVERY_MERGER and key not in self.options:
                raise ValueError(
                    f"expected an option of {self.name}, found {key}, which is one of every merger: give it as "
                    f"`{key}={value:g}`"
                )
            if key not in self.options:
                raise ValueError(unknown_name(f"an option of {self.name}", key, self.options))
            if isinstance(self.options[key], int) and not float(value).is_integer():
                raise ValueError(f"expected a whole number for option {key} of {self.name}, found {value}: round it")
        return {key: type(default)(values.get(key, default)) for key, default in self.options.items()}

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


def optimised_merger(name: str, method: PairMethod, citation: str) -> Merger:
    """Return the row of a merger that optimises the coefficients of each pair."""
    call = partial(optimise_pair, method)
    return Merger(name, "coefficients", citation, call, method.options(), pair=method, pairs_only=True)


def _learned(network: NetworkKind) -> Merger:
    pairs_only = network.pairs_only
    return Merger(network.name, "coefficients", network.citation, apply_network, learned=True, pairs_only=pairs_only)


def _method(file: str, name: str = "") -> Callable[..., Any]:
    """Return a function of `lorarar.mergers.methods`, whose file is imported, with torch, when it is first called."""

    def call(*inputs: Any, **options: Any) -> Any:
        return getattr(import_module(f"lorarar.mergers.methods.{file}"), name or file)(*inputs, **options)

    return call


def _pruning(name: str, citation: str, **options: float | int) -> Merger:
    def call(deltas: Any, **settings: Any) -> Any:
        from lorarar.mergers.methods.pruning import PRUNINGS, prune

        return prune(PRUNINGS[name], deltas, **settings)

    return Merger(name, "delta", citation, call, {"density": 0.5, **options})


def _knots(name: str, pruning: str, **options: int) -> Merger:
    def call(deltas: Any, **settings: Any) -> Any:
        from lorarar.mergers.methods.knots import knots
        from lorarar.mergers.methods.pruning import PRUNINGS

        return knots(PRUNINGS[pruning], deltas, **settings)

    return Merger(name, "delta", "KnOTS, arXiv 2410.19735", call, {"density": 0.5, **options})


def _klora(name: str, citation: str, beta: float, *, wrapped: bool) -> Merger:
    call = partial(_method("klora"), wrapped=wrapped)
    options = {"alpha": 1.5, "beta": beta}
    return Merger(name, "runtime", f"K-LoRA, arXiv 2502.18461{citation}", call, options, pairs_only=True)


class _Mergers(Table[Merger]):
    """The mergers; a network that a plugin adds is a merger too."""

    def rows_of(self, plugin: Plugin) -> Sequence[Merger]:
        return [*super().rows_of(plugin), *map(_learned, NETWORK_KINDS.rows_of(plugin))]


_TIES, _DARE, _DELLA = "TIES, arXiv 2306.01708", "DARE, arXiv 2311.03099", "DELLA, arXiv 2406.11617"
_BREADCRUMBS, _ZIPLORA = "Model Breadcrumbs, arXiv 2312.06795", "ZipLoRA, arXiv 2311.13600"
_ISO, _BLOCKS = "arXiv 2502.04959", "B-LoRA, arXiv 2403.14572 (SDXL); SplitFlux, arXiv 2511.15258 (FLUX.1)"
_PEFT = "peft add_weighted_adapter, factor-wise; for comparison"

MERGERS: Table[Merger] = _Mergers(
    "MERGERS",
    Merger,
    "a merger",
    [
        Merger(
            "auto",
            "coefficients",
            "lorarar: balanced, then summed with less self-attention",
            _method("auto"),
            {"strength": 1.0, "self_attention": 0.5},
            balance=0.5,
        ),
        Merger("direct", "coefficients", "arXiv 2311.13600, baseline", _method("direct")),
        Merger("average", "coefficients", "arXiv 2203.05482", _method("average")),
        *map(_learned, NETWORK_KINDS.own().values()),
        optimised_merger("ziplora", ZIPLORA, _ZIPLORA),
        optimised_merger("ziplora_pytorch", ZIPLORA_PYTORCH, f"{_ZIPLORA}, as in ziplora-pytorch"),
        optimised_merger("cat", CAT, "CAT (LoRA Soups), arXiv 2410.13025"),
        optimised_merger("ziprank", ZIPRANK, "ZipRank (DuoLoRA), arXiv 2504.13206"),
        optimised_merger("nsc", NSC, "NSC, arXiv 2603.26317"),
        optimised_merger("text_guided", TEXT_GUIDED, "lorarar: the distillation objective, for a single pair"),
        Merger("peft_linear", "delta", _PEFT, _method("linear")),
        _pruning("ties", _TIES),
        _pruning("dare", _DARE, seed=0),
        _pruning("dare_ties", f"{_DARE}, with TIES", seed=0),
        _pruning("magnitude_prune", "mergekit; trim of arXiv 2306.01708, then sum"),
        _pruning("della", _DELLA, epsilon=0.15, seed=0),
        _pruning("della_linear", f"{_DELLA}, without election", epsilon=0.15, seed=0),
        _pruning("breadcrumbs", _BREADCRUMBS, gamma=0.01),
        _pruning("breadcrumbs_ties", f"{_BREADCRUMBS}, with TIES", gamma=0.01),
        Merger("svd", "delta", "Eckart-Young: the sum, truncated", _method("svd"), {"rank": 0}),
        _knots("knots", "ties"),
        _knots("knots_dare", "dare_ties", seed=0),
        Merger("np_lora", "delta", "NP-LoRA, arXiv 2511.11051", _method("np_lora"), {"mu": 0.5}),
        Merger("tsv_m", "delta", "TSV-M, arXiv 2412.00081", _method("tsv_m")),
        Merger("iso_c", "delta", f"Iso-C, {_ISO}", _method("iso", "iso_c")),
        Merger("iso_cts", "delta", f"Iso-CTS, {_ISO}", _method("iso", "iso_cts"), {"common": 0.8}),
        Merger("fixed_blocks", "coefficients", _BLOCKS, _method("fixed_blocks"), pairs_only=True),
        Merger("ssr", "delta", "SSR-Merge, arXiv 2606.10617", _method("ssr"), {"ridge": 1e-4}, signals=True),
        _klora("klora", "", 0.5, wrapped=False),
        _klora("klora_wrapped", ", variant s*", 0.85 * 1.5, wrapped=True),
        Merger(
            "est_lora",
            "runtime",
            "EST-LoRA, arXiv 2508.02165, after its abstract",
            _method("est_lora"),
            {"alpha": 1.5, "discrepancy": 0.5},
            pairs_only=True,
        ),
        Merger("kl_choice", "runtime", "arXiv 2602.15539, after its abstract", _method("kl_choice")),
        Merger(
            "windows",
            "runtime",
            "CRAFT-LoRA, arXiv 2602.18936, windows and guidance",
            _method("windows"),
            {"content_end": 0.7, "style_start": 0.3},
            pairs_only=True,
        ),
        Merger("switch", "runtime", "LoRA switch, arXiv 2402.16843", _method("switch"), {"tau": 5}),
        Merger("composite", "runtime", "LoRA composite, arXiv 2402.16843", _method("switch", "composite")),
    ],
)
DEFAULT = "auto"  # where no merger is named, and no network is shipped that fits


def find_merger(name: str) -> Merger:
    """Return the row of a merger.

    Raises:
        ValueError: No merger has the name; the message suggests the nearest one.
    """
    if name in RENAMED_MERGERS:
        raise ValueError(f"expected {RENAMED_MERGERS[name]!r}, found its old name {name!r}: rename it")
    return MERGERS.find(name)
