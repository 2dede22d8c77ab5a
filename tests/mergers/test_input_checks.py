"""lorarar.mergers.input_checks: warnings with numbers and remedies, and the refusal of what lies far outside."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lorarar.formats.loading import load
from lorarar.lora.lora import LoRA
from lorarar.mergers.combination import combine
from lorarar.mergers.request import MergeRequest
from lorarar.storage import NETWORKS
from tests import ROOT
from tests.mergers.cases import times

NETWORK = NETWORKS / "hypernetwork.safetensors"


@pytest.fixture(scope="module")
def pair() -> tuple[LoRA, LoRA]:
    content, style = (load(ROOT / f"data/embedded/loras/test_{kind}_01.safetensors") for kind in ("content", "style"))
    return content, style


def test_known_loras_are_merged_without_a_word(pair: tuple[LoRA, LoRA]) -> None:
    assert combine(pair).warnings == ()
    assert combine(pair, MergeRequest(merger="direct")).warnings == ()


def test_loras_outside_are_a_warning_with_numbers(pair: tuple[LoRA, LoRA]) -> None:
    [warning] = combine([times(pair[0], 0.1), pair[1]], MergeRequest(network=NETWORK)).warnings
    assert "hypernetwork.safetensors extrapolates" in warning
    assert re.search(r"typical entry [\d.e-]+ in .*content.* \(trained on 0.00167 to 0.0288\)", warning)


def test_another_family_is_a_warning(pair: tuple[LoRA, LoRA]) -> None:
    unknown = [replace(lora, family="") for lora in pair]
    [warning] = combine(unknown, MergeRequest(network=NETWORK)).warnings
    assert "trained on LoRAs of embedded, not an unknown family" in warning


def test_loras_far_outside_are_refused_unless_allowed(pair: tuple[LoRA, LoRA]) -> None:
    tiny = [times(lora, 0.005) for lora in pair]
    with pytest.raises(ValueError, match=r"far outside: .*mean coefficient.*`allow_extrapolation=True`"):
        combine(tiny, MergeRequest(network=NETWORK))
    found = combine(tiny, MergeRequest(network=NETWORK, allow_extrapolation=True))
    assert "extrapolates" in found.warnings[0]
    assert combine(tiny, MergeRequest(merger="direct")).warnings == ()


@pytest.mark.parametrize("merger", ["direct", "ties"])
def test_unequal_lengths_are_a_warning_whose_weights_cure_it(merger: str, pair: tuple[LoRA, LoRA]) -> None:
    unequal = [times(pair[0], 30), pair[1]]
    [warning] = combine(unequal, MergeRequest(merger=merger, dense=True)).warnings
    found = re.search(r"-fold \(.*`weights=\[([\d.]+), ([\d.]+)\]` brings them to one length", warning)
    assert found
    weights = [float(found[1]), float(found[2])]
    assert combine(unequal, MergeRequest(merger=merger, weights=weights, dense=True)).warnings == ()
    assert combine([*unequal, pair[0]], MergeRequest(merger=merger, weights=[0, 1, 1], dense=True)).warnings == ()


def test_lengths_that_the_coefficients_bring_together_are_a_note(pair: tuple[LoRA, LoRA]) -> None:
    unequal = [times(pair[0], 4), times(pair[1], 0.25)]
    found = combine(unequal, MergeRequest(network=NETWORK))
    assert not any("-fold" in warning for warning in found.warnings)
    assert any("the coefficients bring that to" in note for note in found.notes)
