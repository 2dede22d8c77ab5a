"""Analogy commands: train the editor base and a basis of LoRAs, answer analogies, measure the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import lorarar.analogies as analogies
import lorarar.benchmark.analogies as measured
import lorarar.workflows as workflows
from lorarar.cli.commands import command, new_app
from lorarar.cli.configurations import Overrides, Source, add_configured, configured, read
from lorarar.cli.options import FLAG, IMAGES, OUTPUT, SAMPLING, STRENGTH, Device, Force, Guidance, Steps, option
from lorarar.cli.values import Numbers, numbers, whole_number
from lorarar.worlds import stages, toy

_INPUTS = "Inputs"


def add(app: typer.Typer) -> None:
    """Add `analogy` and its commands."""
    group = new_app(help="Change an image as an example shows: a is to a' as b is to b'.")
    add_configured(
        group,
        "base",
        lambda: stages.EditorConfig,
        lambda config: print(toy.run_editor(config)),
        "Train the editor base, which a basis needs.",
    )
    add_configured(
        group,
        "train",
        lambda: analogies.AnalogyConfig,
        lambda config: print(workflows.run_analogies(config)),
        "Train a basis of LoRAs with its router.\n\nExample: lorarar analogy train analogies/toy",
    )
    command(group, "apply")(_apply)
    command(group, "evaluate", configured(lambda: measured.AnswersConfig))(_evaluate)
    app.add_typer(group, name="analogy", rich_help_panel=IMAGES)


def _apply(
    before: Annotated[
        list[Path], option("--before", value="FILE", text="Image a; repeatable, to mix analogies.", panel=_INPUTS)
    ],
    after: Annotated[list[Path], option("--after", value="FILE", text="Image a', one for each a.", panel=_INPUTS)],
    image: Annotated[Path, option("--image", value="FILE", text="Image b.", panel=_INPUTS)],
    output: Annotated[Path, option("-o", "--output", value="FILE", text="File for b'.", panel=OUTPUT)],
    basis: Annotated[
        Path, option("--basis", value="FILE", text="Basis that `lorarar analogy train` wrote.", panel=_INPUTS)
    ] = Path("runs/analogies/basis/basis.safetensors"),
    base: Annotated[
        str | None,
        option(
            "--base", value="MODEL", text="Base of the basis.", panel=_INPUTS, default="the one that the basis names"
        ),
    ] = None,
    weights: Annotated[
        Numbers | None,
        option(
            "--weights",
            value="W,W",
            text="Weight of each analogy, as in 0.3,0.7.",
            panel=STRENGTH,
            default="equal weights of sum 1",
            parser=numbers,
        ),
    ] = None,
    lora: Annotated[
        Path | None,
        option(
            "--lora", value="FILE", text="Write the mix as an ordinary LoRA file too.", panel=OUTPUT, default="none"
        ),
    ] = None,
    seed: Annotated[
        int, option("--seed", value="N", text="Seed of the noise.", panel=SAMPLING, parser=whole_number)
    ] = 0,
    steps: Steps = 10,
    guidance: Guidance = 1.0,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Change image b as a was changed into a'.

    Example: lorarar analogy apply --before a.png --after a2.png --image b.png -o out.png --lora mix.safetensors
    """
    from lorarar.diffusion import Sampling

    request = workflows.AnalogyRequest(
        basis=basis,
        before=tuple(before),
        after=tuple(after),
        image=image,
        output=output,
        weights=None if weights is None else tuple(weights),
        lora=lora,
        base=base,
        seed=seed,
        sampling=Sampling(steps, guidance),
        device=device,
        force=force,
    )
    for path in workflows.answer_analogies(request):
        print(path)


def _evaluate(
    source: Source,
    overrides: Overrides = None,
    plan: Annotated[
        bool, option("--plan", value=FLAG, text="Print the images that a run samples, without running.")
    ] = False,
) -> None:
    """Measure how often bases of LoRAs make the right change, and keep the rest, on analogies with known truth."""
    config = read(measured.AnswersConfig, source, overrides or ())
    print(measured.plan_answers(config) if plan else measured.run_answers(config))
