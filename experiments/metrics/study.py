"""What rank, steps, rate and number of images of a LoRA do to every criterion.

python experiments/metrics/study.py: draws and measures what factorial.py has trained (resumes; images are kept, so that
another tower measures the same ones); writes study.csv, study.json and study.md.
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
from factorial import CONTENTS, FACTORS, RUNS, STYLES, configurations, folder_of, load_studied
from PIL import Image

from lorarar.datasets import TYPES, Concept, load_prompt_set, to_bytes
from lorarar.diffusion import load_backbone
from lorarar.evaluation.metrics import (
    Effect,
    Table,
    cosine_fidelity,
    effects_table,
    gram_vectors,
    measure_effects,
    vendi,
)
from lorarar.evaluation.metrics.encoders import MapEncoder, load_encoder
from lorarar.evaluation.statistics import spearman
from lorarar.lora import LoRA, merge_exactly
from lorarar.mergers import MERGERS
from lorarar.storage import EMBEDDED, atomic_write, checked
from lorarar.training import load_loras
from lorarar.worlds.toy import (
    Scored,
    Style,
    Subject,
    generate_and_score,
    load_classifier,
    style_of,
    subject_of,
    truth,
    wanted,
)

HERE, SEEDS = Path(__file__).parent, (0, 1)


@dataclass(frozen=True)
class Shown:
    """Images that are drawn together: one LoRA and prompt, at both seeds.

    Attributes:
        kind: "content", "style" (a LoRA alone) or "pair".
        names: of the LoRAs.
    """

    kind: str
    names: tuple[str, ...]
    type: str
    prompt: str
    truth: tuple[int, ...]


def plan(concepts: Mapping[str, Concept]) -> list[Shown]:
    """Every LoRA with one prompt of each type, and every pair with the combined prompt."""
    shown = []
    for number, name in enumerate((*CONTENTS, *STYLES)):
        concept = concepts[name]
        words = {"phrase": [concept.phrase]}
        words |= {"token": ["sks"]} if concept.kind == "content" else {"caption": [concept.captions[0]]}
        filled = load_prompt_set(Path(f"data/prompts/toyworld_{concept.kind}.yaml")).fill(words)
        for kind in TYPES:
            texts = [prompt.text for prompt in filled if prompt.type == kind]
            shown.append(_shown(concept.kind, (name,), kind, texts[number % len(texts)]))
    for content, style in itertools.product(CONTENTS, STYLES):
        prompt = f"{concepts[content].phrase} in {concepts[style].phrase}"
        shown.append(_shown("pair", (content, style), "train", prompt))
    return shown


def _shown(kind: str, names: tuple[str, ...], type_: str, prompt: str) -> Shown:
    subject = subject_of(names[0]) if kind != "style" else Subject(0, 0, 0, 0)
    style = style_of(names[-1]) if kind != "content" else Style(0, 0, 0, 0)
    return Shown(kind, names, type_, prompt, truth(*wanted(subject, style, prompt)))


class Measuring:
    """Draws and scores one configuration after the other."""

    def __init__(self) -> None:
        self.concepts = load_studied()
        self.backbone = load_backbone(checked(EMBEDDED / "base"))
        self.classifier = load_classifier(checked(EMBEDDED / "classifier.safetensors"))
        self.encoder = load_encoder("tower")
        self.plan = plan(self.concepts)
        self.references = {
            name: [Image.open(path).convert("RGB") for path in concept.images]
            for name, concept in self.concepts.items()
        }
        self.base = self.images([None] * len(self.plan)).images

    def images(self, loras: Sequence[LoRA | None]) -> Scored:
        """One LoRA for each entry of the plan."""
        prompts, truths = [s.prompt for s in self.plan], [s.truth for s in self.plan]
        return generate_and_score(self.backbone, self.classifier, loras, prompts, truths, SEEDS)

    def draw(self, folder: Path) -> Scored:
        """The images of one configuration's LoRAs, drawn once."""
        path = RUNS / "synthetic_prompts" / f"{folder.name}.pt"
        if not path.exists():
            loras = load_loras(folder, [*CONTENTS, *STYLES])
            drawn = self.images([self._lora(shown, loras) for shown in self.plan])
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                torch.save({"images": drawn.images, "scores": drawn.scores}, temporary)
        return Scored(**torch.load(path, weights_only=True))

    def measure(self, scored: Scored) -> dict[str, float]:
        """All criteria of one configuration's images."""
        found: dict[str, list[float]] = {}
        for i, shown in enumerate(self.plan):
            for name, value in self._criteria(i, shown, scored).items():
                found.setdefault(f"{shown.kind} {name}", []).append(value)
        return {name: float(np.mean(values)) for name, values in found.items()}

    def _lora(self, shown: Shown, loras: Mapping[str, LoRA]) -> LoRA:
        members = [loras[name] for name in shown.names]
        return members[0] if len(members) == 1 else merge_exactly(members, MERGERS["direct"].call(members))

    def _criteria(self, i: int, shown: Shown, scored: Scored) -> dict[str, float]:
        values = {name: float(of_all[i].mean()) for name, of_all in scored.scores.items()}
        if shown.kind == "pair":
            return {f"reader, {name}": values[name] for name in ("content", "style", "joint")}
        found = {f"reader, {shown.type}": values[shown.kind]}
        if (shown.kind, shown.type) in (("content", "style"), ("style", "alter")):  # the rest is named by the prompt
            found["rest as asked"] = values["style" if shown.kind == "content" else "content"]
        pictures = [Image.fromarray(to_bytes(image)) for image in scored.images[i]]
        rows = self.encoder.encode_images(pictures)
        if shown.type in ("train", "alter"):
            found[f"diversity, {shown.type}"] = vendi(rows)
        if shown.type == "train":
            references = self.references[shown.names[0]]
            found["fidelity, train"] = cosine_fidelity(rows, self.encoder.encode_images(references))
            if shown.kind == "style":
                found["style Gram loss, train"] = self._gram_loss(pictures, references)
        if shown.type in ("alter", "style"):
            before = [Image.fromarray(to_bytes(image)) for image in self.base[i]]
            found[f"base Gram loss, {shown.type}"] = self._paired_gram_loss(pictures, before)
        return found

    def _grams(self, images: Sequence[Image.Image]) -> np.ndarray:
        assert isinstance(self.encoder, MapEncoder)
        return np.asarray(gram_vectors(self.encoder, images), np.float64)

    def _gram_loss(self, images: Sequence[Image.Image], references: Sequence[Image.Image]) -> float:
        a, b = self._grams(images), self._grams(references)
        return float(np.square(a[:, None] - b[None]).sum(2).mean())

    def _paired_gram_loss(self, images: Sequence[Image.Image], before: Sequence[Image.Image]) -> float:
        return float(np.square(self._grams(images) - self._grams(before)).sum(1).mean())


