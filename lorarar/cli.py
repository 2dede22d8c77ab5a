"""The command line: parse, call one core function, print what it made."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lorarar.formats import FormatError
from lorarar.mergers import MERGERS

_ERRORS = (FormatError, ValueError, OSError, KeyError, FloatingPointError)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake ends with a message and exit code 1, not with a traceback."""
    arguments = _parser().parse_args(words)
    try:
        arguments.run(arguments)
    except _ERRORS as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"lorarar: {message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lorarar", description="Merge content and style LoRAs by a hypernetwork.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_merge(commands)
    _add_generate(commands)
    for name, run, text in (
        ("dreambooth", _dreambooth, "train one LoRA with peft (give concept=NAME)"),
        ("zoo", _zoo, "train a LoRA for each concept of a manifest, many at once"),
        ("train", _train, "train a merger on the pairs of a manifest"),
    ):
        _add_configured(commands, name, run, text)
    toyworld = commands.add_parser("toyworld", help="make the parts of the embedded default")
    stages = toyworld.add_subparsers(required=True, metavar="STAGE")
    for name, run, text in (
        ("concepts", _toy_concepts, "write the concepts' images and manifest"),
        ("reader", _toy_reader, "train the attribute reader"),
        ("autoencoder", _toy_autoencoder, "train the autoencoder"),
        ("base", _toy_base, "train the base model"),
    ):
        _add_configured(stages, name, run, text)
    benchmark = commands.add_parser("benchmark", help="measure")
    kinds = benchmark.add_subparsers(required=True, metavar="KIND")
    _add_configured(kinds, "gates", _gates, "whether the embedded default can rank merge methods")
    _add_configured(kinds, "compare", _compare, "every shipped merger on the pairs of a split")
    _add_configured(kinds, "zoo", _zoo_speed, "many LoRAs in one batch against one by one")
    demo = commands.add_parser("demo", help="merge, generate and score all test pairs of the embedded default")
    demo.add_argument("--output", type=Path, default=Path("runs/demo"))
    demo.add_argument("--seeds", type=int, default=1, help="images for each pair and method")
    demo.set_defaults(run=_demo)
    return parser


