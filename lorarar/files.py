"""Merge LoRA files: read, merge, write, in one call."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

import torch

from lorarar.formats import FormatError, load, save, sha256, weights_file
from lorarar.lora import check_same_layers
from lorarar.mergers import MERGERS
from lorarar.mergers.files import merger_kind
from lorarar.merging import merge, summary

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def merge_files(
    content: Path,
    style: Path,
    output: Path,
    *,
    merger: str | None = None,
    merger_file: Path | None = None,
    format: Literal["diffusers", "peft"] = "diffusers",
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16",
    force: bool = False,
) -> str:
    """Merge two LoRA files into one ordinary LoRA file.

    Args:
        content: the content LoRA's file, and style: the style LoRA's.
        merger: "direct" or "average". Without it, the learned merger in ``merger_file``, else "direct".
        force: whether ``output`` may be replaced.

    Returns:
        A line that says what was merged, how, and how long the merge took in milliseconds.

    Raises:
        FormatError: a file cannot be read or written.
        ValueError: the LoRAs do not fit each other or the merger.
    """
    if output.exists() and not force:
        raise FormatError(f"{output} exists: choose another name, or pass --force (force=True) to replace it")
    if merger and merger_file:
        raise ValueError(f"expected --merger or --hypernetwork, found both ({merger}, {merger_file}): drop one")
    loras = (load(content), load(style))
    check_same_layers(loras)
    method = MERGERS[merger_kind(merger_file) if merger_file else merger or "direct"]
    extra = {"merger_file": merger_file} if merger_file else {}
    start = time.perf_counter()
    with torch.no_grad():
        coefficients = method.call(loras, **extra)
        merged = merge(loras, coefficients)
    milliseconds = (time.perf_counter() - start) * 1000
    metadata = {
        "method": method.name,
        "citation": method.citation,
        "merged_from": f"{content.name}, {style.name}",
        "content_sha256": sha256(weights_file(content)),
        "style_sha256": sha256(weights_file(style)),
        "coefficients": json.dumps(summary(coefficients)),
    }
    if merger_file:
        metadata["merger_sha256"] = sha256(merger_file)
    save(merged, output, format=format, dtype=DTYPES[dtype], metadata=metadata, force=force)
    hint = "" if merger or merger_file else " (no --hypernetwork given; `lorarar train` makes one)"
    return (
        f"{output}: {content.name} as content + {style.name} as style, {method.name}{hint}, "
        f"{len(merged.layers)} layers, merged in {milliseconds:.0f} ms"
    )
