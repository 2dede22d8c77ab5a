"""Files of learned mergers: safetensors, with the kind and the configuration in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lorarar.formats import read_tensor_file, write_tensors
from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger
from lorarar.hypernetwork.layerwise import LayerwiseConfig, LayerwiseHypernetwork
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.hypernetwork.released import is_pickled, load_official
from lorarar.lora import LoRA
from lorarar.storage import RENAMED_MERGERS, FormatError, lorarar_version, sha256

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


@dataclass(frozen=True, eq=False)
class Network:
    """A learned merger, loaded once from its file.

    Attributes:
        module: The merger on the CPU, in evaluation mode: call it on LoRAs to get coefficients.
        kind: A key of `KINDS`.
        file: Where it was read from.
        sha256: Of the file's bytes.
        metadata: How the file says that it was made; empty for LoRA.rar's released files.
    """

    module: nn.Module
    kind: str
    file: Path
    sha256: str
    metadata: Mapping[str, str]

    def predicted(self, loras: Sequence[LoRA]) -> list[str]:
        """Return the layers whose coefficients it predicts; the others get its fixed ones."""
        layers: list[str] = self.module.predicted(loras)  # type: ignore[operator]
        return layers


def load_network(path: str | Path) -> Network:
    """Read a learned merger: a file that lorarar's training wrote, or one of LoRA.rar's released ones.

    Raises:
        FormatError: The file is missing or damaged, is not a learned merger, or is of a kind or configuration that this
            version does not know.
    """
    path = Path(path)
    if is_pickled(path):
        return Network(load_official(path), "paper", path, sha256(path), {})
    contents = read_tensor_file(path)
    header = contents.header
    if HEADER_KEY not in header:
        raise FormatError(
            f"{path} is no learned merger: its header lacks {HEADER_KEY!r} (it holds {len(contents.tensors)} tensors, "
            f"first {sorted(contents.tensors)[:3]}): give a file that lorarar's training wrote"
        )
    try:
        module = _build(json.loads(header[HEADER_KEY]))
        module.load_state_dict(contents.tensors)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise FormatError(
            f"{path} cannot be read as a learned merger: {error}: update lorarar, or train again"
        ) from error
    metadata = {key: value for key, value in header.items() if key not in (HEADER_KEY, "format")}
    return Network(module.eval(), _kind(module), path, contents.sha256, metadata)


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
