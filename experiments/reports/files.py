"""Inputs of the cases: small LoRA files as the reports describe them, and what the software makes of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import lorarar
from lorarar.formats.reading import read_stored
from lorarar.storage import FormatError

Tensors = dict[str, Tensor]
FOLDER = Path(tempfile.mkdtemp(prefix="reports_"))
RANDOM = torch.Generator().manual_seed(0)
Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"  # 320 x 320 in Stable Diffusion 1
K = Q[:-1] + "k"
UP = "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"  # 1280 x 1280


class Outcome(NamedTuple):
    """What a case came to.

    Attributes:
        verdict: "right", "told" (read, with a warning that says so), "refused" (by name), "unclear" (refused, without
            the reason) or "wrong".
        evidence: A number or the message.
    """

    verdict: str
    evidence: str


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=RANDOM) * 0.1


def peft(stem: str, out: int = 320, width: int = 320, rank: int = 4, adapter: str = "") -> Tensors:
    """Return factors under peft's names."""
    return {f"{stem}.lora_A{adapter}.weight": random(rank, width), f"{stem}.lora_B{adapter}.weight": random(out, rank)}


def kohya(path: str, size: int = 320, rank: int = 4, alpha: float | None = None) -> Tensors:
    """Return factors of a square layer under kohya's names."""
    stem = f"lora_unet_{path.replace('.', '_')}"
    tensors = {f"{stem}.lora_down.weight": random(rank, size), f"{stem}.lora_up.weight": random(size, rank)}
    return tensors if alpha is None else tensors | {f"{stem}.alpha": torch.tensor(alpha)}


def write(name: str, tensors: Mapping[str, Tensor], header: dict[str, str] | None = None, **config: Any) -> Path:
    """Write a file, with adapter_config.json beside it where a configuration is given."""
    folder = Path(tempfile.mkdtemp(dir=FOLDER))
    save_file(dict(tensors), folder / name, header)
    if config:
        known = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": ["to_q"]}
        (folder / "adapter_config.json").write_text(json.dumps(known | config))
    return folder / name


def header_of(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def deltas(source: Any) -> Tensors:
    """Return layer -> delta in float64, of a LoRA or of a file."""
    lora = source if hasattr(source, "layers") else lorarar.load(source)
    return {path: layer.delta().double() for path, layer in lora.layers.items()}


def same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float = 1e-6) -> Outcome:
    """Compare deltas layer by layer."""
    if found.keys() != expected.keys():
        return Outcome("wrong", f"layers {sorted(found)[:2]} instead of {sorted(expected)[:2]}")
    error = max(float((found[key] - expected[key]).norm() / expected[key].norm().clamp_min(1e-12)) for key in found)
    return Outcome("right" if error <= tolerance else "wrong", f"relative error {error:.1e}")


def refused(path: Path, *words: str) -> Outcome:
    """Return whether a file is refused with a message that has these words."""
    try:
        read = read_stored(path)
    except (FormatError, ValueError) as error:
        message = str(error).replace(f"{path}: ", "")
        return Outcome("refused" if all(word in message for word in words) else "unclear", message)
    return Outcome("wrong", f"read as {len(read.layers)} layers: {next(iter(read.layers))}")


def told(path: Path, *words: str) -> Outcome:
    """Return whether a file is read with a warning that has these words."""
    found = " ".join(read_stored(path).warnings)
    return Outcome("told" if all(word in found for word in words) else "wrong", found or "read without a warning")


def plain(path: Path, *layers: str) -> Outcome:
    """Return whether a file is read with these layers."""
    try:
        found = sorted(read_stored(path).layers)
    except (FormatError, ValueError) as error:
        return Outcome("unclear", str(error).replace(f"{path}: ", ""))
    return Outcome("right" if found == sorted(layers) else "wrong", f"read as {found[0]}")


def merge(*sources: Path, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lorarar.merge(*sources, **options)


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    line = [sys.executable, "-m", "lorarar.cli", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def on_disk(path: Path) -> Tensors:
    return load_file(path)


Case = Callable[[], Outcome]
