"""Whether the embedded default can rank merge methods: gates to be met before any method is compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lorarar.benchmark.ceiling import Fit, fit_coefficients, fit_free, true_renders
from lorarar.benchmark.embedded import Embedded, load_embedded
from lorarar.benchmark.methods import cells
from lorarar.datasets import contact_sheet
from lorarar.evaluation.statistics import paired_interval
from lorarar.hypernetwork import load_network
from lorarar.lora import LoRA
from lorarar.mergers import MERGERS
from lorarar.storage import EMBEDDED, NETWORKS, checked, write_json
from lorarar.worlds.toy import (
    AttributeClassifier,
    Scored,
    generate_and_score,
    read_images,
    reconstruction_facts,
    style_of,
    style_subjects,
    subject_of,
    toy_world,
    truth,
    truth_of,
)

# How far the ceiling must lie above what needs no network: without room there, no method can be told from another.
_ROOM = (
    ("direct", "joint", 0.10),
    ("direct", "strict", 0.25),
    ("constant", "joint", 0.05),
    ("constant", "strict", 0.15),
)


@dataclass(frozen=True)
class GatesConfig:
    """``lorarar benchmark gates``.

    Attributes:
        split: whose pairs are fitted and compared.
        seeds: noise seeds.
        fit: of the coefficients that are fitted to true renders, and free: of the free rank-2r LoRAs.
        group: pairs fitted at once.
        output: folder for results.json and pictures.
    """

    output: Path
    fit: Fit
    free: Fit
    split: str = "test"
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    group: int = 8
    data: Path = EMBEDDED


@dataclass(frozen=True)
class Gate:
    """One condition: ``value`` must be at least ``bound`` (and its interval, where there is one, above 0)."""

    name: str
    value: float
    bound: float
    low: float | None = None
    high: float | None = None

    @property
    def met(self) -> bool:
        """Whether the condition holds."""
        return self.value >= self.bound and (self.low is None or self.low > 0)

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+.3f}, {self.high:+.3f}]"
        return f"{'met ' if self.met else 'RED '} {self.name}: {self.value:.3f}{interval}, asked {self.bound:.2f}"


def run_gates(config: GatesConfig) -> str:
    """Compute every gate; write ``results.json`` and a contact sheet; return a line for each gate."""
    embedded = load_embedded([config.split], config.data)
    config.output.mkdir(parents=True, exist_ok=True)
    gates = [*_instrument_gates(embedded, config), *_concept_gates(embedded, config)]
    ceiling, differences = _ceiling(embedded, config)
    gates += differences
    record = {
        "gates": [asdict(gate) | {"met": gate.met} for gate in gates],
        "methods": ceiling,
        "config": json.loads(json.dumps(asdict(config), default=str)),
    }
    write_json(config.output / "results.json", record)
    rows = [f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in means.items()) for name, means in ceiling.items()]
    return "\n".join([*map(str, gates), *rows])


def _instrument_gates(embedded: Embedded, config: GatesConfig) -> list[Gate]:
    pairs = embedded.pairs(config.split)
    renders = torch.stack([true_renders(pair, range(len(config.seeds))) for pair in pairs])
    true = read_images(embedded.classifier, (renders + 1) / 2, [truth_of(pair) for pair in pairs])
    rebuilt = reconstruction_facts(config.data / "base", embedded.classifier)
    return [
        Gate("true renders: joint", float(true["joint"].mean()), 0.98),
        Gate("reconstructions against renders: joint", rebuilt["joint"] - float(true["joint"].mean()), -0.01),
        Gate("base on its own captions: category", _base_category(embedded, config), 0.95),
    ]


def _base_category(embedded: Embedded, config: GatesConfig) -> float:
    """How often the base draws the right category, for 64 described pairs of its own sets."""
    known, random = toy_world(), np.random.default_rng(0)
    subjects = [known.subjects["base"][i] for i in random.choice(len(known.subjects["base"]), 64)]
    styles = [known.styles["base"][i] for i in random.choice(len(known.styles["base"]), 64)]
    prompts = [f"a {s.words()} in {t.words()} style" for s, t in zip(subjects, styles, strict=True)]
    truths = [truth(s, t) for s, t in zip(subjects, styles, strict=True)]
    found = generate_and_score(embedded.backbone, embedded.classifier, [None] * 64, prompts, truths, config.seeds)
    read = _read(embedded.classifier, found.images)
    return float((read[..., 0] == torch.tensor(truths)[:, None, 0]).float().mean())


def _read(classifier: AttributeClassifier, images: Tensor) -> Tensor:
    return classifier.read(images.flatten(0, 1) * 2 - 1).unflatten(0, images.shape[:2])


def _concept_gates(embedded: Embedded, config: GatesConfig) -> list[Gate]:
    """Each LoRA alone on its own prompts, beside the base on the same prompts."""
    content = _own_prompts(embedded, config, embedded.splits[config.split].contents, _content_cases, "content")
    style = _own_prompts(embedded, config, embedded.splits[config.split].styles, _style_cases, "style")
    return [
        Gate("content LoRA alone: content", content[0], 0.90),
        Gate("style LoRA alone: style", style[0], 0.90),
        Gate("content LoRA over the base: content", content[0] - content[1], 0.30),
        Gate("style LoRA over the base: style", style[0] - style[1], 0.30),
    ]


def _own_prompts(
    embedded: Embedded,
    config: GatesConfig,
    names: Sequence[str],
    cases: Callable[[Embedded, str], list[tuple[str, tuple[int, ...]]]],
    metric: str,
) -> tuple[float, float]:
    """The mean score with the LoRAs and with the base alone."""
    rows = [(name, prompt, wanted) for name in names for prompt, wanted in cases(embedded, name)]
    prompts, truths = [row[1] for row in rows], [row[2] for row in rows]
    scores = []
    for loras in ([embedded.loras[row[0]] for row in rows], [None] * len(rows)):
        found = generate_and_score(embedded.backbone, embedded.classifier, loras, prompts, truths, config.seeds)
        scores.append(float(found.scores[metric].mean()))
    return scores[0], scores[1]


def _content_cases(embedded: Embedded, name: str) -> list[tuple[str, tuple[int, ...]]]:
    any_style = toy_world().styles["base"][0]
    return [(embedded.concepts[name].phrase, truth(subject_of(name), any_style))]


def _style_cases(embedded: Embedded, name: str) -> list[tuple[str, tuple[int, ...]]]:
    split, _, index = name.split("_")
    shown = style_subjects(split, int(index))
    captions = embedded.concepts[name].captions
    return [(c, truth(s, style_of(name))) for c, s in zip(captions, shown, strict=True)]


def _ceiling(embedded: Embedded, config: GatesConfig) -> tuple[dict[str, Any], list[Gate]]:
    """Direct merging, the shipped constant, coefficients and free LoRAs fitted to true renders, by their images."""
    scorer = embedded.scorer(config.split, config.seeds)
    both = [(embedded.loras[p.content.name], embedded.loras[p.style.name]) for p in scorer.pairs]
    constant = load_network(checked(NETWORKS / "constant.safetensors")).module
    methods: dict[str, Scored] = {
        "direct": scorer.scored(scorer.merged(MERGERS["direct"].call)),
        "constant": scorer.scored(scorer.merged(constant)),
    }
    for name, fit, function in (
        ("truth_fitted", config.fit, fit_coefficients),
        ("free_lora", config.free, fit_free),
    ):
        merged: list[LoRA] = []
        with tqdm(total=fit.steps * -(-len(both) // config.group), desc=name) as bar:
            for start in range(0, len(both), config.group):
                part = slice(start, start + config.group)
                merged += function(embedded.backbone, scorer.pairs[part], both[part], fit, lambda: bar.update())
        methods[name] = scorer.scored(merged)
    _draw(embedded, config, methods)
    scores = {name: {k: cells(v, embedded, config.split) for k, v in s.scores.items()} for name, s in methods.items()}
    table = {name: {k: float(v.mean()) for k, v in metrics.items()} for name, metrics in scores.items()}
    gates = []
    for other, metric, bound in _ROOM:
        gain = paired_interval(scores["truth_fitted"][metric], scores[other][metric])
        gates.append(Gate(f"truth-fitted over {other}: {metric}", gain.mean, bound, gain.low, gain.high))
    return table, gates


def _draw(embedded: Embedded, config: GatesConfig, methods: dict[str, Scored]) -> None:
    pairs = embedded.pairs(config.split)
    shown = range(0, len(pairs), len(embedded.splits[config.split].styles) + 1)
    rows = [[(true_renders(pairs[i], [0])[0] + 1) / 2, *(m.images[i, 0] for m in methods.values())] for i in shown]
    contact_sheet(rows, config.output / "contact_sheet.png", columns=["true", *methods])
