"""Commands that make images: generate, demo."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lorarar.cli.configurations import Commands
from lorarar.cli.options import add_option, assignment, options
from lorarar.mergers import CATALOGUE

if TYPE_CHECKING:
    from lorarar.datasets import Item


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers the commands."""
    _add_generate(commands)
    demo = commands.add_parser("demo", help="merge, generate and score all test pairs of the embedded default")
    demo.add_argument("--output", type=Path, default=Path("runs/demo"))
    demo.add_argument("--seeds", type=int, default=1, help="images for each pair and method")
    demo.set_defaults(run=_demo)


def _add_generate(commands: Commands) -> None:  # type: ignore[type-arg]
    generate = commands.add_parser("generate", help="images from a base, a LoRA and a prompt")
    generate.add_argument("--base", required=True, help="folder or hub id of the base model")
    generate.add_argument("--lora", type=Path, nargs="+", default=[], metavar="FILE", help="none is the base alone")
    generate.add_argument("--merger", choices=list(CATALOGUE), metavar="NAME", help="for several files, see `mergers`")
    generate.add_argument("--weights", type=float, nargs="+", metavar="W", help="one for each file")
    add_option(generate)
    asked = generate.add_mutually_exclusive_group(required=True)
    asked.add_argument("--prompt")
    asked.add_argument("--prompt-set", type=Path, metavar="FILE", help="a whole set, such as data/prompts/toys.yaml")
    generate.add_argument("--seed", type=int, nargs="+", default=[0])
    generate.add_argument("--steps", type=int, default=50)
    generate.add_argument("--guidance", type=float, default=5.0, help="classifier-free guidance; 1 is none")
    generate.add_argument("--device", default="cpu")
    generate.add_argument("--dtype", choices=["fp16", "bf16", "fp32"], default="fp32")
    generate.add_argument("-o", "--output", type=Path, required=True, help="folder for the images")
    labelled = generate.add_argument_group(
        "with --prompt-set, which also writes a manifest for the judge and the metrics"
    )
    labelled.add_argument("--word", action="append", default=[], metavar="FIELD=TEXT", help="a word of the prompts")
    labelled.add_argument("--method", default="images", help="what the manifest calls these images' method")
    labelled.add_argument("--content", metavar="NAME", help="the content that they should show")
    labelled.add_argument("--style", metavar="NAME", help="the style that they should show")
    generate.set_defaults(run=_generate)


def _generate(arguments: argparse.Namespace) -> None:
    from lorarar.diffusion import Sampling, generate_files, open_sampler

    sampling = Sampling(arguments.steps, arguments.guidance)
    how = {
        "merger": arguments.merger,
        "weights": arguments.weights,
        "options": options(arguments),
        "device": arguments.device,
        "dtype": arguments.dtype,
    }
    if arguments.prompt_set:
        from lorarar.diffusion import generate_set

        items = _planned(arguments)
        sampler = open_sampler(arguments.base, arguments.lora, sampling, **how)
        print(generate_set(sampler, items, arguments.output))
        return
    for path in generate_files(
        arguments.base, arguments.lora, arguments.prompt, arguments.seed, sampling, arguments.output, **how
    ):
        print(path)


def _planned(arguments: argparse.Namespace) -> list[Item]:
    """The images of a prompt set, as the command's words ask for them."""
    from lorarar.datasets import load_prompt_set
    from lorarar.diffusion import ImageLabels, plan_items

    if not (arguments.content and arguments.style):
        raise ValueError("expected --content NAME and --style NAME: the manifest says what each image should show")
    words: dict[str, list[str]] = {}
    for field, text in map(assignment, arguments.word):
        words.setdefault(field, []).append(text)
    prompts = load_prompt_set(arguments.prompt_set).fill(words)
    return plan_items(prompts, ImageLabels(arguments.method, arguments.content, arguments.style), arguments.seed)


def _demo(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark import run_demo

    run_demo(arguments.output, seeds=arguments.seeds)