def _add_merge(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    merge = commands.add_parser("merge", help="merge a content and a style LoRA into one ordinary LoRA file")
    merge.add_argument("content", type=Path)
    merge.add_argument("style", type=Path)
    merge.add_argument("-o", "--output", type=Path, required=True)
    alone = [name for name, merger in MERGERS.items() if merger.kind == "coefficients" and not merger.needs]
    merge.add_argument("--merger", choices=alone, help="a merger that needs no file")
    merge.add_argument("--hypernetwork", type=Path, help="a trained merger's file")
    merge.add_argument("--format", choices=["diffusers", "peft"], default="diffusers")
    merge.add_argument("--dtype", choices=["fp16", "bf16", "fp32"], default="fp16")
    merge.add_argument("--force", action="store_true", help="replace an existing file")
    merge.set_defaults(run=_merge)


def _add_generate(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    generate = commands.add_parser("generate", help="images from a base, a LoRA and a prompt")
    generate.add_argument("--base", required=True, help="folder or hub id of the base model")
    generate.add_argument("--lora", type=Path, help="a LoRA file; none is the base alone")
    generate.add_argument("--prompt", required=True)
    generate.add_argument("--seed", type=int, nargs="+", default=[0])
    generate.add_argument("--steps", type=int, default=50)
    generate.add_argument("--guidance", type=float, default=5.0, help="classifier-free guidance; 1 is none")
    generate.add_argument("--device", default="cpu")
    generate.add_argument("--dtype", choices=["fp16", "bf16", "fp32"], default="fp32")
    generate.add_argument("-o", "--output", type=Path, required=True, help="folder for SEED.png")
    generate.set_defaults(run=_generate)


def _add_configured(
    commands: argparse._SubParsersAction,  # type: ignore[type-arg]
    name: str,
    run: Callable[[argparse.Namespace], None],
    text: str,
) -> None:
    command = commands.add_parser(name, help=text)
    command.add_argument("config", type=Path, help="a YAML file, see configs/")
    command.add_argument("overrides", nargs="*", metavar="key=value")
    command.set_defaults(run=run)


def _merge(arguments: argparse.Namespace) -> None:
    from lorarar.files import merge_files

    print(
        merge_files(
            arguments.content,
            arguments.style,
            arguments.output,
            merger=arguments.merger,
            merger_file=arguments.hypernetwork,
            format=arguments.format,
            dtype=arguments.dtype,
            force=arguments.force,
        )
    )


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
        device=arguments.device,
        dtype=arguments.dtype,
    ):
        print(path)


def _dreambooth(arguments: argparse.Namespace) -> None:
    from lorarar.config import ZooConfig, load_config
    from lorarar.runs import run_dreambooth

    print(run_dreambooth(load_config(ZooConfig, arguments.config, arguments.overrides)))


def _zoo(arguments: argparse.Namespace) -> None:
    from lorarar.config import ZooConfig, load_config
    from lorarar.runs import run_zoo

    paths = run_zoo(load_config(ZooConfig, arguments.config, arguments.overrides))
    print(f"{len(paths)} LoRAs in {paths[0].parent}")


def _train(arguments: argparse.Namespace) -> None:
    from lorarar.config import TrainConfig, load_config
    from lorarar.runs import run_train

    print(run_train(load_config(TrainConfig, arguments.config, arguments.overrides)))


def _toy_concepts(arguments: argparse.Namespace) -> None:
    from lorarar.config import ToyworldConfig, load_config
    from lorarar.toyworld.export import export_concepts

    export_concepts(load_config(ToyworldConfig, arguments.config, arguments.overrides).output)


def _toy_reader(arguments: argparse.Namespace) -> None:
    from lorarar.cards import read_card
    from lorarar.config import ToyworldConfig, keep_config, load_config
    from lorarar.toyworld.stages import make_reader

    config = load_config(ToyworldConfig, arguments.config, arguments.overrides)
    keep_config(config.reader, config.runs / "reader")
    path = make_reader(config.reader, output=config.output, runs=config.runs)
    print(json.dumps(read_card(path), indent=1))


def _toy_autoencoder(arguments: argparse.Namespace) -> None:
    from lorarar.config import ToyworldConfig, keep_config, load_config
    from lorarar.toyworld.stages import make_autoencoder

    config = load_config(ToyworldConfig, arguments.config, arguments.overrides)
    keep_config(config.autoencoder, config.runs / "autoencoder")
    print(make_autoencoder(config.autoencoder, runs=config.runs))


def _toy_base(arguments: argparse.Namespace) -> None:
    from lorarar.config import ToyworldConfig, keep_config, load_config
    from lorarar.toyworld.stages import make_base

    config = load_config(ToyworldConfig, arguments.config, arguments.overrides)
    keep_config(config.base, config.runs / "base")
    print(make_base(config.base, output=config.output, runs=config.runs, devices=config.devices))


def _gates(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.gates import GatesConfig, run_gates
    from lorarar.config import load_config

    print(run_gates(load_config(GatesConfig, arguments.config, arguments.overrides)))


def _compare(arguments: argparse.Namespace) -> None:
    from lorarar.benchmark.compare import CompareConfig, run_compare
    from lorarar.config import load_config

    print(run_compare(load_config(CompareConfig, arguments.config, arguments.overrides)))


def _zoo_speed(arguments: argparse.Namespace) -> None:
    from lorarar.config import ZooConfig, load_config
    from lorarar.runs import run_zoo_speed

    print(run_zoo_speed(load_config(ZooConfig, arguments.config, arguments.overrides)))


def _demo(arguments: argparse.Namespace) -> None:
    from lorarar.demo import run_demo

    run_demo(arguments.output, seeds=arguments.seeds)


def entry() -> None:
    """The console script. transformers announces at import that torchvision is missing: nothing here needs it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    sys.exit(main())


if __name__ == "__main__":
    entry()
