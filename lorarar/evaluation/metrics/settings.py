"""Settings of `lorarar metrics`, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lorarar.evaluation.metrics.encoders.choice import EncoderChoice
from lorarar.storage import Device, InputPath
from lorarar.storage.units import WORKERS, Engine, Workers


@dataclass(frozen=True)
class MetricsConfig:
    """`lorarar metrics`.

    Attributes:
        images: Folder of the images.
        references: YAML file of concepts and their images. The `category` of a content there groups classes for ranks.
        output: Folder for the results. In the folder of a judging run they become a section of its report.
        layout: Pattern of the image paths, from which the manifest is built.
        manifest: File that lists the images. With neither a layout nor a manifest, the manifest is the one that
            `lorarar judge plan` wrote into output.
        ignore: Patterns of paths that the layout skips.
        reference_root: Folder of the reference images; None is the folder of that file, or `images` in it.
        splits: Name of the splits in the file of references whose training part must not be scored.
        content: Encoder for content fidelity, diversity and copies.
        style: Encoder for style fidelity.
        gram: Encoder for Gram losses.
        text: Encoder for controllability; None leaves controllability out.
        triggers: Words and phrases that are removed from prompts before prompts are compared with images.
        base: The method whose images come from the base model alone.
        cache: Folder of features, which runs may share.
        allow_unlike_images: Whether an encoder may measure images unlike those that it knows; their scores mean little.
        device: Where the encoders compute: cpu, cuda, mps, or auto for the best one here.
        engine: Where images are encoded: local (in this process), ray or slurm.
        workers: The workers of ray and slurm.
    """

    images: InputPath
    references: InputPath
    output: Path
    layout: str | None = None
    manifest: InputPath | None = None
    ignore: tuple[str, ...] = ()
    reference_root: InputPath | None = None
    splits: str | None = None
    content: EncoderChoice = field(default_factory=lambda: EncoderChoice("tower"))
    style: EncoderChoice = field(default_factory=lambda: EncoderChoice("tower"))
    gram: EncoderChoice = field(default_factory=lambda: EncoderChoice("tower"))
    text: EncoderChoice | None = None
    triggers: tuple[str, ...] = ()
    base: str = "base"
    cache: Path = Path("runs/metrics_cache")
    allow_unlike_images: bool = False
    device: Device = "auto"
    engine: Engine = "local"
    workers: Workers = WORKERS