def measure_all() -> None:
    """Measures every configuration that is not measured with the shipped tower yet."""
    tower = load_encoder("tower").sha256
    left = [c for c in configurations() if not _measured(c, tower).exists()]
    if not left:
        return
    measuring = Measuring()
    for configuration in left:
        found, path = measuring.measure(measuring.draw(folder_of(configuration))), _measured(configuration, tower)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
        print(folder_of(configuration).name, flush=True)


def _measured(configuration: Mapping[str, float], tower: str) -> Path:
    return RUNS / f"measured_{tower[:8]}" / f"{folder_of(configuration).name}.json"


def read_measured() -> tuple[Table, str]:
    """The table of all configurations, and the hash of the tower that they were measured with."""
    tower = load_encoder("tower").sha256
    rows = [json.loads(_measured(c, tower).read_text()) for c in configurations()]
    settings = np.array([list(c.values()) for c in configurations()])
    return Table(tuple(FACTORS), settings, {n: np.array([row[n] for row in rows]) for n in rows[0]}), tower


def write_table(table: Table) -> None:
    """One row a configuration: what `lorarar metrics effects` reads."""
    with (HERE / "study.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*table.factors, *table.criteria])
        for i, values in enumerate(table.settings):
            writer.writerow([*(f"{v:g}" for v in values), *(f"{of_all[i]:.6g}" for of_all in table.criteria.values())])


def summarise() -> None:
    """The table, and exact and learnt effects."""
    table, tower = read_measured()
    write_table(table)
    exact = measure_effects(table)
    record: dict[str, Any] = {"configurations": len(table.settings), "tower": tower, "exact": _plain(exact)}
    try:
        learnt = measure_effects(table, "catboost")
    except ModuleNotFoundError:
        print("without the extra `effects`: exact values only")
    else:
        pairs = [(exact[n].importance[f], learnt[n].importance[f]) for n in exact for f in FACTORS]
        record["catboost"] = _plain(learnt)
        record["agreement_of_importances"] = {
            "spearman": spearman(*map(np.array, zip(*pairs, strict=True))),
            "same_most_important": float(np.mean([_largest(e) == _largest(learnt[n]) for n, e in exact.items()])),
        }
    (HERE / "study.json").write_text(json.dumps(record, indent=1) + "\n")
    (HERE / "study.md").write_text(effects_table(exact) + "\n")
    print(effects_table(exact), record.get("agreement_of_importances"))


def _plain(effects: Mapping[str, Effect]) -> dict[str, Any]:
    return {name: asdict(effect) for name, effect in effects.items()}


def _largest(effect: Effect) -> str:
    """The factor of most importance."""
    return max(effect.importance, key=lambda factor: effect.importance[factor])


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure_all()
    summarise()
