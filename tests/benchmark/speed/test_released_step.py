"""lorarar.benchmark.speed.released_step: the same loss and gradient as our training step, and a check that can fail."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch.testing import assert_close

from lorarar.benchmark.speed.cases import SpeedCase, load_case
from lorarar.benchmark.speed.released_step import CONTENT, STYLE, DensePair, released_losses
from lorarar.benchmark.speed.training import _Bare, difference, gradient
from lorarar.diffusion.adaptation import adapted
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.conditioning import Conditioning
from lorarar.hypernetwork.build import new_merger
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank, scale_columns
from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.recipe import MergerRecipe
from lorarar.training.batches import NoisyBatch
from lorarar.training.pairs import PairBatch, PairData

WEIGHTS = LossWeights(similarity=0.03)


def in_double(drawn: NoisyBatch) -> NoisyBatch:
    conditioning = Conditioning(drawn.conditioning.embeddings.double(), drawn.conditioning.pooled.double())
    return replace(drawn, noisy=drawn.noisy.double(), conditioning=conditioning)


@pytest.fixture
def case(base: str) -> SpeedCase:
    """Two random pairs of two images each, in float64, with deltas that matter."""
    found = load_case(str(base), pairs=2, images=2)
    found.backbone.denoiser.double()

    def batches(step: int) -> list[PairBatch]:
        return [
            replace(pair, loras=strong(pair.loras), content=in_double(pair.content), style=in_double(pair.style))
            for pair in found.batches(step)
        ]

    return replace(found, batches=batches)


def strong(loras: tuple[LoRA, LoRA]) -> tuple[LoRA, LoRA]:
    """Four of the 64 ranks, float64, scaled up."""

    def grown(f: LowRank) -> LowRank:
        return LowRank(100 * f.B[:, :4].double(), 16 * f.A[:4].double(), 0.5)

    content, style = (LoRA({la: grown(f) for la, f in lora.layers.items()}) for lora in loras)  # type: ignore[arg-type]
    return content, style


def network_for(case: SpeedCase, fixed: float = 1.0) -> PaperHypernetwork:
    torch.manual_seed(1)
    made = new_merger("paper", case.batches(0)[0].loras[0], {"hidden": 16, "fixed": fixed})
    return cast(PaperHypernetwork, made.double())


def ours(case: SpeedCase, network: PaperHypernetwork, pairs: list[PairBatch]) -> tuple[dict[str, float], torch.Tensor]:
    network.zero_grad()
    module = _Bare(network, case.backbone, cast(PairData, None), MergerRecipe(1, 0.01), WEIGHTS)
    return module.losses(pairs, backward=True), gradient(network)


def released(
    case: SpeedCase, network: PaperHypernetwork, pairs: list[PairBatch]
) -> tuple[dict[str, float], torch.Tensor]:
    network.zero_grad()
    dense = [DensePair(case.backbone.denoiser, pair.loras, network) for pair in pairs]
    return released_losses(case.backbone, pairs, dense, WEIGHTS, backward=True), gradient(network)


@pytest.mark.parametrize("fixed", [1.0, 0.5])
def test_losses_and_gradients_are_those_of_our_step(case: SpeedCase, fixed: float) -> None:
    network, pairs = network_for(case, fixed), case.batches(0)
    (our_terms, our_gradient), (terms, found) = ours(case, network, pairs), released(case, network, pairs)
    assert terms == pytest.approx(our_terms, rel=1e-5)
    assert min(terms["content"], terms["style"], terms["similarity"]) > 1e-4  # else the test proves nothing
    assert found.norm() > 1e-4
    assert difference(our_gradient, found) < 1e-5  # the loss itself is float32


@pytest.mark.slow
def test_gradients_are_the_same_with_checkpointing(case: SpeedCase) -> None:
    network, pairs = network_for(case), case.batches(0)[:1]
    _, plain = released(case, network, pairs)
    case.backbone.denoiser.enable_gradient_checkpointing()  # type: ignore[operator]
    case.backbone.denoiser.train()
    (_, our_gradient), (_, found) = ours(case, network, pairs), released(case, network, pairs)
    assert difference(found, plain) < 1e-6
    assert difference(our_gradient, plain) < 1e-5


def test_one_changed_coefficient_is_seen(case: SpeedCase, monkeypatch: pytest.MonkeyPatch) -> None:
    network, pairs = network_for(case), case.batches(0)[:1]
    _, right = ours(case, network, pairs)
    predict = DensePair._predict
    changed = next(layer for layer in pairs[0].loras[0].layers if layer.endswith("to_q"))

    def one_changed(self: DensePair, layer: str, *deltas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        m_c, m_s = predict(self, layer, *deltas)
        return (m_c + 0.5 * (torch.arange(len(m_c)) == 0), m_s) if layer == changed else (m_c, m_s)

    monkeypatch.setattr(DensePair, "_predict", one_changed)
    _, wrong = released(case, network, pairs)
    assert difference(wrong, right) > 1e-4


def test_four_passes_a_pair_each_with_one_network_run_a_layer(case: SpeedCase, monkeypatch: pytest.MonkeyPatch) -> None:
    network, pairs = network_for(case), case.batches(0)[:1]
    passes, runs = [], []
    monkeypatch.setattr(network.output, "forward", lambda x, f=network.output.forward: runs.append(1) or f(x))
    predict = Backbone.predict
    monkeypatch.setattr(Backbone, "predict", lambda self, *x: passes.append(len(x[0])) or predict(self, *x))
    released(case, network, pairs)
    assert passes == [2, 2, 2, 2]
    assert len(runs) == 2 * len(network.predicted(pairs[0].loras))


@torch.no_grad()
def test_a_dense_pair_answers_as_the_merge_and_as_each_lora(case: SpeedCase) -> None:
    network, (pair, _) = network_for(case), case.batches(0)
    dense = DensePair(case.backbone.denoiser, pair.loras, network)
    inputs = (pair.content.noisy, pair.content.timesteps, pair.content.conditioning)
    base = case.backbone.predict(*inputs)
    for side in (CONTENT, STYLE):
        with adapted(case.backbone.denoiser, pair.loras[side]):
            expected = case.backbone.predict(*inputs)
        with dense.alone(side):
            assert_close(case.backbone.predict(*inputs), expected)
        assert (expected - base).abs().max() > 1e-2
    with dense.merged():
        case.backbone.predict(*inputs)
    predicted = network(pair.loras).layers
    for layer, (m_c, m_s) in dense.coefficients().layers.items():
        assert_close(m_c.expand_as(predicted[layer][0]), predicted[layer][0])
        assert_close(m_s.expand_as(predicted[layer][1]), predicted[layer][1])
    assert torch.equal(case.backbone.predict(*inputs), base)  # the hooks are gone


def test_the_deltas_are_dense(case: SpeedCase) -> None:
    pair = case.batches(0)[0]
    network = PaperHypernetwork(PaperConfig(widths=(80, 144), hidden=2)).double()
    dense = DensePair(case.backbone.denoiser, pair.loras, network)
    for layer, deltas in dense.deltas.items():
        for delta, lora in zip(deltas, pair.loras, strict=True):
            factors = lora.layers[layer]
            columns = scale_columns(factors, torch.ones(factors.shape[1], dtype=torch.float64))
            assert_close(delta, columns.B @ columns.A)
