"""Merge LoRA files: read, merge, write, in one call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from lorarar.formats import BaseWeights, Format, load, metadata_for, save, trigger_phrases, write_tensors
from lorarar.lora import LoRA, one_thread, relative_error, summary, torch_dtype
from lorarar.mergers.combination import Merged, combine
from lorarar.mergers.report import Summary, describe, roles, summarise
from lorarar.mergers.table import Optimiser
from lorarar.storage import check_target, sha256

__all__ = ["coefficient_tensors", "describe", "merge_files", "roles"]


def merge_files(
    files: Sequence[Path],
    output: Path,
    *,
    merger: str | None = None,
    hypernetwork: Path | None = None,
    kinds: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    blocks: Mapping[str, Sequence[float]] | None = None,
    text_encoder: Sequence[float] | None = None,
    options: Mapping[str, float] | None = None,
    optimiser: Optimiser | None = None,
    facts: Mapping[str, object] | None = None,
    rank: int | None = None,
    energy: float | None = None,
    base: Path | None = None,
    format: Format | None = None,
    dtype: str = "fp16",
    device: str = "cpu",
    save_coefficients: Path | None = None,
    force: bool = False,
) -> Summary:
    """Merges LoRA files into one ordinary LoRA file.

    Args:
        files: One or more; two are content and style, in this order.
        output: The file to write.
        merger, hypernetwork, kinds, weights, blocks, text_encoder, options, optimiser, rank, energy, device: as
            `lorarar.mergers.combination.combine`.
        facts: Further facts for the file's header, such as what an optimiser holds.
        base: The base model, for files whose delta depends on its weights (DoRA, IA3, OFT, GLoRA).
        format: "kohya", "diffusers" or "peft"; None is what the tools of the LoRAs' family read.
        dtype: "fp16", "bf16" or "fp32", of the weights in the file.
        save_coefficients: Where to write every coefficient that was applied, see `coefficient_tensors`.
        force: Whether files may be replaced.

    Returns:
        What was merged, how, and what was written: plain data, fit for JSON; `describe` makes text of it.

    Raises:
        FormatError: A file cannot be read or written.
        ValueError: The LoRAs do not fit each other or the merger.
    """
    for path in (None if format == "peft" else output, save_coefficients):  # peft's output can be a folder
        if path:
            check_target(path, force)
    if save_coefficients and save_coefficients.resolve() == output.resolve():
        raise ValueError(f"expected two files, found {output} for the merge and for its coefficients: rename one")
    written_in = torch_dtype(dtype)
    start = time.perf_counter()
    weights_of_base = BaseWeights(base) if base else None
    with one_thread(), ThreadPoolExecutor(2) as pool:
        loras = list(pool.map(lambda file: load(file, base=weights_of_base), files))
    read = time.perf_counter() - start
    merged = combine(
        loras,
        merger=merger,
        hypernetwork=hypernetwork,
        kinds=kinds,
        weights=weights,
        blocks=blocks,
        text_encoder=text_encoder,
        options=options,
        optimiser=optimiser,
        rank=rank,
        energy=energy,
        device=device,
    )
    kept = coefficient_tensors(merged) if save_coefficients else {}
    start = time.perf_counter()
    with one_thread():
        written = save(
            merged.lora,
            output,
            format=format,
            dtype=written_in,
            metadata=_metadata(loras, merged, format, facts or {}),
            force=force,
        )
        if save_coefficients:
            write_tensors(save_coefficients, kept, {"format": "pt"}, force=force)
            written = [*written, save_coefficients]
    write = time.perf_counter() - start
    return summarise(loras, merged, written, {"read": read, "merge": merged.seconds, "write": write})


def coefficient_tensors(merged: Merged) -> dict[str, Tensor]:
    """Every coefficient that a merge applied, strengths included.

    Returns:
        "{layer}.content" and "{layer}.style" for two inputs, else "{layer}.0", "{layer}.1", ..: float32 (in,), the
        number of columns of the layer's delta (for norms and biases the number of entries), in every merged layer.

    Raises:
        ValueError: The method has no coefficients.
    """
    if merged.coefficients is None:
        raise ValueError(f"{merged.method.name} works on the deltas' entries: there are no coefficients to save")
    tensors = {}
    for layer, vectors in merged.coefficients.layers.items():
        width = merged.lora.layers[layer].shape[-1]
        for role, m in zip(roles(len(vectors)), vectors, strict=True):
            tensors[f"{layer}.{role}"] = m.detach().float().cpu().expand(width).contiguous()
    return tensors


def _metadata(loras: Sequence[LoRA], merged: Merged, format: str | None, facts: Mapping[str, object]) -> dict[str, str]:
    details: dict[str, object] = {**merged.options, **facts, **merged.strengths.facts()}
    if merged.merger_file:
        details["merger_sha256"] = sha256(merged.merger_file)
    if merged.coefficients:
        details["coefficients"] = summary(merged.coefficients)
    if merged.predicted is not None:
        details["predicted_layers"] = len(merged.predicted)
        details["fixed_layers"] = len(merged.lora.layers) - len(merged.predicted)
    if merged.losses:
        details["truncation_error"] = relative_error(merged.losses.values())
    return metadata_for(
        merged.lora,
        inputs=[(lora.name, lora.sha256) for lora in loras],
        method=merged.method.name,
        citation=merged.method.citation,
        details=details,
        triggers=[phrase for lora in loras for phrase in trigger_phrases(lora)],
        title=" + ".join(Path(lora.name).stem for lora in loras),
        format=format,
    )
