"""One LoRA file into another: dialect, precision, rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorarar.formats.loading import load
from lorarar.formats.metadata import OWN, metadata_for
from lorarar.formats.tensor_files import HASH_KEY
from lorarar.formats.writing import Format, save
from lorarar.lora import LoRA, TruncationLoss, relative_error, torch_dtype, truncate_lora
from lorarar.storage import check_target

# What a header says of the old file's layout; the new file says it anew.
_LAYOUT = {
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
    """What a conversion made.

    Args:
        files: The files written; the weights come first.
        lora: What they hold, before rounding to the file's type of number.
        losses: What a truncation removed from each layer; empty without one.
    """

    files: tuple[Path, ...]
    lora: LoRA
    losses: Mapping[str, TruncationLoss]

    def text(self) -> str:
        """A line for people."""
        line = f"written: {', '.join(map(str, self.files))}: {len(self.lora.layers)} layers"
        if not self.losses:
            return line
        worst = max(self.losses, key=lambda layer: self.losses[layer].relative)
        return (
            f"{line}, truncated with relative error {relative_error(self.losses.values()):.3g}, at most "
            f"{self.losses[worst].relative:.3g} in a layer ({worst})"
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
    """Rewrites a LoRA file in another dialect, with the header that it has.

    Args:
        source: A LoRA file of any known dialect.
        output: The file to write.
        format: "kohya", "diffusers" or "peft"; None is what the tools of its family read.
        dtype: "fp16", "bf16" or "fp32", of the weights in the new file.
        rank: Largest rank of a layer; also makes full-rank layers low-rank.
        energy: Share of each layer's squared norm to keep, instead of a rank.
        base: The base model, for DoRA, IA3, OFT and GLoRA.
        force: Whether files may be replaced.

    Raises:
        FormatError: The file cannot be read or written, or the dialect cannot hold a layer.
        ValueError: The rank or energy is out of its range, or both are given, or there is no such dtype.
    """
    written_in = torch_dtype(dtype)
    if format != "peft":  # whose output can be a folder
        check_target(Path(output), force)
    lora = load(source, base=base)
    losses: dict[str, TruncationLoss] = {}
    if rank is not None or energy is not None:
        lora, losses = truncate_lora(lora, rank=rank, energy=energy)
    header = _header(lora, losses, format)
    files = save(replace(lora, metadata={}), output, format=format, dtype=written_in, metadata=header, force=force)
    return Conversion(tuple(files), lora, losses)


def _header(lora: LoRA, losses: Mapping[str, TruncationLoss], format: Format | None) -> dict[str, str]:
    """The file's own words, as it is still the same LoRA, but for those that describe the old layout."""
    details: dict[str, Any] = {"converted_from": {"name": lora.name, "sha256": lora.sha256}}
    if losses:
        details["truncation_error"] = relative_error(losses.values())
    stale = _LAYOUT | {OWN + name for name in details}
    kept = {key: value for key, value in lora.metadata.items() if key not in stale}
    return {**metadata_for(lora, details=details, title=Path(lora.name).stem, format=format), **kept}
