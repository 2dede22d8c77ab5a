"""lorarar.benchmark.speed.merge, once, synthetic, floor: shapes of models, dense merges equal to ours, all numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from lorarar.benchmark.speed import floor, once
from lorarar.benchmark.speed.launch import run_launched
from lorarar.benchmark.speed.merge import merge_table, run_merge_benchmark
from lorarar.benchmark.speed.synthetic import attention_shapes, synthetic_lora
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.methods.direct import direct
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
            dense, ours = once.dense_merge(pair, given), merge_exactly(pair, coefficients)
            for layer, merged in ours.layers.items():
                content, style, found = dense[layer]
                assert_close(found, merged.delta(), rtol=1e-4, atol=1e-5)
                assert_close(content, pair[0].layers[layer].delta())
                assert_close(style, pair[1].layers[layer].delta())


@pytest.mark.parametrize("method", once.METHODS)
def test_one_measurement(pair: list[LoRA], network: PaperHypernetwork, method: str) -> None:
    found = once.measure_merge(pair, method, network if method.endswith("network") else None, "cpu")
    assert set(found) == {"seconds", "coefficient_seconds", "extra_bytes"}
    assert found["seconds"] > 0
    assert (found["coefficient_seconds"] > 0) == (not method.startswith("dense"))


@pytest.mark.slow
def test_a_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: list[LoRA], network: PaperHypernetwork
) -> None:
    loras, commands = iter(pair), []

    def run(command: list[str]) -> dict[str, float]:
        commands.append(command)
        return {"seconds": float(len(command)), "peak_bytes": 5e7}

    monkeypatch.setattr("lorarar.benchmark.speed.merge.synthetic_lora", lambda *_: next(loras))
    monkeypatch.setattr("lorarar.benchmark.speed.merge.run_launched", run)
    results = run_merge_benchmark("sd15", 2, folder=tmp_path, devices=["cpu"], repetitions=1)
    again = json.loads(json.dumps(results))
    cpu = again["devices"]["cpu"]
    assert cpu["every"] == 1
    assert set(cpu["ratios"]) == {"direct", "network"}
    assert cpu["ratios"]["direct"]["seconds"] == pytest.approx(
        cpu["dense direct"]["seconds"] / cpu["direct"]["seconds"]
    )
    assert len(cpu["all"]["network"]) == 1
    ends = [command[-2:] for command in commands]
    assert len(ends) == 6  # once to warm up, once measured
    assert ends[1:3] == ends[4:] == [["--merger", "direct"], ["--network", str(tmp_path / "network.safetensors")]]
    assert again["process"]["floor"]["times_the_floor"] == 1
    assert again["process"]["lorarar merge --merger direct"]["times_the_floor"] > 1
    text = merge_table(results)
    for word in ("| direct, cpu |", "| network, cpu |", "| floor |", results["machine"]["torch"]):
        assert word in text


@pytest.mark.slow
@pytest.mark.parametrize("format", ["kohya", "diffusers"])
def test_the_floor_writes_the_sum(tmp_path: Path, pair: list[LoRA], format: str) -> None:
    scaled = [LoRA({la: replace(f, scale=1.0) for la, f in lora.layers.items()}) for lora in pair]
    paths = [tmp_path / f"{name}.safetensors" for name in ("a", "b", "out")]
    for lora, path in zip(scaled, paths[:2], strict=True):
        save(lora, path, format=format, dtype=torch.float32)  # type: ignore[arg-type]
    found = run_launched([sys.executable, str(floor.__file__), *map(str, paths)])
    assert found["peak_bytes"] > 5e7
    for layer, merged in load(paths[2]).layers.items():
        expected = scaled[0].layers[layer].delta() + scaled[1].layers[layer].delta()
        assert_close(merged.delta(), expected, rtol=1e-4, atol=1e-5)


def test_a_failed_process_gives_no_measurement() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_launched([sys.executable, "-c", "raise SystemExit(3)"])


def test_layers_are_thinned_where_dense_deltas_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: list[LoRA]
) -> None:
    loras = iter(pair)
    monkeypatch.setattr("lorarar.benchmark.speed.merge.synthetic_lora", lambda *_: next(loras))
    monkeypatch.setattr("lorarar.benchmark.speed.merge.available_bytes", lambda: 400_000_000)
    monkeypatch.setattr(
        "lorarar.benchmark.speed.merge._once",
        lambda files, method, device, every: {"seconds": 1.0, "coefficient_seconds": 0.0, "extra_bytes": float(every)},
    )
    monkeypatch.setattr(
        "lorarar.benchmark.speed.merge.run_launched", lambda command: {"seconds": 1.0, "peak_bytes": 1.0}
    )
    results = run_merge_benchmark("sd15", 2, folder=tmp_path, devices=["cpu"], repetitions=1)
    # 93.5 million numbers need 12 bytes each, which may be four fifths of the memory: 3.5 times what there is
    assert results["devices"]["cpu"]["every"] == 4
    assert "| direct, cpu, every 4th layer |" in merge_table(results)
