"""lorarar.benchmark.merge: shapes as in the models, the dense formulation equal to ours, every number there."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from lorarar.benchmark import once
from lorarar.benchmark.merge import markdown, run_merge_benchmark
from lorarar.benchmark.synthetic import attention_shapes, synthetic_lora
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.lora import LoRA
from lorarar.lowrank import LowRank
from lorarar.mergers.direct import direct
from lorarar.merging import merge
from tests.tiny import two_block_lora


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("sdxl", {(640, 640): 60, (640, 2048): 20, (1280, 1280): 360, (1280, 2048): 120}),
        (
            "sd15",
            {(320, 320): 30, (320, 768): 10, (640, 640): 30, (640, 768): 10, (1280, 768): 12, (1280, 1280): 36},
        ),
        ("koala", {(640, 640): 36, (640, 2048): 12, (1280, 1280): 90, (1280, 2048): 30}),
        ("flux", {(3072, 3072): 190}),
    ],
)
def test_shapes_are_those_of_the_models(family: str, expected: dict[tuple[int, int], int]) -> None:
    assert Counter(attention_shapes(family).values()) == expected


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a family among sdxl, sd15, koala, flux, found 'sdx'"):
        attention_shapes("sdx")


def test_synthetic_loras_are_seeded() -> None:
    first, again, other = (synthetic_lora("sd15", 1, seed) for seed in (0, 0, 1))
    layer = next(iter(first.layers))
    factors = [lora.layers[layer] for lora in (first, again, other)]
    assert all(isinstance(f, LowRank) and f.B.dtype == torch.float16 for f in factors)
    assert torch.equal(factors[0].delta(), factors[1].delta())
    assert not torch.equal(factors[0].delta(), factors[2].delta())
    assert first.family == "sd15"


@pytest.fixture
def pair() -> list[LoRA]:
    return [two_block_lora(2, 0.5, seed=1), two_block_lora(3, 1.5, seed=77)]


@pytest.fixture
def network() -> PaperHypernetwork:
    torch.manual_seed(0)
    return PaperHypernetwork(PaperConfig(widths=(6, 12), hidden=5))


def test_the_dense_formulation_is_the_same_merge(pair: list[LoRA], network: PaperHypernetwork) -> None:
    with torch.no_grad():
        for given, coefficients in ((None, direct(pair)), (network, network(pair))):
            dense, ours = once.dense_merge(pair, given), merge(pair, coefficients)
            for layer, merged in ours.layers.items():
                content, style, found = dense[layer]
                assert_close(found, merged.delta(), rtol=1e-4, atol=1e-5)
                assert_close(content, pair[0].layers[layer].delta())
                assert_close(style, pair[1].layers[layer].delta())


@pytest.mark.parametrize("method", once.METHODS)
def test_one_measurement(pair: list[LoRA], network: PaperHypernetwork, method: str) -> None:
    found = once.measure(pair, method, network if method.endswith("network") else None, "cpu")
    assert set(found) == {"seconds", "coefficient_seconds", "extra_bytes"}
    assert found["seconds"] > 0
    assert (found["coefficient_seconds"] > 0) == (not method.startswith("dense"))


def test_a_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: list[LoRA], network: PaperHypernetwork
) -> None:
    loras = iter(pair)
    monkeypatch.setattr("lorarar.benchmark.merge.synthetic_lora", lambda *_: next(loras))
    results = run_merge_benchmark("sd15", 2, folder=tmp_path, devices=["cpu"], repetitions=1)
    again = json.loads(json.dumps(results))
    cpu = again["devices"]["cpu"]
    assert cpu["every"] == 1
    assert set(cpu["ratios"]) == {"direct", "network"}
    assert cpu["ratios"]["direct"]["seconds"] == pytest.approx(
        cpu["dense direct"]["seconds"] / cpu["direct"]["seconds"]
    )
    assert len(cpu["all"]["network"]) == 1
    process = again["process"]
    assert process["floor"]["times_the_floor"] == 1
    assert all(entry["peak_bytes"] > 1e7 for entry in process.values())
    text = markdown(results)
    for word in (
        "| direct, cpu |",
        "| network, cpu |",
        "| floor |",
        "| lorarar merge --hypernetwork |",
        results["machine"]["torch"],
    ):
        assert word in text


def test_layers_are_thinned_where_dense_deltas_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: list[LoRA]
) -> None:
    loras = iter(pair)
    monkeypatch.setattr("lorarar.benchmark.merge.synthetic_lora", lambda *_: next(loras))
    monkeypatch.setattr("lorarar.benchmark.merge.available_bytes", lambda: 500_000_000)
    monkeypatch.setattr(
        "lorarar.benchmark.merge._once",
        lambda files, method, device, every: {"seconds": 1.0, "coefficient_seconds": 0.0, "extra_bytes": float(every)},
    )
    monkeypatch.setattr("lorarar.benchmark.merge._run", lambda command: {"seconds": 1.0, "peak_bytes": 1.0})
    results = run_merge_benchmark("sd15", 2, folder=tmp_path, devices=["cpu"], repetitions=1)
    # 102 million numbers need 12 bytes each and a fifth more: four times what there is
    assert results["devices"]["cpu"]["every"] == 4
    assert "| direct, cpu, every 4th layer |" in markdown(results)
