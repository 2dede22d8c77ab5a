"""Checkpoints: files of learned mergers, safetensors with the kind and the configuration in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lorarar.formats import NETWORK_KEY, TensorFile, read_tensor_file, write_tensors
from lorarar.hypernetwork.kinds import NETWORK_KINDS
from lorarar.hypernetwork.released import is_pickled, load_released
from lorarar.hypernetwork.training_range import TrainingRange, read_range
from lorarar.lora import LoRA
from lorarar.storage import RENAMED_MERGERS, FormatError, lorarar_version, plugins_in, sha256, with_plugins


def save_merger(
    merger: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None, *, force: bool = False
) -> None:
    """Write the weights and the configuration of a learned merger, atomically.

    Args:
        merger: An instance of a class in `lorarar.hypernetwork.NETWORK_KINDS`.
        path: The safetensors file.
        metadata: How the merger was made.
        force: Whether an existing file may be replaced.

    Raises:
        FormatError: The file exists and force is False, or it cannot be written.
        ValueError: The merger is of another class.
    """
    kind = _kind(merger)
    config: Any = merger.config
    description = json.dumps({"kind": kind, "config": asdict(config)}, sort_keys=True)
    header = {**(metadata or {}), NETWORK_KEY: description, "lorarar_version": lorarar_version(), "format": "pt"}
    header = with_plugins(header, NETWORK_KINDS.plugins([kind]))
    write_tensors(path, merger.state_dict(), header, force=force)


@dataclass(frozen=True, eq=False)
class Network:
    """A learned merger, loaded once from its file.

    Attributes:
        module: The merger in evaluation mode, on the CPU when loaded: a call on LoRAs returns coefficients.
        kind: A name in `lorarar.hypernetwork.NETWORK_KINDS`.
        file: The file.
        sha256: SHA-256 of the file's bytes.
        metadata: Header of the file, which says how the merger was made; empty for released files of LoRA.rar.
    """

    module: nn.Module
    kind: str
    file: Path
    sha256: str
    metadata: Mapping[str, str]

    @property
    def trained_on(self) -> TrainingRange | None:
        """What it saw in training, as its header states it; None where the header does not say."""
        return read_range(self.metadata)

    def predicted(self, loras: Sequence[LoRA]) -> list[str]:
        """Return the layers whose coefficients the merger predicts; the others get its fixed coefficients."""
        layers: list[str] = self.module.predicted(loras)  # type: ignore[operator]
        return layers


def load_network(path: str | Path) -> Network:
    """Read a learned merger: a file that lorarar's training wrote, or one that the authors of LoRA.rar released.

    Raises:
        FormatError: The file is missing or damaged, is not a learned merger, or is of a kind or configuration that this
            version does not know.
    """
    path = Path(path)
    try:
        contents = read_tensor_file(path)
    except FormatError:
        if is_pickled(path):
            return Network(load_released(path), "paper", path, sha256(path), {})
        raise
    module = _load_module(path, contents)
    metadata = {key: value for key, value in contents.header.items() if key not in (NETWORK_KEY, "format")}
    return Network(module.eval(), _kind(module), path, contents.sha256, metadata)


def _load_module(path: Path, contents: TensorFile) -> nn.Module:
    if NETWORK_KEY not in contents.header:
        raise FormatError(
            f"{path} is not a learned merger: expected {NETWORK_KEY!r} in its header, found {len(contents.tensors)} "
            f"tensors, first {sorted(contents.tensors)[:3]}: give a file that lorarar's training wrote"
        )
    try:
        module = _build(json.loads(contents.header[NETWORK_KEY]))
        module.load_state_dict(contents.tensors)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        plugins = ", ".join(plugins_in(contents.header))
        advice = f"load the plugin that trained it ({plugins})" if plugins else "update lorarar, or train again"
        raise FormatError(f"{path} cannot be read as a learned merger: {error}: {advice}") from error
    return module


def _kind(merger: nn.Module) -> str:
    # The package's own kinds come first, so that saving one of them loads no plugin.
    for kind in NETWORK_KINDS.values():
        if type(merger) is kind.load().module:
            return kind.name
    raise ValueError(f"expected a learned merger of kind {', '.join(NETWORK_KINDS)}, found {type(merger).__name__}")


def _build(description: Mapping[str, Any]) -> nn.Module:
    """Return an untrained merger of the kind and configuration that a header states."""
    kind = RENAMED_MERGERS.get(description["kind"], description["kind"])
    parts = NETWORK_KINDS.find(kind).load()
    # JSON has no tuples.
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in description["config"].items()}
    return parts.module(parts.config(**values))
