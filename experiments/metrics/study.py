"""Hyper-parameter study: the effects of rank, steps, rate and number of images of a LoRA on every criterion.

python experiments/metrics/study.py generates and measures images of the LoRAs that factorial.py has trained, and writes
study.csv, study.json and study.md. It resumes. Images are kept, so that another tower measures the same images.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from effects import Effect, Table, effects_table, measure_effects
from factorial import CONTENTS, FACTORS, RUNS, STYLES, configurations, folder_of, load_studied
from PIL import Image

from lorarar.datasets import TYPES, Concept, load_prompt_set, to_bytes
from lorarar.diffusion import load_backbone
from lorarar.evaluation.metrics import cosine_fidelity, gram_vectors, vendi
from lorarar.evaluation.metrics.encoders import MapEncoder, load_encoder
from lorarar.evaluation.statistics import spearman
from lorarar.lora import LoRA, merge_exactly
from lorarar.mergers import MERGERS
from lorarar.storage import EMBEDDED, atomic_write, checked
from lorarar.training import load_loras
from lorarar.worlds.stages import ScoredImages, generate_and_score, load_classifier
from lorarar.worlds.toy import (
    Style,
    Subject,
    apply_prompt,
    style_of,
    subject_of,
    truth,
)

HERE, SEEDS = Path(__file__).parent, (0, 1)


@dataclass(frozen=True)
class PlannedImages:
    """Images of one prompt, at both seeds.

    Attributes:
        kind: "content" or "style" for a single LoRA, or "pair".
        names: Names of the LoRAs.
        type: Type of the prompt.
        prompt: The prompt.
        truth: The attributes that the images should have.
    """

    kind: str
    names: tuple[str, ...]
    type: str
    prompt: str
    truth: tuple[int, ...]


def plan(concepts: Mapping[str, Concept]) -> list[PlannedImages]:
    """Plan every LoRA with one prompt of each type, and every pair with the combined prompt."""
    planned = []
    for number, name in enumerate((*CONTENTS, *STYLES)):
        concept = concepts[name]
        values = {"phrase": [concept.phrase]}
        values |= {"token": ["sks"]} if concept.kind == "content" else {"caption": [concept.captions[0]]}
        filled = load_prompt_set(Path(f"data/prompts/toyworld_{concept.kind}.yaml")).fill(values)
        for kind in TYPES:
            texts = [prompt.text for prompt in filled if prompt.type == kind]
            planned.append(_planned(concept.kind, (name,), kind, texts[number % len(texts)]))
    for content, style in itertools.product(CONTENTS, STYLES):
        prompt = f"{concepts[content].phrase} in {concepts[style].phrase}"
        planned.append(_planned("pair", (content, style), "train", prompt))
    return planned


def _planned(kind: str, names: tuple[str, ...], type_: str, prompt: str) -> PlannedImages:
    subject = subject_of(names[0]) if kind != "style" else Subject(0, 0, 0, 0)
    style = style_of(names[-1]) if kind != "content" else Style(0, 0, 0, 0)
    return PlannedImages(kind, names, type_, prompt, truth(*apply_prompt(subject, style, prompt)))


class Study:
    """Generation and measurement of configurations."""

    def __init__(self) -> None:
        self.concepts = load_studied()
        self.backbone = load_backbone(checked(EMBEDDED / "base"), device="cpu")
        self.classifier = load_classifier(checked(EMBEDDED / "classifier.safetensors"))
        self.encoder = load_encoder("tower")
        self.plan = plan(self.concepts)
        self.references = {
            name: [Image.open(path).convert("RGB") for path in concept.images]
            for name, concept in self.concepts.items()
        }
        self.base = self.images([None] * len(self.plan)).images

    def images(self, loras: Sequence[LoRA | None]) -> ScoredImages:
        """Generate images with one LoRA for each entry of the plan."""
        prompts, truths = [planned.prompt for planned in self.plan], [planned.truth for planned in self.plan]
        return generate_and_score(self.backbone, self.classifier, loras, prompts, truths, SEEDS)

    def generate(self, folder: Path) -> ScoredImages:
        """Return the images of the LoRAs of one configuration; generate them once."""
        path = RUNS / "drawn" / f"{folder.name}.pt"
        if not path.exists():
            loras = load_loras(folder, [*CONTENTS, *STYLES])
            scored = self.images([self._lora(planned, loras) for planned in self.plan])
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                torch.save({"images": scored.images, "scores": scored.scores}, temporary)
        return ScoredImages(**torch.load(path, weights_only=True))

    def measure(self, scored: ScoredImages) -> dict[str, float]:
        """Return all criteria of the images of one configuration."""
        criteria: dict[str, list[float]] = {}
        for i, planned in enumerate(self.plan):
            for name, value in self._criteria(i, planned, scored).items():
                criteria.setdefault(f"{planned.kind} {name}", []).append(value)
        return {name: float(np.mean(values)) for name, values in criteria.items()}

    def _lora(self, planned: PlannedImages, loras: Mapping[str, LoRA]) -> LoRA:
        members = [loras[name] for name in planned.names]
        return members[0] if len(members) == 1 else merge_exactly(members, MERGERS["direct"].call(members))

    def _criteria(self, i: int, planned: PlannedImages, scored: ScoredImages) -> dict[str, float]:
        values = {name: float(of_all[i].mean()) for name, of_all in scored.scores.items()}
        if planned.kind == "pair":
            return {f"reader, {name}": values[name] for name in ("content", "style", "joint")}
        criteria = {f"reader, {planned.type}": values[planned.kind]}
        # In these two cases the prompt names the other axis.
        if (planned.kind, planned.type) in (("content", "style"), ("style", "alter")):
            criteria["rest as asked"] = values["style" if planned.kind == "content" else "content"]
        images = [Image.fromarray(to_bytes(image)) for image in scored.images[i]]
        rows = self.encoder.encode_images(images)
        if planned.type in ("train", "alter"):
            criteria[f"diversity, {planned.type}"] = vendi(rows)
        if planned.type == "train":
            references = self.references[planned.names[0]]
            criteria["fidelity, train"] = cosine_fidelity(rows, self.encoder.encode_images(references))
            if planned.kind == "style":
                criteria["style Gram loss, train"] = self._gram_loss(images, references)
        if planned.type in ("alter", "style"):
            before = [Image.fromarray(to_bytes(image)) for image in self.base[i]]
            criteria[f"base Gram loss, {planned.type}"] = self._paired_gram_loss(images, before)
        return criteria

    def _grams(self, images: Sequence[Image.Image]) -> np.ndarray:
        assert isinstance(self.encoder, MapEncoder)
        return np.asarray(gram_vectors(self.encoder, images), np.float64)

    def _gram_loss(self, images: Sequence[Image.Image], references: Sequence[Image.Image]) -> float:
        a, b = self._grams(images), self._grams(references)
        return float(np.square(a[:, None] - b[None]).sum(2).mean())

    def _paired_gram_loss(self, images: Sequence[Image.Image], before: Sequence[Image.Image]) -> float:
        return float(np.square(self._grams(images) - self._grams(before)).sum(1).mean())


def measure_all() -> None:
    """Measure every configuration that was not yet measured with the shipped tower."""
    tower = load_encoder("tower").sha256
    left = [c for c in configurations() if not _measured(c, tower).exists()]
    if not left:
        return
    study = Study()
    for configuration in left:
        criteria, path = study.measure(study.generate(folder_of(configuration))), _measured(configuration, tower)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(criteria))
        print(folder_of(configuration).name, flush=True)


def _measured(configuration: Mapping[str, float], tower: str) -> Path:
    return RUNS / f"measured_{tower[:8]}" / f"{folder_of(configuration).name}.json"


def read_measured() -> tuple[Table, str]:
    """Return the table of all configurations, and the hash of the tower that measured them."""
    tower = load_encoder("tower").sha256
    rows = [json.loads(_measured(c, tower).read_text()) for c in configurations()]
    settings = np.array([list(c.values()) for c in configurations()])
    return Table(tuple(FACTORS), settings, {n: np.array([row[n] for row in rows]) for n in rows[0]}), tower


def write_table(table: Table) -> None:
    """Write one row per configuration, as effects.py reads it."""
    with (HERE / "study.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*table.factors, *table.criteria])
        for i, values in enumerate(table.settings):
            writer.writerow([*(f"{v:g}" for v in values), *(f"{of_all[i]:.6g}" for of_all in table.criteria.values())])


def summarise() -> None:
    """Write the table, exact effects and, where CatBoost is installed, learnt effects."""
    table, tower = read_measured()
    write_table(table)
    exact = measure_effects(table)
    record: dict[str, Any] = {"configurations": len(table.settings), "tower": tower, "exact": _as_dicts(exact)}
    try:
        learnt = measure_effects(table, "catboost")
    except ModuleNotFoundError:
        print("without the extra `effects`: exact values only")
    else:
        pairs = [(exact[n].importance[f], learnt[n].importance[f]) for n in exact for f in FACTORS]
        record["catboost"] = _as_dicts(learnt)
        record["agreement_of_importances"] = {
            "spearman": spearman(*map(np.array, zip(*pairs, strict=True))),
            "same_most_important": float(np.mean([_largest(e) == _largest(learnt[n]) for n, e in exact.items()])),
        }
    (HERE / "study.json").write_text(json.dumps(record, indent=1) + "\n")
    (HERE / "study.md").write_text(effects_table(exact) + "\n")
    print(effects_table(exact), record.get("agreement_of_importances"))


def _as_dicts(effects: Mapping[str, Effect]) -> dict[str, Any]:
    return {name: asdict(effect) for name, effect in effects.items()}


def _largest(effect: Effect) -> str:
    """Return the factor with the highest importance."""
    return max(effect.importance, key=lambda factor: effect.importance[factor])


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure_all()
    summarise()
