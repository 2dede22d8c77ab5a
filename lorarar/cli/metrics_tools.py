"""Commands beside `lorarar metrics`: which encoder is fit for a question, and what hyper-parameters do."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from lorarar.cli.configurations import Commands


def add_tools(steps: Commands) -> None:  # type: ignore[type-arg]
    """Registers `validate` and `effects`."""
    _add_validate(steps)
    _add_effects(steps)


def _add_validate(steps: Commands) -> None:  # type: ignore[type-arg]
    validate = steps.add_parser(
        "validate", help="whether an encoder sees content or style, on images whose both are known"
    )
    validate.add_argument(
        "images", type=Path, nargs="?", help="folder of labelled images; none: renders of the toy world"
    )
    validate.add_argument("--layout", default="{content}/{style}/{seed}.png", help="how paths name content and style")
    validate.add_argument(
        "--encoder",
        nargs="+",
        default=["tower", "pixels", "tower:gram", "pixels:gram"],
        metavar="NAME[:gram][=PATH]",
        help="tower, pixels, dinov2=PATH, clip=PATH, vgg19=PATH",
    )
    validate.add_argument("--resize", default="scale", help="scale, letterbox, crop or stretch")
    validate.add_argument("-o", "--output", type=Path, help="JSON file for all numbers")
    validate.set_defaults(run=_validate)


def _add_effects(steps: Commands) -> None:  # type: ignore[type-arg]
    effects = steps.add_parser("effects", help="what each hyper-parameter does to each criterion, by Shapley values")
    effects.add_argument("table", type=Path, help="CSV file, one configuration a row")
    effects.add_argument("--factors", nargs="+", required=True, metavar="COLUMN", help="the hyper-parameters")
    effects.add_argument("--criteria", nargs="+", default=[], metavar="COLUMN", help="default: all other columns")
    effects.add_argument(
        "--method", choices=["exact", "catboost"], default="exact", help="exact needs a full factorial"
    )
    effects.set_defaults(run=_effects)


def _validate(arguments: argparse.Namespace) -> None:
    from lorarar.evaluation.metrics import read_labelled, validate_encoder, validation_table, write_validation
    from lorarar.worlds.toy import write_crossed_renders

    with tempfile.TemporaryDirectory() as folder:
        root = arguments.images or write_crossed_renders(Path(folder))
        labelled = read_labelled(root, arguments.layout)
        found = [
            validate_encoder(labelled, wanted, resize=arguments.resize, progress=True) for wanted in arguments.encoder
        ]
    for one in found:
        for path, reason in one.refused.items():
            print(f"{one.encoder} left out {path}: {reason}")
    if arguments.output:
        write_validation(arguments.output, found)
    print(validation_table(found))


def _effects(arguments: argparse.Namespace) -> None:
    from lorarar.evaluation.metrics import effects_table, measure_effects, read_table

    print(
        effects_table(
            measure_effects(read_table(arguments.table, arguments.factors, arguments.criteria), arguments.method)
        )
    )
