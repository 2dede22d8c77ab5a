"""Conversion of one LoRA file into another: dialect, precision, rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorarar.formats.loading import load
from lorarar.formats.metadata import OWN, metadata_for
from lorarar.formats.tensor_files import HASH_KEY
from lorarar.formats.verification import Checked, check_written
from lorarar.formats.writing import Format, check_lora_target, save
from lorarar.lora import LoRA, TruncationLoss, relative_error, torch_dtype, truncate_lora
from lorarar.storage import printable

# Header fields about the layout of the old file. Writing adds those of the new file.
_LAYOUT_FIELDS = {
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
    "sshs_model_hash",
    "sshs_legacy_hash",
    "modelspec.implementation",
    HASH_KEY,
}


@dataclass(frozen=True, eq=False)
class Conversion:
    """Result of a conversion.

    Attributes:
        files: The written files; the weights come first.
        lora: The LoRA before rounding to the dtype of the file.
        losses: Truncation loss of each layer; empty without truncation.
        checked: The file as it was read again.
    """

    files: tuple[Path, ...]
    lora: LoRA
    losses: Mapping[str, TruncationLoss]
    checked: Checked

    def text(self) -> str:
        """Return what was written, and what it holds when it is read again."""
        return f"{self._written()}\n{self.checked.text()}"

    def _written(self) -> str:
        line = printable(f"written: {', '.join(map(str, self.files))}: {len(self.lora.layers)} layers")
        if not self.losses:
            return line
        worst = max(self.losses, key=lambda layer: self.losses[layer].relative)
        return (
            f"{line}, truncated with relative error {relative_error(self.losses.values()):.3g}, at most "
            f"{self.losses[worst].relative:.3g} in a layer ({printable(worst)})"
        )


def convert_file(
    source: str | Path,
    output: str | Path,
    *,
    format: Format | None = None,
    dtype: str = "fp16",
    rank: int | None = None,
    energy: float | None = None,
    base: str | Path | None = None,
    force: bool = False,
) -> Conversion:
    """Rewrite a LoRA file in another dialect and keep its metadata.

    Args:
        source: A LoRA file of any supported dialect.
        output: The file to write.
        format: A dialect as `lorarar.formats.save` takes it; None for the one that most tools read for the family.
        dtype: "fp16", "bf16" or "fp32", the dtype of the weights in the new file.
        rank: Largest rank of a layer. Full-rank layers become low-rank too.
        energy: Share of each layer's squared norm to keep, instead of a rank.
        base: The base model, for DoRA, IA3, OFT and GLoRA.
        force: Whether to replace existing files.

    Raises:
        FormatError: The file cannot be read or written, the dialect cannot hold a layer, or the new file holds other
            deltas when it is read again.
        ValueError: The rank or energy is out of range, both are given, or the dtype is unknown.
    """
    file_dtype = torch_dtype(dtype)
    check_lora_target(Path(output), format, force, [source, *([base] if base else [])])
    lora = load(source, base=base)
    losses: dict[str, TruncationLoss] = {}
    if rank is not None or energy is not None:
        lora, losses = truncate_lora(lora, rank=rank, energy=energy)
    header = _header(lora, losses, format)
    files = save(replace(lora, metadata={}), output, format=format, dtype=file_dtype, metadata=header, force=force)
    return Conversion(tuple(files), lora, losses, check_written(files[0], lora))


def _header(lora: LoRA, losses: Mapping[str, TruncationLoss], format: Format | None) -> dict[str, str]:
    """Return the metadata of the file, which still holds the same LoRA, without the fields of the old layout."""
    details: dict[str, Any] = {"converted_from": {"name": lora.name, "sha256": lora.sha256}}
    if losses:
        details["truncation_error"] = relative_error(losses.values())
    stale = _LAYOUT_FIELDS | {OWN + name for name in details}
    kept = {key: value for key, value in lora.metadata.items() if key not in stale}
    return {**metadata_for(lora, details=details, title=Path(lora.name).stem, format=format), **kept}
