"""The command that merges."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lorarar.cli.configurations import Commands
from lorarar.cli.options import add_option, assignment, options
from lorarar.mergers import MERGERS

if TYPE_CHECKING:
    from lorarar.training import PairOptimiser


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers `merge`."""
    merge = commands.add_parser("merge", help="merge LoRA files into one ordinary LoRA file")
    merge.add_argument("files", type=Path, nargs="+", metavar="FILE", help="CONTENT STYLE, or any number of LoRA files")
    merge.add_argument("-o", "--output", type=Path, required=True)
    merge.add_argument("--merger", choices=list(MERGERS), metavar="NAME", help="see `lorarar mergers`")
    network = "a trained merger: its file, a folder that save_pretrained wrote, or a hub id, owner/name"
    merge.add_argument("--hypernetwork", metavar="NETWORK", help=network)
    kinds = "what each file is, for a network that takes any number; default: the first is the content"
    merge.add_argument("--kinds", nargs="+", choices=["content", "style"], metavar="KIND", help=kinds)
    merge.add_argument("--weights", type=float, nargs="+", metavar="W", help="one for each file")
    merge.add_argument(
        "--block", action="append", default=[], metavar="PATH=W[,W..]", help="strength of a block, such as up_blocks.1"
    )
    merge.add_argument("--text-encoder", type=float, nargs="+", metavar="W", help="strength of the text encoders")
    add_option(merge)
    size = merge.add_mutually_exclusive_group()
    size.add_argument("--rank", type=int, help="truncate every layer to this rank")
    size.add_argument("--energy", type=float, help="truncate to the rank that keeps this share of the squared norm")
    base = "the base model, for DoRA, IA3, OFT and GLoRA files and for mergers that optimise each pair"
    merge.add_argument("--base", type=Path, metavar="MODEL", help=base)
    _add_pair(merge)
    merge.add_argument("--format", choices=["kohya", "diffusers", "peft"], help="default: what the family's tools read")
    merge.add_argument("--dtype", choices=["fp16", "bf16", "fp32"], default="fp16")
    merge.add_argument("--device", default="cpu")
    merge.add_argument("--save-coefficients", type=Path, metavar="FILE", help="every coefficient, as safetensors")
    merge.add_argument("--json", action="store_true", help="print the summary as JSON")
    merge.add_argument("--force", action="store_true", help="replace existing files")
    merge.set_defaults(run=_merge)


def _add_pair(merge: argparse.ArgumentParser) -> None:
    """What mergers that optimise each pair need."""
    pair = merge.add_argument_group("for mergers that optimise each pair on a base: ziplora, cat, words")
    for kind in ("content", "style"):
        pair.add_argument(f"--{kind}-images", type=Path, metavar="DIR", help=f"images of the {kind}")
        told = f"the {kind} in words that the base understands, for words: no images are needed then"
        pair.add_argument(f"--{kind}-description", metavar="TEXT", help=told)
        words = "what its LoRA was trained with; default: the trigger words in its file"
        pair.add_argument(f"--{kind}-prompt", metavar="TEXT", help=words)
    start = "a trained merger, as --hypernetwork has it: the optimisation starts from its coefficients, not from 1"
    pair.add_argument("--init", metavar="NETWORK", help=start)
    runs = "where a folder with checkpoints lies until the merge is written; default: beside OUTPUT"
    pair.add_argument("--runs", type=Path, metavar="DIR", help=runs)


def _merge(arguments: argparse.Namespace) -> None:
    from lorarar.hypernetwork import network_file
    from lorarar.mergers import describe, merge_files

    optimiser = _optimiser(arguments)
    summary = merge_files(
        arguments.files,
        arguments.output,
        merger=arguments.merger,
        hypernetwork=network_file(arguments.hypernetwork) if arguments.hypernetwork else None,
        kinds=arguments.kinds,
        weights=arguments.weights,
        blocks={name: _numbers(text) for name, text in map(assignment, arguments.block)},
        text_encoder=arguments.text_encoder,
        options=options(arguments),
        optimiser=optimiser,
        facts=optimiser.facts() if optimiser else None,
        rank=arguments.rank,
        energy=arguments.energy,
        base=arguments.base if not optimiser or arguments.base.is_dir() else None,
        format=arguments.format,
        dtype=arguments.dtype,
        device=arguments.device,
        save_coefficients=arguments.save_coefficients,
        force=arguments.force,
    )
    if optimiser:
        optimiser.finish()
    print(json.dumps(summary, indent=1) if arguments.json else describe(summary))


def _optimiser(arguments: argparse.Namespace) -> PairOptimiser | None:
    """What a merger that optimises each pair needs; None for the others, which load no base model.

    Raises:
        ValueError: Something is missing, or is given to a merger that does not use it.
    """
    row = MERGERS.get(arguments.merger)
    method = row.pair if row else None
    for needs, names in _optimised_by().items():
        used = method is not None and needs in (method.needs, "start")
        given = [flag for flag, value in _flags(arguments, needs).items() if value]
        if given and not used:
            raise ValueError(
                f"expected {given[0]} with --merger {', '.join(names)} alone, found --merger {arguments.merger}"
            )
    if not row or not method:
        return None
    wanted = {"--base": arguments.base} | _flags(arguments, method.needs)
    missing = [flag for flag, value in wanted.items() if not value]
    if missing:
        raise ValueError(
            f"{row.name} optimises each pair with the base model and the concepts' {method.needs}: give "
            f"{', '.join(missing)}"
        )
    from lorarar.hypernetwork import network_file
    from lorarar.training import PairOptimiser

    return PairOptimiser(
        str(arguments.base),
        arguments.content_images,
        arguments.style_images,
        arguments.content_prompt,
        arguments.style_prompt,
        arguments.content_description or "",
        arguments.style_description or "",
        network_file(arguments.init) if arguments.init else None,
        (arguments.runs or arguments.output.parent) / f"{arguments.output.stem}.run",
        arguments.device,
    )


def _flags(arguments: argparse.Namespace, needs: str) -> dict[str, object]:
    """The flags that give what an optimised merger needs, and their values."""
    if needs == "start":
        return {"--init": arguments.init}
    name = {"images": "images", "descriptions": "description"}[needs]
    return {f"--{kind}-{name}": getattr(arguments, f"{kind}_{name}") for kind in ("content", "style")}


def _optimised_by() -> dict[str, list[str]]:
    """The mergers that optimise each pair, by what they can be given."""
    rows = {name: row.pair for name, row in MERGERS.items() if row.pair}
    needs = {kind: [name for name, pair in rows.items() if pair.needs == kind] for kind in ("images", "descriptions")}
    return needs | {"start": list(rows)}


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
