"""Merge command: merge LoRA files into one ordinary LoRA file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lorarar.cli.commands import Resumable, command
from lorarar.cli.merge_folders import merge_folders
from lorarar.cli.options import (
    FLAG,
    MERGE,
    METHOD,
    OUTPUT,
    Address,
    AllowExtrapolation,
    Balance,
    Blocks,
    Device,
    Energy,
    EngineName,
    FileDtype,
    FileFormat,
    Force,
    Json,
    Merger,
    NetworkFile,
    Options,
    OutputFile,
    Rank,
    TextEncoder,
    Weights,
    WorkerCount,
    WorkerGpus,
    at_most_one,
    option,
)
from lorarar.cli.values import Words, kinds, number, settings
from lorarar.mergers import MERGERS

FOLDERS = "All pairs of two folders, in place of FILE"
BASE = f"On a base model (for {', '.join(name for name, info in MERGERS.own().items() if info.on_base)})"


def add(app: typer.Typer) -> None:
    """Add `merge`."""
    command(app, "merge", Resumable, MERGE)(_merge)


def _pair(name: str, value: str, text: str, default: str = "none") -> Any:
    return option(name, value=value, text=text, panel=BASE, default=default)


def _merge(
    context: typer.Context,
    output: OutputFile,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...",
            help="LoRA files or hub ids (owner/name): CONTENT STYLE, or any number of them. Pairs for high and low "
            "noise (Wan 2.2) are HIGH+LOW and make two files.",
            show_default="none, with --contents and --styles",
        ),
    ] = None,
    contents: Annotated[
        Path | None,
        option("--contents", value="DIR", text="Merge every file of this folder ..", panel=FOLDERS, default="none"),
    ] = None,
    styles: Annotated[
        Path | None,
        option(
            "--styles",
            value="DIR",
            text=".. with every file of this one; the output is a folder. The same command resumes.",
            panel=FOLDERS,
            default="none",
        ),
    ] = None,
    merger: Merger = None,
    network: NetworkFile = None,
    options: Options = None,
    kinds_: Annotated[
        Words | None,
        option(
            "--kinds",
            value="KIND,KIND",
            text="Kind of each file, content or style, for networks that take any number of files.",
            panel=METHOD,
            default="what the files state, else the first is the content",
            parser=kinds,
        ),
    ] = None,
    weights: Weights = None,
    blocks: Blocks = None,
    text_encoder: TextEncoder = None,
    balance: Balance = None,
    merge_accelerators: Annotated[
        bool,
        option(
            "--merge-accelerators",
            value=FLAG,
            text="Merge files for few steps (LCM, Lightning, Turbo ..), recognised by name, like the others.",
            panel=METHOD,
            default="add them unchanged, at their weight",
        ),
    ] = False,
    svc: Annotated[
        float | None,
        option(
            "--svc",
            value="N",
            text="Calibrate the singular values of the merge; N bounds the amplification from below, such as 0.5.",
            panel=METHOD,
            default="none",
            parser=number,
        ),
    ] = None,
    format: FileFormat = None,
    dtype: FileDtype = "fp16",
    rank: Rank = None,
    energy: Energy = None,
    dense: Annotated[
        bool,
        option(
            "--dense",
            value=FLAG,
            text="Keep the whole result of mergers of the kind delta, such as ties: large files.",
            panel=OUTPUT,
            default="truncate to the sum of the files' ranks",
        ),
    ] = False,
    save_coefficients: Annotated[
        Path | None,
        option(
            "--save-coefficients",
            value="FILE",
            text="Also write every coefficient, as safetensors.",
            panel=OUTPUT,
            default="none",
        ),
    ] = None,
    force: Force = False,
    no_verify: Annotated[
        bool,
        option("--no-verify", value=FLAG, text="Do not read the file again to compare it.", panel=OUTPUT),
    ] = False,
    dry_run: Annotated[
        bool,
        option("--dry-run", value=FLAG, text="Say what would be done and how large the file will be.", panel=OUTPUT),
    ] = False,
    json_: Json = False,
    base: Annotated[
        str | None, _pair("--base", "MODEL", "Base model; DoRA, IA3, OFT and GLoRA files need it too.")
    ] = None,
    content_images: Annotated[Path | None, _pair("--content-images", "DIR", "Images of the content.")] = None,
    style_images: Annotated[Path | None, _pair("--style-images", "DIR", "Images of the style.")] = None,
    content_prompt: Annotated[
        str | None,
        _pair("--content-prompt", "TEXT", "Prompt of the content's LoRA.", "the trigger words in its file"),
    ] = None,
    style_prompt: Annotated[
        str | None, _pair("--style-prompt", "TEXT", "Prompt of the style's LoRA.", "the trigger words in its file")
    ] = None,
    content_description: Annotated[
        str, _pair("--content-description", "TEXT", "Description of the content that the base understands.")
    ] = "",
    style_description: Annotated[
        str, _pair("--style-description", "TEXT", "Description of the style that the base understands.")
    ] = "",
    describe: Annotated[
        str | None,
        _pair(
            "--describe",
            "BACKEND",
            "Let a model describe what each LoRA draws: tiny, openai:MODEL@URL or transformers:PATH.",
        ),
    ] = None,
    init: Annotated[
        str | None,
        _pair(
            "--init",
            "NETWORK",
            "Trained merger whose coefficients the optimisation starts from, or auto.",
            "1, or with --describe the network shipped for the files' family, else auto",
        ),
    ] = None,
    runs: Annotated[
        Path | None,
        _pair("--runs", "DIR", "Folder for checkpoints until the merge is written.", "the folder of the output"),
    ] = None,
    device: Device = "auto",
    engine: EngineName = "local",
    address: Address = "",
    workers: WorkerCount = 2,
    gpus: WorkerGpus = 0.0,
    allow_extrapolation: AllowExtrapolation = False,
) -> None:
    """Merge LoRA files into one ordinary LoRA file.

    Two files are a content and a style. Without --merger and --network the network that is shipped for their family
    predicts the coefficients; where none is shipped that fits, a rule merges (auto).

    Example: lorarar merge content.safetensors style.safetensors -o merged.safetensors --weights 1,0.8
    """
    from lorarar.cli.errors import with_flags
    from lorarar.mergers import (
        FileMerge,
        MergeRequest,
        PairInputs,
        describe_merge,
        describe_merge_plan,
        plan_merge,
        split_pairs,
    )
    from lorarar.storage.units import Workers
    from lorarar.workflows import merge_to_files

    if files and (contents or styles):
        raise typer.BadParameter("expected FILE..., or --contents and --styles, found both: drop one of them")
    if bool(contents) != bool(styles):
        given, missing = ("--contents", "--styles") if contents else ("--styles", "--contents")
        raise typer.BadParameter(f"expected --contents with --styles, found {given} alone: give {missing} DIR too")
    if not files and not contents:
        raise typer.BadParameter(
            "expected FILE..., found none: give files, or --contents DIR and --styles DIR, see `lorarar merge --help`"
        )
    at_most_one(merger=merger, network=network)
    at_most_one(rank=rank, energy=energy, dense=dense or None)
    pair = PairInputs(
        content_images=content_images,
        style_images=style_images,
        content_prompt=content_prompt,
        style_prompt=style_prompt,
        content_description=content_description,
        style_description=style_description,
        describe=describe,
        init=init,
        runs=(runs or output.parent) / f"{output.stem}.run",
    )
    request = MergeRequest(
        merger=merger,
        network=network,
        kinds=kinds_,
        weights=weights,
        blocks=dict(blocks or ()),
        text_encoder=text_encoder,
        balance=balance,
        keep_accelerators=not merge_accelerators,
        svc=svc,
        options=settings(options),
        rank=rank,
        energy=energy,
        dense=dense,
        base=base,
        pair=pair,
        device=device,
        allow_extrapolation=allow_extrapolation,
    )
    job = FileMerge(files or (), output, request, format, dtype, save_coefficients, force, verify=not no_verify)
    if contents and styles:
        spread = Workers(count=workers, address=address, gpus=gpus)
        merge_folders(contents, styles, job, context, engine, spread, plan_only=dry_run, as_json=json_)
        return
    if dry_run:
        plans = [plan_merge(part) for part in split_pairs(job)]
        text = "\n".join(map(describe_merge_plan, plans))
        print(_json(plans) if json_ else with_flags(text, context.command))
        return
    summaries = merge_to_files(job)
    text = "\n".join(map(describe_merge, summaries))
    print(_json(summaries) if json_ else with_flags(text, context.command))


def _json(results: Sequence[object]) -> str:
    """Return the only result as JSON, or those of a merge of pairs as a list."""
    return json.dumps(results[0] if len(results) == 1 else results, indent=1)
