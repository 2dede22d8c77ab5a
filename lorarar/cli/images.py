"""Commands that make images: generate, demo."""

from __future__ import annotations

import argparse
from pathlib import Path

from lorarar.cli.configured import Commands
from lorarar.cli.options import add_option, options
from lorarar.mergers import MERGERS


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
    generate.add_argument("--merger", choices=list(MERGERS), metavar="NAME", help="for several files, see `mergers`")
    generate.add_argument("--weights", type=float, nargs="+", metavar="W", help="one for each file")
    add_option(generate)
    generate.add_argument("--prompt", required=True)
    generate.add_argument("--seed", type=int, nargs="+", default=[0])
    generate.add_argument("--steps", type=int, default=50)
    generate.add_argument("--guidance", type=float, default=5.0, help="classifier-free guidance; 1 is none")
    generate.add_argument("--device", default="cpu")
    generate.add_argument("--dtype", choices=["fp16", "bf16", "fp32"], default="fp32")
    generate.add_argument("-o", "--output", type=Path, required=True, help="folder for SEED.png")
    generate.set_defaults(run=_generate)


def _generate(arguments: argparse.Namespace) -> None:
    from lorarar.generation import Sampling, generate_files

    sampling = Sampling(arguments.steps, arguments.guidance)
    for path in generate_files(
        arguments.base,
        arguments.lora,
        arguments.prompt,
        arguments.seed,
        sampling,
        arguments.output,
        merger=arguments.merger,
        weights=arguments.weights,
        options=options(arguments),
        device=arguments.device,
        dtype=arguments.dtype,
    ):
        print(path)


def _demo(arguments: argparse.Namespace) -> None:
    from lorarar.demo import run_demo

    run_demo(arguments.output, seeds=arguments.seeds)
