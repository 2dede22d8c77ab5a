"""Choice: the method that merges LoRAs, its network, and the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorarar.hypernetwork import Network, kinds_of, load_network, measure_loras, open_network, shipped_network
from lorarar.lora import (
    Coefficients,
    InputWeights,
    LoRA,
    Rows,
    check_same_shapes,
    drop_muted,
    input_weights,
    label,
)
from lorarar.lora.families import check_same_family
from lorarar.mergers.balance import balance_loras
from lorarar.mergers.noise_pairs import check_one_side
from lorarar.mergers.request import MergeRequest
from lorarar.mergers.table import DEFAULT, MERGERS, Merger, Optimiser, Options, Probe, find_merger


@dataclass(frozen=True, eq=False)
class Choice:
    """Method of a merge, with all that is known before the work.

    Attributes:
        method: The merger's row of the table.
        weights: Weights of the inputs.
        balance: How far the inputs are brought to one length first.
        options: Options of the method, defaults included.
        network: The learned merger; None for other methods.
        notes: Notes for the user, such as why a default was taken.
    """

    method: Merger
    weights: InputWeights
    balance: float
    options: Options
    network: Network | None = None
    notes: tuple[str, ...] = ()

    def prepare(self, loras: Sequence[LoRA]) -> tuple[list[LoRA], Coefficients]:
        """Return the balanced LoRAs, and the factors of `balance_loras`.

        A rule does not see a delta whose weight is 0; what a base, a network or a rule for the places of content and
        style knows is known of whole LoRAs.

        Args:
            loras: The LoRAs of the choice, in order.
        """
        if not (self.network or self.method.pair or self.method.pairs_only):
            loras = drop_muted(loras, self.weights)
        return balance_loras(loras, self.balance)


def choose(loras: Sequence[LoRA], request: MergeRequest) -> Choice:
    """Return the method that a request names, else the default for the LoRAs' family, after all checks.

    Args:
        loras: The LoRAs to merge.
        request: How to merge.

    Raises:
        FormatError: The file of the learned merger cannot be read.
        ValueError: The LoRAs do not fit each other or the method, or the request is inconsistent.
    """
    if not loras:
        raise ValueError("expected at least one LoRA to merge, found none")
    parts = check_same_family(loras)
    check_one_side(loras)
    check_same_shapes(loras)
    weights = input_weights(loras, request.weights, request.blocks, request.text_encoder)
    method, network, notes = _method(loras, request, _muted(loras, weights))
    check_count(method, len(loras))
    notes = [*parts, *notes, *_check_kinds(method, loras, request.kinds)]
    _check_order(method, loras, request.kinds)
    balance = method.balance if request.balance is None else request.balance
    return Choice(method, weights, balance, method.settings(request.options), network, tuple(notes))


def _muted(loras: Sequence[LoRA], weights: InputWeights) -> list[str]:
    """Return the names of the LoRAs all of whose layers have weight 0; none where all LoRAs are such."""
    muted = [
        label(lora, i)
        for i, lora in enumerate(loras)
        if lora.layers and not any(weights.of(layer)[i] for layer in lora.layers)
    ]
    return muted if len(muted) < len(loras) else []


_Found = tuple[Merger, "Network | None", list[str]]


def _method(loras: Sequence[LoRA], request: MergeRequest, muted: Sequence[str]) -> _Found:
    """Return the method, its network, and why a default was taken."""
    request.check()
    if not request.network and not request.merger:
        return _default_choice(loras, muted)
    network = open_network(request.network) if request.network else None
    method = MERGERS[network.kind] if network else _closed_form_or_optimised(str(request.merger))
    if muted and (network or method.pair):
        raise ValueError(
            f"expected LoRAs with weights other than 0 for {method.name}, whose coefficients depend on all of them, "
            f"found 0 for {', '.join(muted)}: leave it out, or merge by `merger=auto`"
        )
    return method, network, []


def _default_choice(loras: Sequence[LoRA], muted: Sequence[str]) -> _Found:
    """Choose the network that is shipped for the LoRAs' family where it fits them, else "auto"."""
    family = family_of(loras)
    if muted:
        return MERGERS[DEFAULT], None, [f"{name} takes no part: the weight of its layers is 0" for name in muted]
    if network := fitting_network(loras):
        return MERGERS[network.kind], network, [f"used the network that is shipped for the family {family}"]
    auto = MERGERS[DEFAULT]
    if len(loras) == 1:
        return auto, None, ["one LoRA was given, so nothing is merged: give a second one to merge with it"]
    shipped = shipped_network(family)
    reason = "the network that is shipped for their family does not fit them" if shipped else "no network is shipped"
    return auto, None, [f"merged by a rule ({auto.name}): {reason}; `network` takes one, `lorarar train` trains one"]


