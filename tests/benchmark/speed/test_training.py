"""lorarar.benchmark.speed.training: measurements, their inputs and their table; cases and machine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from lorarar.benchmark.speed import training
from lorarar.benchmark.speed.cases import attention_layers, load_case
from lorarar.benchmark.speed.machine import held_bytes, peak_bytes
from lorarar.benchmark.speed.training import (
    FORMULATIONS,
    TrainingSpeedConfig,
    difference,
    run_training_benchmark,
    training_table,
)
from lorarar.cli.main import main as lorarar
from lorarar.training.pairs import PairBatch

SMALL = TrainingSpeedConfig(pairs=1, images=1, repetitions=2, processes=1)


@pytest.mark.slow
def test_a_run_on_the_embedded_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_extra_bytes", lambda config, kind: {"ours": 40, "released": 100}[kind])
    found = run_training_benchmark(SMALL)
    again = json.loads(json.dumps(found))
    assert again["ratios"]["extra_bytes"] == 2.5
    assert again["ratios"]["seconds"] == pytest.approx(again["released"]["seconds"] / again["ours"]["seconds"])
    assert {kind: len(again["all"]["seconds"][kind]) for kind in FORMULATIONS} == dict.fromkeys(FORMULATIONS, 2)
    assert again["released"]["loss"] == pytest.approx(again["ours"]["loss"], rel=1e-5)
    assert 0 < again["gradient_difference"] < 1e-4
    assert again["machine"]["threads"] == 1
    assert again["seconds_to_densify"] > 0
    text = training_table([found])
    assert "| embedded | 1 x 1 | no |" in text
    assert "| 2.50 |" in text


def test_a_formulation_that_computes_something_else_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    right = training.released_losses

    def other(backbone: Any, pairs: list[PairBatch], *rest: Any, **more: Any) -> dict[str, float]:
        swapped = [replace(pair, content=pair.style, style=pair.content) for pair in pairs]
        return right(backbone, swapped, *rest, **more)

    monkeypatch.setattr(training, "released_losses", other)
    monkeypatch.setattr(training, "_extra_bytes", lambda config, kind: 1)
    assert run_training_benchmark(replace(SMALL, repetitions=1))["gradient_difference"] > 1e-2


def test_the_difference_is_relative_to_the_released() -> None:
    assert difference(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])) == pytest.approx(0.2)


@pytest.mark.slow
def test_ours_takes_no_more_memory() -> None:
    ours, released = (training._extra_bytes(SMALL, kind) for kind in FORMULATIONS)
    assert 1e6 < ours < released


@pytest.mark.slow
def test_peaks_start_from_now_and_are_the_process_own() -> None:
    big = bytearray(b"x") * 300_000_000  # what getrusage would hand on to a child
    code = [
        "from lorarar.benchmark.speed.machine import held_bytes, peak_bytes",
        "before = held_bytes('cpu')",
        "block = bytearray(b'x') * 50_000_000",
        "del block",
        "print(before, peak_bytes('cpu') - before)",
    ]
    run = [sys.executable, "-c", "; ".join(code)]
    held, extra = map(int, subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout.split())
    assert 4.9e7 < extra < 6e7  # the kernel counts in batches of pages
    del big
    before = held_bytes("cpu")
    assert before > 0
    assert abs(peak_bytes("cpu") - before) < 5e7
    assert held > 0


def test_random_sdxl_has_its_layers() -> None:
    from diffusers import UNet2DConditionModel

    from lorarar.benchmark.size import SDXL_UNET
    from lorarar.benchmark.speed.synthetic import attention_shapes

    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL_UNET)
    assert sum(p.numel() for p in unet.parameters()) == 2_567_463_684
    assert attention_layers(unet) == attention_shapes("sdxl")


def test_the_embedded_pairs_share_no_concept() -> None:
    pairs = load_case(pairs=2).batches(3)
    names = [name for pair in pairs for name in pair.name.split("+")]
    assert len(set(names)) == 4
    assert all(name.startswith("validation") for name in names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--base", "./nowhere"], "expected a diffusers model"),
        (["--dtype", "int8"], "expected a dtype among fp16, bf16, fp32, found 'int8'"),
        (["--pairs", "1000"], "pairs, as many as there are concepts, found 1000"),
    ],
)
def test_wrong_arguments_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lorarar(["benchmark", "training", *words]) in (1, 2)
    assert message in capsys.readouterr().err


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("lorarar.benchmark.speed.run_training_benchmark", lambda config: {"config": repr(config)})
    words = ["benchmark", "training", "--pairs", "3", "--gradient-checkpointing", "--json"]
    assert lorarar(words) == 0
    config = TrainingSpeedConfig(pairs=3, gradient_checkpointing=True)
    assert json.loads(capsys.readouterr().out) == {"config": repr(config)}
