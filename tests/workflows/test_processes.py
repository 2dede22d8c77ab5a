"""lorarar train with two processes (gloo): the merger of one process with twice the pairs, resumed too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from torch.testing import assert_close

from lorarar import save
from lorarar.lora.lora import LoRA

STEPS = 12


@pytest.fixture
def config(base: Path, folder: Path, loras: dict[str, LoRA], tmp_path: Path) -> Path:
    (tmp_path / "loras").mkdir()
    for name, lora in loras.items():
        save(lora, tmp_path / "loras" / f"{name}.safetensors", dtype="fp32")
    settings: dict[str, Any] = {
        "base": str(base),
        "manifests": [str(folder / "concepts.yaml")],
        "images": str(folder / "images"),
        "splits": str(folder / "concepts.yaml"),
        "split": "tiny",
        "loras": str(tmp_path / "loras"),
        "runs": str(tmp_path / "runs"),
        "merger": "layerwise",
        "options": {"width": 8},
        "recipe": {"steps": STEPS, "learning_rate": 1e-2},
        "loss_weights": {},
        "weight_jitter": 0.3,
        "validate_every": 3,
        "wandb": "disabled",
        "device": "cpu",
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def command(config: Path, *settings: str) -> list[str]:
    return [sys.executable, "-m", "lorarar.cli", "train", str(config), *settings]


def train(config: Path, *settings: str) -> None:
    done = subprocess.run(command(config, *settings), capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert "arning" not in done.stderr


def train_and_kill(config: Path, checkpoint: Path, *settings: str) -> None:
    """Kill all processes of a training once there is a checkpoint."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command(config, *settings), start_new_session=True, **quiet) as started:  # type: ignore[call-overload]
        while not checkpoint.exists() and started.poll() is None:
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    assert checkpoint.exists()


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_pairs_resumed_too(config: Path, tmp_path: Path) -> None:
    runs = {name: f"runs={tmp_path / name}" for name in ("one", "two", "parts")}
    train(config, runs["one"], "pairs=4")
    train(config, runs["two"], "pairs=2", "devices=2")
    parts_of_a_step = (runs["parts"], "pairs=2", "devices=2", "accumulate=2", f"latents={tmp_path / 'latents'}")
    train_and_kill(config, tmp_path / "parts" / "last.ckpt", *parts_of_a_step)
    train(config, *parts_of_a_step)
    one, two, parts = (load_file(tmp_path / name / "merger.safetensors") for name in runs)
    assert_close(two, one, rtol=1e-4, atol=1e-5)
    assert_close(parts, one, rtol=1e-4, atol=1e-5)
