"""lorarar.benchmark.quality.builders: LoRAs for which a network or a method that optimises finds no layer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from lorarar.benchmark.quality import builders
from lorarar.benchmark.quality.builders import build_method
from lorarar.benchmark.quality.settings import FileSettings, read_settings
from lorarar.datasets.concepts import Concept, Pair
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.storage.locations import NETWORKS

WIDTH = 80  # of the toy base's first blocks


def lora(*layers: str) -> LoRA:
    random = torch.Generator().manual_seed(len(layers))
    factors = [torch.randn(*shape, generator=random) for shape in ((WIDTH, 2), (2, WIDTH))]
    return LoRA({layer: LowRank(factors[0], factors[1], 0.5) for layer in layers})


def test_a_pair_for_which_a_network_predicts_nothing_is_summed_and_counted() -> None:
    concepts = [Concept(name, name, name, (), ()) for name in ("content", "style")]  # type: ignore[arg-type]
    pair = Pair(*concepts)
    loras = {"apart": (lora("a.to_v"), lora("a.to_q", "a.to_v")), "shared": (lora("a.to_q"), lora("a.to_q", "a.to_v"))}
    for name, given in loras.items():
        inputs = SimpleNamespace(
            backbone=SimpleNamespace(device=torch.device("cpu")), pair_loras=lambda pair, given=given: given
        )
        settings = FileSettings(NETWORKS / "hypernetwork_paper.safetensors")
        [merged] = build_method(inputs, settings).merge([pair])  # type: ignore[arg-type]
        assert merged.facts == {"summed": float(name == "apart")}
        total = given[1].layers["a.to_q"].delta()
        if name == "apart":
            assert_close(merged.lora.layers["a.to_q"].delta(), total)
        else:
            assert not torch.allclose(merged.lora.layers["a.to_q"].delta(), total * 2)


def test_a_pair_that_a_method_cannot_optimise_is_summed_and_counted() -> None:
    pair = Pair(*(Concept(name, name, name, (), ()) for name in ("content", "style")))  # type: ignore[arg-type]
    loras = {"content": LoRA({"a.to_q": Dense(torch.eye(WIDTH))}), "style": lora("a.to_q")}
    inputs = SimpleNamespace(backbone=SimpleNamespace(device=torch.device("cpu")), loras=loras)
    [merged] = build_method(inputs, read_settings("pair", "ziprank", {})).merge([pair])  # type: ignore[arg-type]
    assert merged.facts == {"steps": 0.0, "summed": 1.0}
    total = torch.eye(WIDTH) + loras["style"].layers["a.to_q"].delta()
    assert_close(merged.lora.layers["a.to_q"].delta(), total)


def test_weights_of_a_row_that_acts_while_sampling_are_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(*(Concept(name, name, name, (), ()) for name in ("content", "style")))  # type: ignore[arg-type]
    given, composed = (lora("a.to_q"), lora("a.to_q", "a.to_v")), []

    def sample(backbone: object, loras: list[LoRA], *_: object) -> torch.Tensor:
        composed.append(loras)
        return torch.zeros(1, 3, 4, 4)

    monkeypatch.setattr(builders, "sample_composed", sample)
    inputs = SimpleNamespace(
        backbone=None, sampling=None, pair_loras=lambda _: given, draw=lambda sample, seeds: sample(seeds)
    )
    stated = [{}, {"weights": [0.25, 2]}]
    methods = [build_method(inputs, read_settings("merger", "klora", each)) for each in stated]  # type: ignore[arg-type]
    for method in methods:
        method.draw([pair], method.merge([pair]), [0])
    plain, weighted = composed
    for factor, unchanged, input_, before in zip((0.25, 2), plain, weighted, given, strict=True):
        for layer, delta in before.layers.items():
            assert_close(unchanged.layers[layer].delta(), delta.delta())
            assert_close(input_.layers[layer].delta(), factor * delta.delta())
    # Cells that were drawn without the weights that they state are not taken for these.
    assert methods[1].identity == {**methods[0].identity, "weights": (0.25, 2), "weighted": True}
