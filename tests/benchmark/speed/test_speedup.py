"""lorarar.benchmark.speed.speedup: the same steps as the trainer's, operations counted by hand, the arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lorarar.benchmark.speed.cases import SpeedCase, load_case
from lorarar.benchmark.speed.speedup import (
    SpeedupConfig,
    operations,
    pass_operations,
    run_speedup_benchmark,
    speedup_table,
    steps_of,
)
from lorarar.benchmark.speed.training import _Bare
from lorarar.cli.main import main
from lorarar.mergers.optimised.ziplora import ZIPLORA
from lorarar.training.pairs import PairData


@pytest.fixture
def case(base: Path) -> SpeedCase:
    return load_case(str(base))


def test_the_steps_are_those_of_the_trainer(case: SpeedCase) -> None:
    method = replace(ZIPLORA, weights=replace(ZIPLORA.weights, similarity=0.1))
    merger = method.initial(case.batches(0)[0].loras)
    module = _Bare(merger, case.backbone, cast(PairData, None), method.recipe, method.weights)
    optimiser = module.configure_optimizers()
    losses = []
    for step in range(3):
        optimiser.zero_grad()
        losses.append(module.losses(case.batches(step), backward=True)["loss"])
        nn.utils.clip_grad_norm_(merger.parameters(), 1.0)
        optimiser.step()
    found = [(merger.values.detach().clone(), loss) for merger, loss in steps_of(case, method, 3)]
    assert torch.equal(found[0][0], torch.ones_like(found[0][0]))
    assert [loss for _, loss in found[1:]] == pytest.approx(losses, rel=1e-5)
    assert_close(found[-1][0], merger.values.detach(), rtol=1e-4, atol=1e-5)
    assert (found[-1][0] - 1).abs().max() > 0.02


def test_each_step_sees_its_own_draw(case: SpeedCase) -> None:
    losses = [loss for _, loss in islice(steps_of(case, ZIPLORA, 2), 1, None)]
    noisy = [case.batches(step)[0].content.noisy for step in (0, 1)]
    assert not torch.equal(*noisy)
    assert losses[0] != losses[1]


def test_operations_are_two_a_multiply_add() -> None:
    linear = nn.Linear(3, 5)
    assert operations(lambda: linear(torch.zeros(7, 3))) == 2 * 3 * 5 * 7


def test_a_pass_is_counted_as_it_is_computed(case: SpeedCase) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    drawn = case.batches(0)[0].content
    with sdpa_kernel(SDPBackend.MATH):  # the counter knows no fused attention of a CPU
        real = operations(lambda: case.backbone.predict(drawn.noisy, drawn.timesteps, drawn.conditioning))
    assert pass_operations(case) == real > 1e7


def test_a_run_on_the_embedded_base() -> None:
    found = json.loads(json.dumps(run_speedup_benchmark(SpeedupConfig(steps=3, repetitions=2))))
    single, arithmetic = found["all"], found["arithmetic"]
    assert [len(single[key]) for key in ("paper", "ours", "pass", "step", "start")] == [2, 2, 2, 3, 1]
    assert arithmetic["seconds"] == pytest.approx(100 * 6 * found["pass"]["seconds"])
    assert found["ziplora"]["seconds"] == pytest.approx(single["start"][0] + sum(single["step"]) / 3 * 100)
    assert arithmetic["measured_over_it"] == pytest.approx(found["ziplora"]["seconds"] / arithmetic["seconds"])
    for network in found["networks"].values():
        assert network["times_faster"] == pytest.approx(found["ziplora"]["seconds"] / network["seconds"])
        assert 0 < network["operations"] < found["pass"]["operations"]
    text = speedup_table(found)
    for words in (
        "| network, paper |",
        "| network, ours |",
        "| ZipLoRA, 3 of 100 steps taken |",
        "100 steps x 6 passes",
    ):
        assert words in text


def test_without_steps_there_is_the_arithmetic(base: Path) -> None:
    found = run_speedup_benchmark(SpeedupConfig(base=str(base), steps=0, repetitions=1, gradient_checkpointing=True))
    assert found["ziplora"] == {
        "seconds": pytest.approx(800 * found["pass"]["seconds"]),
        "step_seconds": None,
        "first_losses": None,
        "last_losses": None,
    }
    assert "ZipLoRA, not run: arithmetic only" in speedup_table(found)


@pytest.mark.parametrize(("words", "wrong"), [(["--steps", "101"], "101"), (["--repetitions", "0"], "0")])
def test_wrong_numbers_are_refused(words: list[str], wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "speedup", *words]) == 1
    error = capsys.readouterr().err
    assert "expected 0 to 100 steps and at least one repetition" in error
    assert wrong in error


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("lorarar.benchmark.speed.run_speedup_benchmark", lambda config: {"config": repr(config)})
    assert main(["benchmark", "speedup", "--steps", "7", "--device", "cuda", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"config": repr(SpeedupConfig(steps=7, device="cuda"))}
