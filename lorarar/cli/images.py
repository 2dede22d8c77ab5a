"""Image commands: generate, demo."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorarar.cli.configurations import Commands
from lorarar.cli.options import add_device, add_dtype, add_merger_option, assignment, merger_options
from lorarar.mergers import CATALOGUE

if TYPE_CHECKING:
    from lorarar.datasets import Item


def add(commands: Commands) -> None:
    """Add `generate` and `demo`."""
    _add_generate(commands)
    demo = commands.add_parser("demo", help="merge, generate and score all test pairs of the embedded default")
    demo.add_argument("--output", type=Path, default=Path("runs/demo"), help="folder for the results")
    demo.add_argument("--seeds", type=int, default=1, help="images for each pair and method")
    demo.set_defaults(run=_demo)


def _add_generate(commands: Commands) -> None:
    generate = commands.add_parser("generate", help="generate images from a base, LoRAs and a prompt")
    generate.add_argument("--base", required=True, help="folder or hub id of the base model")
    generate.add_argument(
        "--lora", type=Path, nargs="+", default=[], metavar="FILE", help="LoRA files; default: none, the base alone"
    )
    generate.add_argument(
        "--merger",
        choices=list(CATALOGUE),
        metavar="NAME",
        help="method for several files, see `lorarar mergers`; default: none",
    )
    generate.add_argument("--weights", type=float, nargs="+", metavar="W", help="weight of each file; default: 1")
    add_merger_option(generate)
    prompts = generate.add_mutually_exclusive_group(required=True)
    prompts.add_argument("--prompt", help="prompt of the images")
    prompts.add_argument(
        "--prompt-set", type=Path, metavar="FILE", help="set of prompts, such as data/prompts/toys.yaml"
    )
    generate.add_argument("--seed", type=int, nargs="+", default=[0], help="seed of each image")
    generate.add_argument("--steps", type=int, default=50, help="sampling steps")
    generate.add_argument("--guidance", type=float, default=5.0, help="classifier-free guidance; 1 is none")
    add_device(generate)
    add_dtype(generate, "fp32", "precision of the base")
    generate.add_argument("-o", "--output", type=Path, required=True, help="folder for the images")
    _add_labels(generate)
    generate.set_defaults(run=_generate)


def _add_labels(generate: argparse.ArgumentParser) -> None:
    labels = generate.add_argument_group(
        "with --prompt-set, which also writes a manifest for the judge and the metrics"
    )
    labels.add_argument(
        "--word",
        action="append",
        default=[],
        metavar="FIELD=TEXT",
        help="text for a field of the prompts, repeatable; default: none",
    )
    labels.add_argument("--method", default="images", help="name of the images' method in the manifest")
    labels.add_argument("--content", metavar="NAME", help="content that the images should show; default: none")
    labels.add_argument("--style", metavar="NAME", help="style that the images should show; default: none")


def _generate(arguments: argparse.Namespace) -> None:
    from lorarar.diffusion import Sampling, generate_files, generate_set, open_sampler

    sampling = Sampling(arguments.steps, arguments.guidance)
    settings: dict[str, Any] = {
        "merger": arguments.merger,
        "weights": arguments.weights,
        "options": merger_options(arguments),
        "device": arguments.device,
        "dtype": arguments.dtype,
    }
    if arguments.prompt_set:
        items = _planned_items(arguments)
        sampler = open_sampler(arguments.base, arguments.lora, sampling, **settings)
        print(generate_set(sampler, items, arguments.output))
        return
    for path in generate_files(
        arguments.base, arguments.lora, arguments.prompt, arguments.seed, sampling, arguments.output, **settings
    ):
        print(path)


def _planned_items(arguments: argparse.Namespace) -> list[Item]:
    """Return the images of the prompt set, with the words and labels of the command line."""
    from lorarar.datasets import load_prompt_set
    from lorarar.diffusion import ImageLabels, plan_items

    if not (arguments.content and arguments.style):
        raise ValueError(
            "expected --content NAME and --style NAME with --prompt-set, found none: the manifest states what each "
            "image should show, give both"
        )
    words: dict[str, list[str]] = {}
    for field, text in map(assignment, arguments.word):
        words.setdefault(field, []).append(text)
    prompts = load_prompt_set(arguments.prompt_set).fill(words)
    return plan_items(prompts, ImageLabels(arguments.method, arguments.content, arguments.style), arguments.seed)


def _demo(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark import run_demo

    run_demo(arguments.output, seeds=arguments.seeds)
