"""Merges of LoRAs in memory and of files, by any merger, also by those that optimise each pair on a base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import warn

from lorarar.formats import load_all
from lorarar.lora import LoRA
from lorarar.mergers import (
    FileMerge,
    MergeRequest,
    MergeSummary,
    PairInputs,
    check_outputs,
    combine,
    find_merger,
    merge_files,
    merge_metadata,
    split_pairs,
)
from lorarar.workflows.predicted_kinds import tell_kinds

if TYPE_CHECKING:
    from lorarar.diffusion import SignalProbe
    from lorarar.hypernetwork import Network
    from lorarar.training import PairOptimiser


def merge(
    *loras: LoRA | str | Path | Sequence[LoRA | str | Path],
    merger: str | None = None,
    network: str | Path | Network | None = None,
    kinds: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    blocks: Mapping[str, float | Sequence[float]] | None = None,
    text_encoder: float | Sequence[float] | None = None,
    balance: float | None = None,
    keep_accelerators: bool = True,
    svc: float | None = None,
    options: Mapping[str, float] | None = None,
    rank: int | None = None,
    energy: float | None = None,
    dense: bool = False,
    base: str | Path | None = None,
    content_images: str | Path | None = None,
    style_images: str | Path | None = None,
    content_prompt: str | None = None,
    style_prompt: str | None = None,
    content_description: str = "",
    style_description: str = "",
    describe: str | None = None,
    init: str | Path | Network | None = None,
    runs: str | Path | None = None,
    device: str = "auto",
    allow_extrapolation: bool = False,
) -> LoRA:
    """Merge LoRAs of one base model into one LoRA.

    A layer's delta is B A, with B (out, rank) and A (rank, in). Mergers with coefficients scale its columns by a vector
    (in,) for each LoRA, so the result is an ordinary LoRA whose rank is the sum of the ranks. `lorarar.mergers.combine`
    returns the coefficients, the errors of a truncation and the notes too.

    Args:
        loras: One or more LoRAs, paths or hub ids, one by one or in a list. Two are a content and a style.
        merger: A name in `lorarar.MERGERS`. None takes `network`, else the network that is shipped for the LoRAs'
            family and fits them, else "auto".
        network: A trained merger: a file, a folder that `save_pretrained` wrote, a hub id or a loaded network.
        kinds: "content" or "style" for each LoRA, for networks that take any number; None takes what the files state.
        weights: LoRA weight of each LoRA; None is 1 for all.
        blocks: Beginning of a layer path -> weight of these layers, one number or one for each LoRA.
        text_encoder: Weight of the text encoders' layers, one number or one for each LoRA.
        balance: How far the deltas of each layer are brought to one length before they are merged, 0 to 1; `weights`
            multiply them afterwards. None is the merger's own default, 0 for all but "auto".
        keep_accelerators: Whether LoRAs for sampling in a few steps (LCM, Lightning ..), recognised by name, are added
            unchanged.
        svc: Calibrate the singular values of the merge with this bound, such as 0.5 for two LoRAs; None does not.
        options: Own settings of the merger, such as {"density": 0.3}.
        rank: Largest rank of a merged layer; None keeps the full rank.
        energy: Share of each layer's squared norm to keep, 0 to 1; its rank is the smallest that keeps it.
        dense: Whether a merger of the kind "delta" keeps its dense deltas; False truncates them to the sum of the
            inputs' ranks, unless `rank` or `energy` is given.
        base: The base model: its folder or file, for LoRAs whose deltas depend on it (DoRA, IA3, OFT, GLoRA), or its
            folder or hub id, for mergers that optimise each pair, which take the next arguments too.
        content_images, style_images: Folders of images, for "ziplora", "ziplora_pytorch", "ziprank", "cat" and "nsc".
        content_prompt, style_prompt: Prompt that each LoRA was trained with; None takes its trigger words.
        content_description, style_description: Descriptions that the base understands, for "text_guided".
        describe: A back end of the judge, such as "tiny" or "openai:MODEL@URL", which describes what each LoRA draws,
            where a description is not given; see `lorarar.workflows.descriptions`.
        init: A trained merger whose coefficients the optimisation starts from, or "auto" for the coefficients of that
            merger; None starts from 1, or with `describe` from the network that is shipped for the LoRAs' family, else
            from "auto".
        runs: Folder for checkpoints, from which an interrupted optimisation resumes; None keeps none.
        device: "cpu", "cuda", "mps", or "auto" for the best that is present.
        allow_extrapolation: Whether a network may merge LoRAs that lie far outside what it was trained on.

    Returns:
        The merged LoRA on the CPU. Its metadata says how it was made, and `lorarar.save` writes it to the file.

    Raises:
        FormatError: A file cannot be read.
        FileNotFoundError: There is no base model, no image, or no LoRA or network of this name on the hub.
        ValueError: The LoRAs do not fit each other or the merger, or an argument is unknown, missing or out of its
            range.

    Warns:
        UserWarning: The result may be bad: LoRAs of very different lengths or outside a network's training, or a
            truncation that loses much.

    Examples:
        >>> merged = merge("content.safetensors", "style.safetensors", weights=[1, 0.8])  # doctest: +SKIP
        >>> merged = merge([content, style], merger="ties", options={"density": 0.3}, rank=16)  # doctest: +SKIP
    """
    pair = PairInputs(
        content_images=_path(content_images),
        style_images=_path(style_images),
        content_prompt=content_prompt,
        style_prompt=style_prompt,
        content_description=content_description,
        style_description=style_description,
        describe=describe,
        init=init,
        runs=_path(runs),
    )
    request = MergeRequest(
        merger=merger,
        network=network,
        kinds=kinds,
        weights=weights,
        blocks=blocks or {},
        text_encoder=text_encoder,
        balance=balance,
        keep_accelerators=keep_accelerators,
        svc=svc,
        options=options or {},
        rank=rank,
        energy=energy,
        dense=dense,
        base=base,
        pair=pair,
        device=device,
        allow_extrapolation=allow_extrapolation,
    )
    return _merge(_in_one_list(loras), request)


def merge_to_files(job: FileMerge) -> list[MergeSummary]:
    """Merge LoRA files into one file, or pairs for high and low noise (Wan 2.2) into two.

    Args:
        job: Files, output and how they are merged. Files may all be pairs, two paths joined by "+"; then the name of
            each output gets "_high_noise" or "_low_noise".

    Returns:
        The summary of each merge, as `merge_to_file`.

    Raises:
        FileNotFoundError, FormatError, ValueError: As `merge_to_file`; or only some of the files are pairs.
    """
    jobs = split_pairs(job)
    for part in jobs:
        check_outputs(part)
    return [merge_to_file(part) for part in jobs]


def merge_to_file(job: FileMerge, facts: Mapping[str, object] | None = None) -> MergeSummary:
    """Merge LoRA files into one file, by any merger.

    Mergers that optimise each pair keep checkpoints, from which an interrupted merge resumes; their folder is deleted
    once the result is written.

    Args:
        job: Files, output and how they are merged.
        facts: Further facts for the header of the file.

    Returns:
        As `lorarar.mergers.merge_files`.

    Raises:
        FileNotFoundError: There is no base model, or a folder holds no images.
        FormatError: A file cannot be read or written.
        ValueError: Something is missing, or is given to a merger that does not use it.
    """
    check_outputs(job)
    request, optimiser = _open_optimiser(job.request, job.files)
    if optimiser is None:
        return merge_files(job, facts=dict(facts or {}), tell=tell_kinds)
    job = replace(job, request=request)
    summary = merge_files(job, optimiser, {**optimiser.facts(), **(facts or {})}, tell_kinds)
    optimiser.finish()
    return summary


def _merge(loras: Sequence[LoRA | str | Path], request: MergeRequest) -> LoRA:
    request, optimiser = _open_optimiser(request, loras)
    inputs, _, warnings = tell_kinds(load_all(loras, request.weights_base), request)
    merged = combine(inputs, request, optimiser)
    for warning in (*merged.warnings, *warnings):
        warn(warning, stacklevel=3)
    metadata = merge_metadata(inputs, merged, facts=optimiser.facts() if optimiser else {})
    names = [Path(lora.name).stem for lora in inputs]
    metadata = {**merged.lora.metadata, **metadata}  # the former names the plugins
    return replace(merged.lora, metadata=metadata, name=" + ".join(names) if all(names) else "")


def _open_optimiser(
    request: MergeRequest, loras: Sequence[LoRA | str | Path]
) -> tuple[MergeRequest, PairOptimiser | SignalProbe | None]:
    """Return the checked request, with descriptions where it asks for them, and its optimiser or probe, if any."""
    request.check()
    request.check_pair()
    if not request.optimises:
        return request, None
    if request.merger and find_merger(request.merger).signals:
        from lorarar.diffusion import SignalProbe  # here, since most merges need no base model

        return request, SignalProbe(str(request.base), request.pair, request.device)
    if request.pair.describe:
        from lorarar.workflows.descriptions import open_described

        return open_described(request, loras)
    from lorarar.training import PairOptimiser

    return request, PairOptimiser(str(request.base), request.pair, request.device, balance=request.balance or 0.0)


def _in_one_list(loras: Sequence[LoRA | str | Path | Sequence[LoRA | str | Path]]) -> list[LoRA | str | Path]:
    """Return LoRAs that were given one by one or in a list."""
    together: list[LoRA | str | Path] = []
    for given in loras:
        together += [given] if isinstance(given, LoRA | str | Path) else given
    return together


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
