"""Probe encoders on labelled images: what `lorarar metrics validate` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lorarar.datasets import list_images, parse_layout
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import MapEncoder
from lorarar.evaluation.metrics.encoders.resizing import Resize
from lorarar.evaluation.metrics.features import Features, ImageFile, gram_features, image_features
from lorarar.evaluation.metrics.probe import DIVERSITIES, Probe, probe
from lorarar.storage import write_json

LAYOUT = "{content}/{style}/{seed}.png"


@dataclass(frozen=True)
class Labelled:
    """Images whose content and style are known, three lists of one length."""

    pictures: tuple[ImageFile, ...]
    contents: tuple[str, ...]
    styles: tuple[str, ...]


@dataclass(frozen=True)
class Validated:
    """What an encoder sees.

    Attributes:
        sha256: of the encoder's weights.
        images: that it saw; refused: why others could not be read, by path.
    """

    encoder: str
    sha256: str
    images: int
    refused: Mapping[str, str]
    probe: Probe


def read_labelled(root: Path, layout: str = LAYOUT) -> Labelled:
    """Labels every image below a folder by its path.

    Args:
        layout: with {content} and {style}, see `lorarar.datasets.layout`.

    Raises:
        ValueError: no folder, no images, or a path that the layout does not match in one way.
    """
    pattern = parse_layout(layout, {})
    paths = sorted(p.relative_to(root).as_posix() for p in list_images(root, recursive=True))
    if not paths:
        raise ValueError(f"expected a folder of images at {root}, found none: check the path")
    read = {path: pattern.readings(path) for path in paths}
    if wrong := [path for path, readings in read.items() if len(readings) != 1]:
        raise ValueError(
            f"expected all images below {root} to match {layout} in one way, found {len(wrong)} that do not, "
            f"first {wrong[:3]}: give another --layout, or move them away"
        )
    return Labelled(
        tuple(ImageFile(root, path) for path in paths),
        tuple(readings[0]["content"] for readings in read.values()),
        tuple(readings[0]["style"] for readings in read.values()),
    )


def validate_encoder(
    labelled: Labelled, wanted: str, *, resize: Resize = "scale", draws: int = 200, progress: bool = False
) -> Validated:
    """Probes one encoder.

    Args:
        wanted: a name of `lorarar.evaluation.metrics.encoders.NAMES`, with ":gram" for its Gram matrices and "=PATH" for its
            weights: "tower", "tower:gram", "vgg19:gram=vgg19.safetensors".
        draws: random classes that each ratio is held against.

    Raises:
        ValueError: no such encoder, one without feature maps asked for Gram matrices, or images that cannot be probed.
    """
    name, _, path = wanted.partition("=")
    plain, _, kind = name.partition(":")
    if kind not in ("", "gram"):
        raise ValueError(f"expected an encoder NAME, NAME:gram or either with =PATH, found {wanted!r}")
    encoder = load_encoder(plain, resize=resize, path=path or None)
    if not kind:
        features = image_features(labelled.pictures, encoder, progress=progress)
    elif isinstance(encoder, MapEncoder):
        features = gram_features(labelled.pictures, encoder, progress=progress)
    else:
        raise ValueError(f"{plain} has no feature maps, and so no Gram matrices: leave :gram out")
    return Validated(name, encoder.sha256, *_probed(labelled, features, draws))


def _probed(labelled: Labelled, features: Features, draws: int) -> tuple[int, dict[str, str], Probe]:
    """Images, refused ones and the probe of those that were read."""
    kept = [i for i, picture in enumerate(labelled.pictures) if picture in features.rows]
    if not kept:
        raise ValueError(
            f"expected images, all {len(labelled.pictures)} were refused: {[*features.refused.values()][:3]}"
        )
    found = probe(
        features.of([labelled.pictures[i] for i in kept]),
        [labelled.contents[i] for i in kept],
        [labelled.styles[i] for i in kept],
        draws=draws,
    )
    return len(kept), {picture.path: reason for picture, reason in features.refused.items()}, found


def write_validation(path: Path, validated: Sequence[Validated]) -> None:
    """All numbers as JSON."""
    record = [
        asdict(one)
        | {"verdict": one.probe.verdict, "leanings": {name: one.probe.leaning(name) for name in DIVERSITIES}}
        for one in validated
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)


def validation_table(validated: Sequence[Validated]) -> str:
    """A table: an encoder's ratios as "content / style", lower is seen better, and what it is about."""
    lines = [f"| encoder | {' | '.join(DIVERSITIES)} | sees |", "|---|" + "---|" * (len(DIVERSITIES) + 1)]
    for one in validated:
        cells = [
            " / ".join(f"{one.probe.ratios[axis][name].value:.2f}" for axis in ("content", "style"))
            for name in DIVERSITIES
        ]
        lines.append(f"| {one.encoder} | {' | '.join(cells)} | {one.probe.verdict} |")
    return "\n".join(lines)
