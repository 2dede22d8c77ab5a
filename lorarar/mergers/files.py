"""Merging from files to a file: read, merge, write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from lorarar.formats import BaseWeights, load, metadata_for, save, trigger_phrases, write_tensors
from lorarar.lora import LoRA, one_thread, relative_error, summarise_coefficients, torch_dtype
from lorarar.mergers.combination import Merged, combine
from lorarar.mergers.report import Summary, roles, summarise_merge
from lorarar.mergers.request import FileMerge
from lorarar.mergers.table import Optimiser
from lorarar.storage import check_target


def merge_files(job: FileMerge, optimiser: Optimiser | None = None, facts: dict[str, object] | None = None) -> Summary:
    """Merge LoRA files into one ordinary LoRA file.

    Args:
        job: Files, output and how they are merged.
        optimiser: As in `lorarar.mergers.combine`; `lorarar.workflows.merge_on_base` makes one of a request.
        facts: Further facts for the file's header, such as what an optimiser holds.

    Returns:
        What was merged, how, and what was written: plain data, fit for JSON; `describe_merge` makes text of it.

    Raises:
        FormatError: A file cannot be read or written.
        ValueError: The LoRAs do not fit each other or the merger.
    """
    check_outputs(job)
    job.request.check()
    dtype = torch_dtype(job.dtype)
    start = time.perf_counter()
    # An optimiser's base may be a hub id; files that need the base's weights take a local one.
    local_base = job.request.base and (optimiser is None or Path(job.request.base).is_dir())
    base = BaseWeights(Path(job.request.base)) if local_base and job.request.base else None
    with one_thread(), ThreadPoolExecutor(2) as pool:
        loras = list(pool.map(lambda file: load(file, base=base), job.files))
    read = time.perf_counter() - start
    merged = combine(loras, job.request, optimiser)
    coefficients = coefficient_tensors(merged) if job.save_coefficients else {}
    start = time.perf_counter()
    with one_thread():
        metadata = _metadata(loras, merged, job.format, facts or {})
        written = save(merged.lora, job.output, format=job.format, dtype=dtype, metadata=metadata, force=job.force)
        if job.save_coefficients:
            write_tensors(job.save_coefficients, coefficients, {"format": "pt"}, force=job.force)
            written = [*written, job.save_coefficients]
    write = time.perf_counter() - start
    return summarise_merge(loras, merged, written, {"read": read, "merge": merged.seconds, "write": write})


def check_outputs(job: FileMerge) -> None:
    """Check that the outputs of a merge can be written, before any work.

    Raises:
        FormatError: One exists and may not be replaced, or its folder does not exist.
        ValueError: Merge and coefficients would be the same file.
    """
    for path in (None if job.format == "peft" else job.output, job.save_coefficients):  # peft's output can be a folder
        if path:
            check_target(path, job.force)
    if job.save_coefficients and job.save_coefficients.resolve() == job.output.resolve():
        raise ValueError(f"expected two files, found {job.output} for the merge and for its coefficients: rename one")


def coefficient_tensors(merged: Merged) -> dict[str, Tensor]:
    """Return every coefficient that a merge applied, weights included.

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


def _metadata(loras: Sequence[LoRA], merged: Merged, format: str | None, facts: dict[str, object]) -> dict[str, str]:
    details: dict[str, object] = {**merged.options, **facts, **merged.weights.facts()}
    if merged.network:
        details["merger_sha256"] = merged.network.sha256
    if merged.coefficients:
        details["coefficients"] = summarise_coefficients(merged.coefficients)
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
