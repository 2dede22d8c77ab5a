"""Files: merge LoRA files into a file, from reading to writing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from lorarar.formats import (
    check_lora_target,
    check_written,
    load_all,
    metadata_for,
    plan_file,
    save,
    trigger_phrases,
    write_tensors,
)
from lorarar.lora import LoRA, one_thread, relative_error, summarise_coefficients, torch_dtype
from lorarar.mergers.choice import check_has_coefficients
from lorarar.mergers.combination import Merged, combine
from lorarar.mergers.report import MergeSummary, input_names, summarise_merge
from lorarar.mergers.request import FileMerge, MergeRequest
from lorarar.mergers.table import Optimiser, Probe
from lorarar.storage import say

# (inputs, request) -> inputs with what else is known of them, notes, warnings
Told = Callable[[Sequence[LoRA], MergeRequest], tuple[list[LoRA], list[str], list[str]]]


def merge_files(
    job: FileMerge,
    optimiser: Optimiser | Probe | None = None,
    facts: dict[str, object] | None = None,
    tell: Told = lambda loras, request: (list(loras), [], []),
) -> MergeSummary:
    """Merge LoRA files into one ordinary LoRA file.

    Args:
        job: Files, output and how they are merged.
        optimiser: As in `lorarar.mergers.combine`; `lorarar.workflows.merge_to_file` creates it from a request.
        facts: Further facts for the header of the file, such as the inputs of an optimiser.
        tell: Function of the inputs and the request -> the inputs with what else is known of them, notes, warnings.

    Returns:
        A summary as plain data, fit for JSON; `describe_merge` returns it as text.

    Raises:
        FormatError: A file cannot be read or written, or holds something else when it is read again.
        ValueError: The LoRAs do not fit each other or the merger.
    """
    check_outputs(job)
    job.request.check()
    dtype = torch_dtype(job.dtype)
    start = time.perf_counter()
    loras = load_all(job.files, job.request.weights_base)
    read = time.perf_counter() - start
    loras, notes, warnings = tell(loras, job.request)
    merged = combine(loras, job.request, optimiser, dense_dtype=dtype)
    merged = replace(merged, notes=(*merged.notes, *notes), warnings=(*merged.warnings, *warnings))
    coefficients = coefficient_tensors(merged) if job.save_coefficients else {}
    _say_size(job, merged)
    start = time.perf_counter()
    with one_thread():
        metadata = merge_metadata(loras, merged, job.format, facts)
        written = save(merged.lora, job.output, format=job.format, dtype=dtype, metadata=metadata, force=job.force)
        if job.save_coefficients:
            write_tensors(job.save_coefficients, coefficients, {"format": "pt"}, force=job.force)
            written = [*written, job.save_coefficients]
    durations = {"read": read, "merge": merged.seconds, "write": time.perf_counter() - start}
    start = time.perf_counter()
    checked = check_written(written[0], merged.lora) if job.verify else None
    if checked:
        durations["verify"] = time.perf_counter() - start
    return summarise_merge(loras, merged, written, durations, checked, job.request.kinds)


def _say_size(job: FileMerge, merged: Merged) -> None:
    """Say how large the file of deltas will be, where the user has not limited it by a truncation."""
    request = job.request
    if merged.method.kind == "delta" and request.rank is None and request.energy is None:
        planned = plan_file(merged.lora, job.output, format=job.format, dtype=torch_dtype(job.dtype))
        say(f"writing {planned.path}: {planned.format}, {job.dtype}, {planned.bytes / 1e6:,.2f} MB")


def check_outputs(job: FileMerge) -> None:
    """Check that the outputs of a merge can be written, before any work.

    Raises:
        FormatError: An output exists and may not be replaced, is an input, has another ending than .safetensors, or
            its folder does not exist.
        ValueError: The merge and its coefficients would be the same file.
    """
    inputs = [*job.files, *job.request.read_paths()]
    check_lora_target(job.output, job.format, job.force, inputs)
    if job.save_coefficients:
        check_lora_target(job.save_coefficients, None, job.force, inputs)
    if job.save_coefficients and job.request.svc is not None:
        raise ValueError("expected `save_coefficients` or `svc`, which changes what they make, found both: drop one")
    if job.save_coefficients and job.save_coefficients.resolve() == job.output.resolve():
        raise ValueError(f"expected two files, found {job.output} for the merge and for its coefficients: rename one")


def coefficient_tensors(merged: Merged) -> dict[str, Tensor]:
    """Return every coefficient that a merge applied, weights included.

    Args:
        merged: A merge by a method of the kind "coefficients".

    Returns:
        For every merged layer "{layer}.content" and "{layer}.style" for two inputs, else "{layer}.0", "{layer}.1", ..;
        each is float32 (in,), one number for each column of the layer's delta or each entry of a norm or bias.

    Raises:
        ValueError: The method does not work by coefficients.
    """
    check_has_coefficients(merged.method)
    coefficients = merged.coefficients.layers if merged.coefficients else {}
    tensors = {}
    for layer, vectors in coefficients.items():
        width = merged.lora.layers[layer].shape[-1]
        for role, m in zip(input_names(len(vectors)), vectors, strict=True):
            tensors[f"{layer}.{role}"] = m.detach().float().cpu().expand(width).contiguous()
    return tensors


def merge_metadata(
    loras: Sequence[LoRA], merged: Merged, format: str | None = None, facts: Mapping[str, object] | None = None
) -> dict[str, str]:
    """Return the header of a merge, which says how it was made.

    Args:
        loras: The inputs, in order.
        merged: The merge.
        format: Dialect of the file.
        facts: Further facts, such as the inputs of an optimiser.
    """
    details: dict[str, object] = {**merged.options, **(facts or {}), **merged.weights.facts()}
    if merged.balance or merged.method.balance:  # no entry means 0, which is most methods' default
        details["balance"] = merged.balance
    if merged.svc is not None:
        details["svc"] = merged.svc
    if merged.accelerators:
        details["accelerators"] = [loras[i].name for i in sorted(merged.accelerators)]
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
