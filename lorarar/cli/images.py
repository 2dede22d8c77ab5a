"""Image commands: generate, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lorarar.cli.commands import command
from lorarar.cli.options import (
    IMAGES,
    OUTPUT,
    AllowExtrapolation,
    Balance,
    BaseDtype,
    Device,
    Force,
    Guidance,
    Merger,
    NetworkFile,
    Offload,
    Options,
    SampledSeeds,
    Steps,
    Weights,
    at_most_one,
    option,
)
from lorarar.cli.values import Seeds, Word, grouped, seeds, settings, word

INPUTS, SET = "Inputs", "Prompt set (a manifest for the judge and the metrics is written too)"
_SEEDS = Seeds([0])


def add(app: typer.Typer) -> None:
    """Add `generate` and `demo`."""
    command(app, "generate", section=IMAGES)(_generate)
    command(app, "demo", section=IMAGES)(_demo)


def _set(name: str, value: str, text: str, **more: Any) -> Any:
    return option(name, value=value, text=text, panel=SET, **more)


def _generate(
    base: Annotated[str, option("--base", value="MODEL", text="Base model: a folder or a hub id.", panel=INPUTS)],
    output: Annotated[Path, option("-o", "--output", value="DIR", text="Folder for the images.", panel=OUTPUT)],
    loras: Annotated[
        list[str] | None,
        option(
            "--lora",
            value="FILE",
            text="LoRA file or hub id; repeatable.",
            panel=INPUTS,
            default="none, the base alone",
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        option(
            "--prompt",
            value="TEXT",
            text="Prompt of the images; this or --prompt-set is needed.",
            panel=INPUTS,
            default="none",
        ),
    ] = None,
    prompt_set: Annotated[
        Path | None,
        option(
            "--prompt-set",
            value="FILE",
            text="Set of prompts, such as data/prompts/toys.yaml.",
            panel=INPUTS,
            default="none",
        ),
    ] = None,
    merger: Merger = None,
    network: NetworkFile = None,
    options: Options = None,
    weights: Weights = None,
    balance: Balance = None,
    allow_extrapolation: AllowExtrapolation = False,
    seeds_: SampledSeeds = _SEEDS,
    steps: Steps = 50,
    guidance: Guidance = 5.0,
    device: Device = "auto",
    dtype: BaseDtype = "fp32",
    offload: Offload = False,
    words: Annotated[
        list[Word] | None,
        _set("--word", "FIELD=TEXT", "Text for a field of the prompts; repeatable.", default="none", parser=word),
    ] = None,
    method: Annotated[str, _set("--method", "NAME", "Name of the images' method in the manifest.")] = "images",
    content: Annotated[
        str | None, _set("--content", "NAME", "Content that the images should show; needed.", default="none")
    ] = None,
    style: Annotated[
        str | None, _set("--style", "NAME", "Style that the images should show; needed.", default="none")
    ] = None,
    force: Force = False,
) -> None:
    """Generate images from a base model, LoRAs and a prompt, or a set of prompts.

    Example: lorarar generate --base data/embedded/base --lora merged.safetensors --prompt "a sks cat" -o images
    """
    from lorarar.datasets import check_images, load_prompt_set
    from lorarar.diffusion import ImageLabels, Sampling, generate_files, generate_set, open_sampler, plan_items
    from lorarar.mergers import MergeRequest

    at_most_one(merger=merger, network=network)
    at_most_one(prompt=prompt, prompt_set=prompt_set)
    if prompt is None and prompt_set is None:
        raise typer.BadParameter("expected --prompt TEXT or --prompt-set FILE, found neither: give one")
    sampling = Sampling(steps, guidance)
    request = MergeRequest(
        merger=merger,
        network=network,
        weights=weights,
        balance=balance,
        options=settings(options),
        dense=True,
        device=device,
        allow_extrapolation=allow_extrapolation,
    )
    if prompt_set:
        items = plan_items(
            load_prompt_set(prompt_set).fill(grouped(words or ())), ImageLabels(method, content, style), seeds_
        )
        check_images([output / item.path for item in items], force)  # before the base is loaded
        sampler = open_sampler(base, loras or (), sampling, request, dtype=dtype, offload=offload)
        print(generate_set(sampler, items, output, force=force))
        return
    paths = generate_files(
        base, loras or (), str(prompt), seeds_, sampling, output, request, dtype=dtype, offload=offload, force=force
    )
    for path in paths:
        print(path)


def _demo(
    output: Annotated[Path, option("-o", "--output", value="DIR", text="Folder for the results.")] = Path("runs/demo"),
    seeds_: Annotated[
        Seeds, option("--seeds", value="N,N", text="Seeds of the images of each pair and method.", parser=seeds)
    ] = _SEEDS,
) -> None:
    """Merge, generate and score all test pairs of the embedded default."""
    from lorarar.benchmark import run_demo

    run_demo(output, seeds=seeds_)
