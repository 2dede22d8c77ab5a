"""lorarar.lora.devices: "auto" takes the best device; a device that is absent is refused with what there is."""

from __future__ import annotations

import pytest
import torch

from lorarar.lora import available_devices, pick_device


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """Pretend to have GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected", "without_mps"),
    [(0, False, "cpu", "cpu"), (0, True, "mps", "cpu"), (2, False, "cuda", "cuda"), (1, True, "cuda", "cuda")],
)
def test_auto_takes_the_best_device(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, expected: str, without_mps: str
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert pick_device() == torch.device(expected) == pick_device("auto")
    assert pick_device(mps=False) == torch.device(without_mps)
    assert available_devices()[0] == expected


def test_a_name_takes_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2, mps=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert str(pick_device(name)) == name
    assert pick_device(torch.device("cuda:0")) == torch.device("cuda:0")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda", r"a device of this machine \(mps, cpu\), found 'cuda', .*: use `device=\"auto\"`, or install"),
        ("cuda:1", r"a device of this machine \(mps, cpu\), found 'cuda:1'"),
        ("gpu", r"a device among auto, cpu, cuda, mps, found 'gpu': name one of these"),
        ("meta", r"a device among auto, cpu, cuda, mps, found 'meta'"),
    ],
)
def test_another_device_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    machine(monkeypatch, mps=True)
    with pytest.raises(ValueError, match=message):
        pick_device(name)


def test_a_number_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2)
    with pytest.raises(ValueError, match=r"among cuda:0 \.\. cuda:1, found 'cuda:2': name one of these"):
        pick_device("cuda:2")
