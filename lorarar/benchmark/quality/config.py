"""Configuration of `lorarar benchmark quality`: the rows of the table and their common settings, as in the YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lorarar.storage import Device, InputPath, ModelName, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from lorarar.storage.units import WORKERS, Engine, Workers

RowKind = Literal["base", "content", "style", "truth", "joint", "merger", "pair", "trained", "file"]


@dataclass(frozen=True)
class RowConfig:
    """One row of the table, as the configuration states it; `lorarar.benchmark.quality.rows.read_rows` checks it.

    Attributes:
        name: Label of the row, unique in the table.
        kind: What the row merges with, see `lorarar.benchmark.quality.settings`.
        source: Which method, for the kinds "merger", "pair", "trained" and "file".
        settings: Settings of the kind.
        tried: Settings that are tried on validation pairs, each over `settings`; the best joint score decides. Every
            tuned row has `QualityConfig.budget` of them.
        training_seeds: Seeds of the "trained" kind: one merger is trained per seed, and the scores of all are kept.
    """

    name: str
    kind: RowKind
    source: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=list)
    training_seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class QualityConfig:
    """Configuration of ``lorarar benchmark quality``.

    Attributes:
        output: Folder for results.json, times.json, table.md and the pictures.
        runs: Folder for images, cells and trainings. What it already holds is not computed again.
        base: Folder or hub id of the base model.
        manifests: YAML files with concepts.
        images: Folder that holds a folder of images for each concept.
        splits: YAML file with splits.
        split: Name of the splits in that file.
        loras: Folder with the zoo's LoRAs.
        methods: The rows of the table.
        pairs: Split whose pairs are compared.
        pairs_every: Every n-th of these pairs is compared, along the diagonals, so that each LoRA occurs equally often.
        tuned_on: Split whose pairs serve the choice of settings.
        tuned_every: Every n-th pair of `tuned_on` is used, along the diagonals, so that each concept occurs equally
            often.
        seeds: Noise seeds of each pair's images.
        tuned_seeds: Noise seeds of the images that serve the choice of settings.
        budget: Validation runs of each tuned row.
        compared: Pairs of rows that are compared beside the comparisons with the best row.
        equivalence_margin: The largest difference of two scores that counts as none, such as 0.03, fixed before the
            run: a folder that holds a run refuses another one. None states no equivalence.
        classifier: File of the toy world's attribute classifier, which scores images; None for none.
        judge: Name of a judge, which scores images too; None for none.
        steps: Sampling steps of an image.
        guidance: Classifier-free guidance scale.
        group: Pairs that are merged and sampled in one batch.
        trainings: Folder for trained mergers, which several comparisons may share.
        device: Where to compute: cpu, cuda, mps, or auto for the best one here.
        low_memory: Whether to save memory, as a full-size base on a small card needs it: rows that optimise compute
            activations again in backward, parts of the base lie on the CPU while they are not used, and images are
            sampled one at a time. The results are the same, to rounding.
        engine: Where trainings and groups of pairs are computed: local (in this process), ray or slurm.
        workers: The workers of ray and slurm.
    """

    output: Path
    runs: Path
    base: ModelName
    manifests: tuple[InputPath, ...]
    images: InputPath
    splits: InputPath
    split: str
    loras: InputPath
    methods: list[RowConfig]
    pairs: str = "test"
    pairs_every: PositiveInt = 1
    tuned_on: str = "validation"
    tuned_every: PositiveInt = 1
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    tuned_seeds: tuple[int, ...] = (0,)
    budget: NonNegativeInt = 0
    compared: list[list[str]] = field(default_factory=list)
    equivalence_margin: PositiveFloat | None = None
    classifier: InputPath | None = None
    judge: str | None = None
    steps: PositiveInt = 15
    guidance: NonNegativeFloat = 2.5
    group: PositiveInt = 16
    trainings: Path = Path("runs/trained")
    device: Device = "auto"
    low_memory: bool = False
    engine: Engine = "local"
    workers: Workers = WORKERS