def fitting_network(loras: Sequence[LoRA]) -> Network | None:
    """Return the network that is shipped for the LoRAs' family, where it fits them; else None.

    It fits LoRAs of which it predicts some layers and that do not lie far outside its training.

    Args:
        loras: The LoRAs to merge.
    """
    path = shipped_network(family_of(loras))
    network = load_network(path) if path else None
    return network if network and _fits(network, loras) else None


def _fits(network: Network, loras: Sequence[LoRA]) -> bool:
    """Return whether a network takes so many LoRAs, predicts some of their layers, and was trained on the like."""
    method, layers = MERGERS[network.kind], network.predicted(loras)
    if not layers or not (len(loras) == 2 if method.pairs_only else len(loras) > 1):
        return False
    trained = network.trained_on
    return trained is None or not trained.is_far(measure_loras(loras, layers, method.call(loras, network=network)))


def _closed_form_or_optimised(name: str) -> Merger:
    method = MERGERS[find_merger(name).name]
    if method.kind == "runtime":
        raise ValueError(
            f"expected a merger whose result a file can hold, found {name}, which acts while sampling: use it in "
            "`lorarar generate` (lorarar.generate), or merge with another method"
        )
    if method.learned:
        raise ValueError(
            f"expected a method without a network, found {name}, whose coefficients a trained network predicts: drop "
            "`merger`, and give the network as `network`"
        )
    return method


def check_count(method: Merger, count: int) -> None:
    """Check that a method takes so many LoRAs.

    Raises:
        ValueError: It takes exactly two.
    """
    if method.pairs_only and count != 2:
        raise ValueError(f"expected two LoRAs for {method.name}, a content and a style, found {count}: give two")


def check_optimiser(method: Merger, optimiser: Optimiser | Probe | None) -> None:
    """Check that a method that computes on a base model has an optimiser or a probe, and that no other method has one.

    Raises:
        ValueError: The optimiser is missing, or would be ignored.
    """
    if method.on_base and optimiser is None:
        raise ValueError(
            f"{method.work}, and none is loaded here: merge with it by `lorarar merge`, in Python by lorarar.merge"
        )
    if optimiser is not None and not method.on_base:
        names = ", ".join(name for name, row in MERGERS.items() if row.on_base)
        raise ValueError(f"expected an optimiser for {names} alone, found one for {method.name}: drop it")


def _check_kinds(method: Merger, loras: Sequence[LoRA], kinds: Sequence[str] | None) -> list[str]:
    """Refuse kinds that the method would ignore; return notes on kinds that are given or that files contradict."""
    if not method.takes_kinds:
        if kinds:
            raise ValueError(
                f"expected `kinds` only with a network that takes any number of LoRAs, found {method.name}: drop them"
            )
        if not goes_by_place(method):
            return []
    merged_as = kinds or kinds_of(loras)
    notes = [f"merged as {', '.join(merged_as)}"] if kinds or len(loras) > 2 else []
    if len(merged_as) != len(loras):
        return notes  # the network refuses them
    remedy = ""
    if method.takes_kinds:
        remedy = ": correct `kinds` if the file is right" if kinds else ": `kinds` can say otherwise"
    for i, (lora, kind) in enumerate(zip(loras, merged_as, strict=True)):
        stated = stated_kind(lora)
        if stated and stated != kind:
            notes.append(f"{label(lora, i)} is merged as a {kind}, though its file states {stated}{remedy}")
    return notes


def goes_by_place(method: Merger) -> bool:
    """Return whether a method takes the first of two LoRAs as the content and the second as the style."""
    # An optimisation treats both alike: only its images and descriptions have a place.
    return method.learned or (method.pairs_only and method.pair is None)


def stated_kind(lora: LoRA) -> str:
    """Return the kind that the header of a LoRA's file states, "content" or "style", or ""."""
    kind = lora.metadata.get("kind", "")
    return kind if kind in ("content", "style") else ""


def _check_order(method: Merger, loras: Sequence[LoRA], kinds: Sequence[str] | None) -> None:
    """Refuse a style before a content, as their files state it, where the method distinguishes the two."""
    stated = [lora.metadata.get("kind") for lora in loras]
    if stated == ["style", "content"] and not kinds and (method.learned or method.pairs_only):
        raise ValueError(
            f"expected the content before the style, found the style {loras[0].name} before the content "
            f"{loras[1].name}, as the files say: swap the two"
        )


def check_has_coefficients(method: Merger) -> None:
    """Check that a method works by coefficients, which a file can hold.

    Raises:
        ValueError: It does not.
    """
    if method.kind != "coefficients":
        raise ValueError(
            f"expected a merger with coefficients to save, found {method.name}, which works on the entries of "
            "the deltas: drop `save_coefficients`"
        )


def kept_names(loras: Sequence[LoRA]) -> dict[str, Rows]:
    """Return the names of the layers in the files of all LoRAs, those of the first LoRA first."""
    return {name: rows for lora in loras for name, rows in lora.names.items()}


def family_of(loras: Sequence[LoRA]) -> str:
    """Return the family of the first LoRA that has one, or ""."""
    return next((lora.family for lora in loras if lora.family), "")
