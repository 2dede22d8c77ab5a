"""lorarar.hypernetwork.training_range: what training saw, what lies outside, and what lies far outside."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lorarar.formats.loading import load
from lorarar.hypernetwork.checkpoint import Network, load_network
from lorarar.hypernetwork.training_range import (
    COEFFICIENT,
    ENTRY,
    RANGE_KEY,
    Measures,
    TrainingRange,
    measure_loras,
    observe_range,
    read_range,
)
from lorarar.lora.lora import LoRA
from lorarar.storage import NETWORKS
from lorarar.storage.atomic import FormatError
from tests import ROOT
from tests.mergers.cases import times

Pair = tuple[LoRA, LoRA]


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(NETWORKS / "hypernetwork.safetensors")


def pair_of(number: int) -> Pair:
    names = [f"test_{kind}_{number:02d}" for kind in ("content", "style")]
    content, style = (load(ROOT / f"data/embedded/loras/{name}.safetensors") for name in names)
    return content, style


def measured(network: Network, pair: Pair) -> Measures:
    with torch.no_grad():
        return measure_loras(pair, network.predicted(pair), network.module(list(pair)))


def stated(network: Network) -> TrainingRange:
    assert network.trained_on
    return network.trained_on


def test_the_shipped_network_knows_its_training(network: Network) -> None:
    found = stated(network)
    assert (found.bases, found.families) == (("data/embedded/base",), ("embedded",))
    assert all(low < high for low, high in found.ranges.values())


@pytest.mark.parametrize("number", [0, 3, 7])
def test_test_pairs_lie_inside(number: int, network: Network) -> None:
    measures = measured(network, pair_of(number))
    assert stated(network).outside(measures) == {}
    assert not stated(network).is_far(measures)


@pytest.mark.parametrize("factors", [(0.25, 0.25), (4, 4), (0.25, 4), (4, 0.25)])
def test_strengths_at_which_it_was_measured_to_help_are_not_far(factors: tuple[float, float], network: Network) -> None:
    content, style = pair_of(0)
    measures = measured(network, (times(content, factors[0]), times(style, factors[1])))
    assert not stated(network).is_far(measures)


@pytest.mark.parametrize("factor", [0.01, 100])
def test_other_sizes_are_far(factor: float, network: Network) -> None:
    content, style = pair_of(0)
    measures = measured(network, (times(content, factor), style))
    assert stated(network).outside(measures)[ENTRY] == [0]
    assert stated(network).is_far(measures)


def test_the_numbers_are_those_of_the_deltas(network: Network) -> None:
    pair = pair_of(0)
    measures = measured(network, pair)
    logs = [pair[1].layers[layer].delta().square().mean().sqrt().log() for layer in network.predicted(pair)]
    assert measures[ENTRY][1] == pytest.approx(math.exp(float(torch.stack(logs).mean())), rel=1e-4)
    with torch.no_grad():
        coefficients = network.module(list(pair)).layers
    means = [coefficients[layer][0].mean() for layer in network.predicted(pair)]
    assert measures[COEFFICIENT][0] == pytest.approx(float(torch.stack(means).mean()), rel=1e-5)


def test_weight_jitter_widens_the_range(network: Network) -> None:
    plain = observe_range(network.module, [pair_of(0)], ["base"])
    wide = observe_range(network.module, [pair_of(0)], ["base"], weight_jitter=math.log(2))
    assert wide.ranges[ENTRY][0] == pytest.approx(plain.ranges[ENTRY][0] / 2, rel=1e-3)
    assert wide.ranges[ENTRY][1] == pytest.approx(plain.ranges[ENTRY][1] * 2, rel=1e-3)
    assert read_range({RANGE_KEY: wide.as_text()}) == wide


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"bases": [], "families": [], "ranges": {"x": [0, 1]}})])
def test_a_damaged_range_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="train it again"):
        read_range({RANGE_KEY: text})
    assert read_range({}) is None


def test_the_cards_have_the_ranges_of_the_headers() -> None:
    for path in sorted(Path(NETWORKS).glob("*.safetensors")):
        card = json.loads(path.with_name(f"{path.stem}.card.json").read_text(encoding="utf-8"))
        assert card[RANGE_KEY] == load_network(path).metadata[RANGE_KEY]


def test_only_layers_that_all_loras_hold_are_measured() -> None:
    """A constant has numbers for the layers of any LoRA, so that they may come from different trainers."""
    constant = load_network(NETWORKS / "constant.safetensors")
    content, style = pair_of(0)
    half = len(style.layers) // 2
    first, second = (
        replace(style, layers=dict(part))
        for part in (list(style.layers.items())[:half], list(style.layers.items())[half:])
    )
    shared = measure_loras((content, first), list(first.layers), constant.module((content, first)))
    assert (
        measure_loras((content, first), constant.predicted((content, first)), constant.module((content, first)))
        == shared
    )
    assert measure_loras((first, second), constant.predicted((first, second)), constant.module((first, second))) == {}
    found = stated(constant) if constant.trained_on else None
    assert found is None or (found.outside({}), found.is_far({})) == ({}, False)
