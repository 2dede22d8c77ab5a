"""Files of learned mergers: safetensors, with the kind and the configuration in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lorarar.formats import read_tensors, write_tensors
from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger
from lorarar.hypernetwork.layerwise import LayerwiseConfig, LayerwiseHypernetwork
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.hypernetwork.released import is_pickled, load_official
from lorarar.storage import RENAMED_MERGERS, FormatError, lorarar_version

HEADER_KEY = "lorarar_merger"

# kind -> (class, configuration); a further learned merger is one more line.
KINDS: Mapping[str, tuple[type[nn.Module], type[Any]]] = {
    "paper": (PaperHypernetwork, PaperConfig),
    "layerwise": (LayerwiseHypernetwork, LayerwiseConfig),
    "constant": (ConstantMerger, ConstantConfig),
}


def save_merger(
    merger: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None, *, force: bool = False
) -> None:
    """Writes weights and configuration, nothing else, atomically.

    Args:
        merger: An instance of one of `KINDS`.
        path: The safetensors file.
        metadata: How the merger was made.
        force: Whether an existing file may be replaced.

    Raises:
        FormatError: The file exists and force is False, or it cannot be written.
        ValueError: The merger is of no known kind.
    """
    description = json.dumps({"kind": _kind(merger), "config": asdict(merger.config)}, sort_keys=True)  # type: ignore[call-overload]
    header = {**(metadata or {}), HEADER_KEY: description, "lorarar_version": lorarar_version(), "format": "pt"}
    write_tensors(path, merger.state_dict(), header, force=force)


def load_merger(path: str | Path) -> nn.Module:
    """Reads a learned merger, on the CPU, ready to call on LoRAs: a file of ours, or one of LoRA.rar's released ones.

    Raises:
        FormatError: The file is missing or damaged, is no learned merger, or is of a kind or configuration that this
            version does not know.
    """
    if is_pickled(path):
        return load_official(path)
    tensors, header = read_tensors(path)
    if HEADER_KEY not in header:
        raise FormatError(
            f"{path} is no learned merger: its header lacks {HEADER_KEY!r} (it holds {len(tensors)} tensors, first "
            f"{sorted(tensors)[:3]}): give a file that lorarar's training wrote"
        )
    try:
        merger = _build(json.loads(header[HEADER_KEY]))
        merger.load_state_dict(tensors)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise FormatError(
            f"{path} cannot be read as a learned merger: {error}: update lorarar, or train again"
        ) from error
    return merger.eval()


def merger_kind(path: str | Path) -> str:
    """The kind of a merger's file, a key of `KINDS`.

    Raises:
        FormatError: As `load_merger`.
    """
    return _kind(load_merger(path))


def merger_metadata(path: str | Path) -> dict[str, str]:
    """How a merger's file says it was made; a released file says nothing.

    Raises:
        FormatError: As `load_merger` for a missing or damaged file.
    """
    if is_pickled(path):
        return {}
    return {key: value for key, value in read_tensors(path)[1].items() if key not in (HEADER_KEY, "format")}


def _kind(merger: nn.Module) -> str:
    for kind, (cls, config) in KINDS.items():
        if type(merger) is cls and is_dataclass(config):
            return kind
    raise ValueError(f"expected a learned merger of kind {', '.join(KINDS)}, found {type(merger).__name__}")


def _build(description: Mapping[str, Any]) -> nn.Module:
    kind = RENAMED_MERGERS.get(description["kind"], description["kind"])
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not among {', '.join(KINDS)}")
    cls, config = KINDS[kind]
    # JSON has no tuples.
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in description["config"].items()}
    return cls(config(**values))
