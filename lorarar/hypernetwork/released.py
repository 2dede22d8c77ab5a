"""Released networks: the hypernetworks of the authors of LoRA.rar, pickled .pth files of six tensors."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.storage import FormatError

_KEYS = {f"{layer}.{part}" for layer in ("input_1", "input_2", "output.1") for part in ("weight", "bias")}
_PICKLE = b"\x80"  # first byte of pickle protocols 2 and later


def is_pickled(path: str | Path) -> bool:
    """Tell from a file's content whether torch.save wrote it."""
    path = Path(path)
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        start = file.read(9)
        return zipfile.is_zipfile(file) or (start[:1] == _PICKLE and start[8:] != b"{")  # safetensors has { there


def load_released(path: str | Path) -> PaperHypernetwork:
    """Read a released checkpoint, recognised by its keys; the coefficient of to_k and to_v is 1, as in the release.

    Raises:
        FormatError: The file is damaged, or is not one of the released networks.

    Reference:
        LoRA.rar, arXiv 2412.05148; github.com/donaldssh/LoRA.rar.
    """
    state = _state(Path(path))
    first = {key: state[f"{key}.weight"] for key in ("input_1", "input_2")}
    hidden = len(first["input_1"])
    widths = {key: weight.shape[1] // 2 for key, weight in first.items()}
    network = PaperHypernetwork(PaperConfig(widths=tuple(widths.values()), hidden=hidden))
    names = {key: f"input.{width}" for key, width in widths.items()} | {"output.1": "output"}
    parts = {key: key.rsplit(".", 1) for key in state}
    try:
        network.load_state_dict({f"{names[layer]}.{part}": state[key] for key, (layer, part) in parts.items()})
    except RuntimeError as error:
        raise FormatError(
            f"expected the shapes of a released network in {path}, found {error}: download the file again"
        ) from error
    return network.eval()


def _state(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):  # its advice is to load pickles that can run code
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise FormatError(
            f"{path} is a pickled file that cannot be read safely ({type(error).__name__}), because a pickle can run "
            f"any code: give a safetensors file that lorarar's training wrote, or one of the released checkpoints"
        ) from error
    keys = set(state) if isinstance(state, dict) else set()
    if keys != _KEYS or any(not isinstance(state[key], Tensor) or not state[key].ndim for key in keys):
        raise FormatError(
            f"{path} is a pickled file, but not a released network of LoRA.rar: expected the keys {sorted(_KEYS)}, "
            f"found {len(keys)}, first {sorted(map(str, keys))[:3]}: give a safetensors file that lorarar's training "
            f"wrote"
        )
    return dict(state)
