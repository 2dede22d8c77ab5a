"""lorarar.benchmark.embedded, ceiling, methods, gates: shipped parts are checked; fitted coefficients fit better."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lorarar.benchmark.ceiling import fit_coefficients, fit_free
from lorarar.benchmark.embedded import Embedded, load_embedded
from lorarar.benchmark.gate_settings import Bounds, Fit, GatesConfig
from lorarar.benchmark.gates import WorldGate, run_gates
from lorarar.benchmark.methods import REPORTED_METRICS, by_concept, estimate_scores, run_method
from lorarar.diffusion.adaptation import adapted
from lorarar.diffusion.conditioning import join_conditionings
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.mergers.methods.direct import direct
from lorarar.storage.cards import ArtefactError
from lorarar.storage.locations import EMBEDDED
from lorarar.worlds.stages.scoring import true_renders, truth_of
from lorarar.worlds.toy.definition import TOY
from tests import ROOT


@pytest.fixture(scope="module")
def embedded() -> Embedded:
    return load_embedded(["validation"], ROOT / EMBEDDED)


def test_a_changed_artefact_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "embedded"
    shutil.copytree(ROOT / EMBEDDED, folder)
    load_embedded(["test"], folder)
    lora = folder / "loras" / "test_style_03.safetensors"
    content = bytearray(lora.read_bytes())
    content[-1] ^= 1
    lora.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"test_style_03.safetensors differs from its card"):
        load_embedded(["test"], folder)


def loss(embedded: Embedded, lora: LoRA) -> float:
    """The denoising loss on renders of the first pair that the fit did not see."""
    pair, backbone = embedded.pairs("validation")[0], embedded.backbone
    latents = backbone.encode_images(true_renders(TOY, pair, range(100, 108)))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    timesteps = torch.linspace(100, 900, 8).long()
    prompts = join_conditionings([backbone.encode_prompts([pair.prompt])] * 8)
    with torch.no_grad(), adapted(backbone.denoiser, lora):
        predicted = backbone.predict(backbone.add_noise(latents, noise, timesteps), timesteps, prompts)
    return float((predicted - latents).square().mean())


@pytest.mark.parametrize(("function", "rate"), [(fit_coefficients, 0.05), (fit_free, 2e-3)])
def test_a_fit_to_renders_beats_the_sum_on_other_renders(embedded: Embedded, function, rate: float) -> None:
    pair = embedded.pairs("validation")[0]
    both = (embedded.loras[pair.content.name], embedded.loras[pair.style.name])
    (fitted,) = function(TOY, embedded.backbone, [pair], [both], Fit(steps=12, learning_rate=rate, images=4))
    assert loss(embedded, fitted) < 0.9 * loss(embedded, merge_exactly(both, direct(both)))


def test_scores_keep_their_pairs(embedded: Embedded) -> None:
    pairs = embedded.pairs("validation")
    assert [truth_of(TOY, p)[:4] for p in pairs[:8]] == [truth_of(TOY, pairs[0])[:4]] * 8  # contents vary slowest
    values = torch.arange(128.0).view(64, 2)
    assert by_concept(values, embedded, "validation").shape == (8, 8, 2)
    assert np.array_equal(by_concept(values, embedded, "validation")[3, 5], [58.0, 59.0])
    estimates = estimate_scores(dict.fromkeys(REPORTED_METRICS, values / 128), embedded, "validation")
    assert estimates["joint"].mean == pytest.approx(float((values / 128).mean()), abs=1e-4)


def test_a_method_is_scored_pair_by_pair(embedded: Embedded) -> None:
    scorer = embedded.scorer("validation", [0])
    few = type(scorer)(scorer.backbone, scorer.classifier, scorer.pairs[::21], scorer.loras, [0])
    result = run_method(few, direct)
    assert result.scored.images.shape == (4, 1, 3, 32, 32)
    assert result.merge_seconds > 0
    assert float(result.scored.scores["content"].mean()) > 0.8  # the shipped LoRAs carry their subjects


def test_a_gate_needs_its_bound_and_its_interval() -> None:
    assert WorldGate("x", 0.2, 0.1, 0.01, 0.3).met
    assert not WorldGate("x", 0.2, 0.1, -0.01, 0.3).met
    assert not WorldGate("x", 0.05, 0.1).met
    assert str(WorldGate("x", 0.05, 0.1)).startswith("RED")


def test_parts_that_are_made_can_pass_their_gates_alone(tmp_path: Path) -> None:
    fit = Fit(steps=1, learning_rate=1e-3, images=1)
    bounds = Bounds(metrics=("content", "style"), renders=0.999, reconstruction=-0.5)
    config = GatesConfig(tmp_path, fit, fit, data=ROOT / EMBEDDED, parts=("classifier", "autoencoder"), bounds=bounds)
    lines = run_gates(config).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        *["met  true renders"] * 2,
        *["RED  reconstructions against renders"] * 2,  # no autoencoder helps by a half
    ]
    record = json.loads((tmp_path / "results.json").read_text())
    assert [gate["bound"] for gate in record["gates"]] == [0.999, 0.999, 0.5, 0.5]
