"""`lorarar metrics`: from a configuration to metrics.json, metrics.csv, metrics.md and plots."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lorarar.datasets import Item, References, build_items, check_items, load_references, lock, read_manifest
from lorarar.evaluation.metrics.encoders.opening import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import Encoder
from lorarar.evaluation.metrics.encoders.resizing import Resize
from lorarar.evaluation.metrics.export import Measured, write_all
from lorarar.evaluation.metrics.images_seen import Encoders, see
from lorarar.evaluation.metrics.ranking import Place
from lorarar.evaluation.metrics.reasons import not_measured
from lorarar.evaluation.metrics.results import summarise
from lorarar.evaluation.metrics.scoring import score_all


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder by name, see `lorarar.evaluation.metrics.encoders.load_encoder`."""

    name: str
    path: str | None = None
    resize: Resize = "scale"


@dataclass(frozen=True)
class MetricsConfig:
    """``lorarar metrics``.

    Attributes:
        images: the folder of the images; layout reads a manifest off their paths, or manifest lists them; with
            neither, the one that `lorarar judge plan` wrote into output.
        references: YAML file of concepts and their images; a concept's `category` there groups classes for the ranks.
        output: folder for the results. In the folder of a judging run they become a section of its report.
        splits: splits in that file whose training part must not be scored.
        content, style, gram, text: who sees what, see `lorarar.evaluation.metrics.images_seen.Encoders`; no text, no controllability.
        triggers: words and phrases that are taken out of prompts before they are compared with images.
        base: the method whose images are the base model's own.
        cache: folder of features, which runs may share.
    """

    images: Path
    references: Path
    output: Path
    layout: str | None = None
    manifest: Path | None = None
    ignore: tuple[str, ...] = ()
    reference_root: Path | None = None
    splits: str | None = None
    content: EncoderChoice = field(default_factory=lambda: EncoderChoice("tower"))
    style: EncoderChoice = field(default_factory=lambda: EncoderChoice("tower"))
    gram: EncoderChoice = field(default_factory=lambda: EncoderChoice("tower"))
    text: EncoderChoice | None = None
    triggers: tuple[str, ...] = ()
    base: str = "base"
    cache: Path = Path("runs/metrics_cache")


def run_metrics(config: MetricsConfig) -> str:
    """Measures what a configuration names, and writes it; returns a few lines for people.

    Raises:
        ValueError: images, names, references or encoders are wrong.
    """
    references = load_references(config.references, root=config.reference_root, splits=config.splits)
    if config.layout:
        items = build_items(config.images, config.layout, references, ignore=config.ignore)
    else:
        items = read_manifest(config.manifest or config.output / "manifest.jsonl")
    encoders = load_encoders(config)
    measured = measure(
        items,
        references,
        config.images,
        encoders,
        triggers=config.triggers,
        base=config.base,
        places=read_places(config.references, references),
        cache=config.cache,
        progress=True,
    )
    return write_all(config.output, measured)


def measure(
    items: Sequence[Item],
    references: References,
    root: Path,
    encoders: Encoders,
    *,
    triggers: Sequence[str] = (),
    base: str = "base",
    places: Mapping[str, Place] | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> Measured:
    """All metrics of some images. Images that cannot be read are counted with a reason, and the others are scored.

    Args:
        root: the items' paths are relative to it.
        triggers: words that are taken out of prompts.
        base: the method whose images are the base model's own.
        places: class and category of each content; by default its phrase, all in one category.
        cache: folder of features; None keeps none.

    Raises:
        ValueError: the manifest is refused, see `lorarar.datasets.manifest.check_items`.
    """
    check_items(items, references)
    start = time.perf_counter()
    locked = lock(items, root)
    seen = see(locked, references, root, encoders, triggers=triggers, cache=cache, progress=progress)
    images, pairs = score_all(locked, seen, base=base)
    places = places or _default_places(references)
    refused = {image.item.id: image.refused for image in images if image.refused}
    shown = {picture.path: why for picture, why in seen.content.refused.items() if picture.root == references.root}
    return Measured(
        items=locked,
        encoders=encoders.by_part(),
        images=images,
        pairs=pairs,
        groups=summarise(images, pairs, places, base=base),
        not_measured=not_measured(locked, images, pairs, encoders, base),
        refused={"image": refused, "reference": shown},
        threshold=seen.threshold,
        computed=seen.content.computed,
        cached=seen.content.cached,
        seconds=time.perf_counter() - start,
    )


def load_encoders(config: MetricsConfig) -> Encoders:
    """The encoders of a configuration; equal choices share one."""
    loaded: dict[EncoderChoice, Encoder] = {}

    def once(choice: EncoderChoice) -> Encoder:
        if choice not in loaded:
            loaded[choice] = load_encoder(choice.name, resize=choice.resize, path=choice.path)
        return loaded[choice]

    return Encoders(
        once(config.content), once(config.style), once(config.gram), once(config.text) if config.text else None
    )


def read_places(path: Path, references: References) -> dict[str, Place]:
    """Class and category of each content: what a question calls it, and the file's `category`, where it has one."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["concepts"]
    categories = {e["name"]: str(e["category"]) for e in entries if e["kind"] == "content" and "category" in e}
    places = _default_places(references)
    return {name: Place(place.class_, categories.get(name, place.category)) for name, place in places.items()}


def _default_places(references: References) -> dict[str, Place]:
    return {name: Place(concept.phrase) for (axis, name), concept in references.concepts.items() if axis == "content"}
