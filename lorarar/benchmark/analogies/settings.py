"""Settings of the measurement of answers, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lorarar.diffusion import Sampling
from lorarar.storage import EMBEDDED, InputPath, ModelName, PositiveInt

TestPart = Literal["seen", "values", "compositions", "types"]


@dataclass(frozen=True)
class AnswersConfig:
    """`lorarar analogy evaluate`.

    Attributes:
        base: Folder of the editor base.
        bases: Files of trained bases by the names of their rows.
        output: Folder for cells, results.json and the sheet.
        reference: Row that the others are compared with.
        images: Analogies of each transformation.
        parts: What is tested: "seen" transformations on new images, their held-out "values", "compositions" of two,
            held-out "types".
        sampling: Steps and guidance.
        seed: Seed of the analogies and of the noise.
        batch: Analogies that are sampled at once.
        classifier: File of the attribute classifier.
    """

    base: ModelName
    bases: dict[str, Path]
    output: Path
    reference: str = "basis"
    images: PositiveInt = 6
    parts: tuple[TestPart, ...] = ("seen", "values", "compositions", "types")
    sampling: Sampling = field(default_factory=lambda: Sampling(steps=8, guidance=1.0))
    seed: int = 1
    batch: PositiveInt = 32
    classifier: InputPath = EMBEDDED / "classifier.safetensors"
