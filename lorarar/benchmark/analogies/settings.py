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
        bases: Files of trained bases by the names of their rows. `bases={NAME: FILE}` adds rows to those of a
            configuration; `bases=null` before it removes those.
        output: Folder for answers, replies of the judge, results.json and the sheet.
        reference: Row that the others are compared with.
        images: Analogies of each transformation.
        parts: What is tested: "seen" transformations on new images, their held-out "values", "compositions" of two,
            held-out "types".
        sampling: Steps and guidance.
        seed: Seed of the analogies and of the noise.
        batch: Analogies that are sampled at once.
        classifier: File of the attribute classifier.
        combination: Row of `bases` whose LoRAs, one for each transformation, a further row weighs anew for each analogy
            by optimisation on a and a' alone; none: no such row.
        combination_steps: Steps of this optimisation.
        judge: Back end of a judge that is asked whether the change was made and the rest kept, such as
            "openai:MODEL@URL"; none: no judge.
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
    combination: str | None = None
    combination_steps: PositiveInt = 20
    judge: str | None = None
