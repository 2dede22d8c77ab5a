"""lorarar.training.trainer: finite losses pass, others stop training; step numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lorarar.storage import MissingPackage, Stage
from lorarar.training import trainer
from lorarar.training.trainer import DivergenceError, StepNumbers, check_finite, fit


def test_finite_losses_pass() -> None:
    check_finite({"a": 0.0, "b": 1e30}, step=1, unit="pairs", advice="stop")


def test_a_loss_that_is_not_finite_is_named_with_its_step_and_the_advice() -> None:
    losses = {"a": 1.0, "b": float("nan"), "c": float("inf")}
    with pytest.raises(DivergenceError) as caught:
        check_finite(losses, step=7, unit="concepts", advice="lower recipe.learning_rate")
    assert str(caught.value) == (
        "expected finite losses, found ['inf', 'nan'] at step 7 for concepts ['b', 'c']; the last checkpoint is kept: "
        "lower recipe.learning_rate"
    )


def test_the_command_line_catches_it_as_a_floating_point_error() -> None:
    assert issubclass(DivergenceError, FloatingPointError)


def test_step_numbers_are_counted_in_order() -> None:
    torch.manual_seed(0)
    assert list(DataLoader(StepNumbers(4), batch_size=None)) == [0, 1, 2, 3]
    assert len(StepNumbers(1_000_000)) == 1_000_000


class Line(lightning.LightningModule):
    """A module with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def training_step(self, batch: int, index: int) -> Tensor:
        loss = self.weight.square().sum()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_steps_are_counted_beside_the_loss_and_lightning_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stages: list[Stage] = []
    shown: list[tuple[int, str]] = []

    @contextmanager
    def recorded(name: str, total: int, unit: str) -> Iterator[Stage]:
        stages.append(Stage(name, total, unit))
        monkeypatch.setattr(stages[-1], "show", lambda: shown.append((stages[-1].done, stages[-1].note)))
        yield stages[-1]

    monkeypatch.setattr(trainer, "progress", recorded)
    monkeypatch.setattr(trainer, "_EVERY", 2)
    monkeypatch.setattr(trainer, "say_device", lambda *_: None)
    fit(Line(), steps=3, folder=tmp_path, accelerator="cpu", checkpoint_every=3, stage="train a line")
    assert shown == [(0, ""), (1, ""), (2, "loss 0.64"), (3, "loss 0.4096")]
    assert str(stages[0]) == "train a line: 3/3 steps, loss 0.4096"
    shown.clear()
    fit(Line(), steps=5, folder=tmp_path, accelerator="cpu", checkpoint_every=3)  # resumes: the steps before count
    assert [done for done, _ in shown] == [3, 4, 5]
    assert capfd.readouterr() == ("", "")


def test_where_and_in_which_dtype_it_trains_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    trainer.say_device.cache_clear()
    result = fit(Line(), steps=1, folder=tmp_path, dtype="bf16")
    assert capsys.readouterr().err == "device: cpu, dtype: bf16\n"
    assert result.precision == "bf16-mixed"


@pytest.mark.parametrize("settings", [{"dtype": "fp16"}, {"strategy": "fsdp"}])
def test_what_needs_cuda_is_refused_on_a_cpu(settings: dict[str, str], tmp_path: Path) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"expected a CUDA device for `{name}='{value}'`, found cpu"):
        fit(Line(), steps=1, folder=tmp_path, accelerator="cpu", **settings)  # type: ignore[arg-type]


def test_without_bitsandbytes_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(MissingPackage, match=r"bitsandbytes for recipe.eight_bit=true.*'lorarar\[adam8bit\]'"):
        trainer.adamw([torch.nn.Parameter(torch.ones(1))], 1e-3, 0.0, eight_bit=True)


@pytest.mark.gpu
def test_in_fp16_the_gradient_is_clipped_without_its_scale(tmp_path: Path) -> None:
    class Clipped(Line):
        norms: list[float] = []  # noqa: RUF012

        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: int, index: int) -> None:  # type: ignore[override]
            optimiser = trainer.manual_optimiser(self)
            optimiser.zero_grad()
            self.manual_backward(self.weight.square().sum())
            optimiser.step()

        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            self.norms.append(float(self.weight.grad.norm()))  # type: ignore[union-attr]

    module = Clipped()
    fit(module, steps=1, folder=tmp_path, accelerator="cuda", dtype="fp16")
    assert module.norms == [2.0]
    assert float(module.weight) == pytest.approx(0.8)


def test_a_device_that_is_absent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="expected a device of this machine .*, found 'cuda'"):
        fit(Line(), steps=1, folder=tmp_path, accelerator="cuda")
