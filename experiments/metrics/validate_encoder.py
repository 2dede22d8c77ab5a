"""Validation of encoders: whether an encoder represents content or style, see probe.py.

python experiments/metrics/validate_encoder.py [IMAGES] [--layout PATTERN] [--encoder NAME[:gram][=PATH] ..]
[--resize WAY] [-o FILE]

IMAGES is a folder of images whose paths name content and style. Without it, renders of the toy world are used.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from probe import DIVERSITIES, Probe, probe

from lorarar.datasets import SUFFIXES, parse_layout
from lorarar.evaluation.metrics import Features, ImageFile, gram_features, image_features
from lorarar.evaluation.metrics.encoders import RESIZES, MapEncoder, Resize, load_encoder
from lorarar.storage import write_json
from lorarar.worlds.toy import write_crossed_renders

LAYOUT = "{content}/{style}/{seed}.png"
ENCODERS = ("tower", "pixels", "tower:gram", "pixels:gram")


@dataclass(frozen=True)
class Labelled:
    """Images whose content and style are labelled: three tuples of one length."""

    files: tuple[ImageFile, ...]
    contents: tuple[str, ...]
    styles: tuple[str, ...]


@dataclass(frozen=True)
class Validated:
    """What an encoder sees.

    Attributes:
        encoder: The encoder, as NAME or NAME:gram.
        sha256: Hash of its weights.
        images: Number of images that were read.
        refused: Reasons for the other images, by path.
        probe: The probe of the images that were read.
    """

    encoder: str
    sha256: str
    images: int
    refused: Mapping[str, str]
    probe: Probe


def read_labelled(root: Path, layout: str = LAYOUT) -> Labelled:
    """Label every image below a folder by its path.

    Args:
        root: The folder.
        layout: A pattern with {content} and {style}, see `lorarar.datasets.layout`.

    Raises:
        ValueError: There is no folder, there are no images, or the layout does not match a path in exactly one way.
    """
    pattern = parse_layout(layout, {})
    paths = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"expected a folder of images at {root}, found no images: check the path")
    readings = {path: pattern.readings(path) for path in paths}
    if wrong := [path for path, of_path in readings.items() if len(of_path) != 1]:
        raise ValueError(
            f"expected all images below {root} to match {layout} in one way, found {len(wrong)} that do not, "
            f"first {wrong[:3]}: give another --layout, or move them away"
        )
    return Labelled(
        tuple(ImageFile(root, path) for path in paths),
        tuple(of_path[0]["content"] for of_path in readings.values()),
        tuple(of_path[0]["style"] for of_path in readings.values()),
    )


def validate_encoder(
    labelled: Labelled, choice: str, *, resize: Resize = "scale", draws: int = 200, progress: bool = False
) -> Validated:
    """Probe one encoder.

    Args:
        labelled: The images.
        choice: The name of an encoder, see `lorarar.evaluation.metrics.encoders.load_encoder`; with ":gram" for its
            Gram matrices and "=PATH" for its weights: "tower", "tower:gram", "vgg19:gram=vgg19.safetensors".
        resize: How images are brought to the size of the encoder.
        draws: Number of random assignments of classes that each ratio is compared with.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: The encoder is unknown, has no feature maps for Gram matrices, or cannot be probed on the images.
    """
    name, _, path = choice.partition("=")
    plain_name, _, kind = name.partition(":")
    if kind not in ("", "gram"):
        raise ValueError(f"expected an encoder NAME, NAME:gram or either with =PATH, found {choice!r}")
    encoder = load_encoder(plain_name, resize=resize, path=path or None)
    if not kind:
        features = image_features(labelled.files, encoder)
    elif isinstance(encoder, MapEncoder):
        features = gram_features(labelled.files, encoder)
    else:
        raise ValueError(f"expected an encoder with feature maps for {choice!r}, found {plain_name}: leave :gram out")
    refused = {file.path: reason for file, reason in features.refused.items()}
    return Validated(name, encoder.sha256, len(features.rows), refused, _probe_readable(labelled, features, draws))


def _probe_readable(labelled: Labelled, features: Features, draws: int) -> Probe:
    """Probe the images that were read."""
    readable = [i for i, file in enumerate(labelled.files) if file in features.rows]
    if not readable:
        reasons = [*features.refused.values()][:3]
        raise ValueError(f"expected images that can be read, found {len(labelled.files)} that cannot: {reasons}")
    return probe(
        features.of([labelled.files[i] for i in readable]),
        [labelled.contents[i] for i in readable],
        [labelled.styles[i] for i in readable],
        draws=draws,
    )


def write_validation(path: Path, validations: Sequence[Validated]) -> None:
    """Write all numbers as JSON."""
    record = []
    for validated in validations:
        leanings = {name: validated.probe.leaning(name) for name in DIVERSITIES}
        record.append(asdict(validated) | {"verdict": validated.probe.verdict, "leanings": leanings})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)


def validation_table(validations: Sequence[Validated]) -> str:
    """Return a Markdown table: the ratios of each encoder as "content / style", lower is seen better, and a verdict."""
    lines = [f"| encoder | {' | '.join(DIVERSITIES)} | sees |", "|---|" + "---|" * (len(DIVERSITIES) + 1)]
    for validated in validations:
        ratios = validated.probe.ratios
        cells = [f"{ratios['content'][name].value:.2f} / {ratios['style'][name].value:.2f}" for name in DIVERSITIES]
        lines.append(f"| {validated.encoder} | {' | '.join(cells)} | {validated.probe.verdict} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Validate encoders and print a table; end with a message on wrong images or encoders."""
    parser = argparse.ArgumentParser(description="Measure whether an encoder represents content or style.")
    parser.add_argument(
        "images", type=Path, nargs="?", help="folder of labelled images; default: renders of the toy world"
    )
    parser.add_argument("--layout", default=LAYOUT, help="how paths name content and style")
    parser.add_argument(
        "--encoder",
        nargs="+",
        default=list(ENCODERS),
        metavar="NAME[:gram][=PATH]",
        help="tower, pixels, dinov2=PATH, clip=PATH, vgg19=PATH",
    )
    parser.add_argument("--resize", default="scale", choices=RESIZES)
    parser.add_argument("-o", "--output", type=Path, help="JSON file for all numbers")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            labelled = read_labelled(options.images or write_crossed_renders(Path(folder)), options.layout)
            validations = [validate_encoder(labelled, choice, resize=options.resize) for choice in options.encoder]
    except (ValueError, OSError) as error:
        raise SystemExit(f"validate_encoder: {error}") from error
    for validated in validations:
        for path, reason in validated.refused.items():
            print(f"{validated.encoder} left out {path}: {reason}")
    if options.output:
        write_validation(options.output, validations)
    print(validation_table(validations))


if __name__ == "__main__":
    main()
