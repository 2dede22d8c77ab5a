"""The command that merges."""

from __future__ import annotations

import argparse
from pathlib import Path

from lorarar.cli.configured import Commands
from lorarar.mergers import MERGERS


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers `merge`."""
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
