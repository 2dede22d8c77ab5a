"""Gates: whether the embedded default can rank merge methods. They must be met before any method is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from lorarar.benchmark.ceiling import fit_coefficients, fit_free, true_renders
from lorarar.benchmark.embedded import Embedded, load_embedded
from lorarar.benchmark.gate_settings import Fit, GatesConfig
from lorarar.benchmark.methods import by_concept
from lorarar.datasets import contact_sheet
from lorarar.evaluation.statistics import paired_interval
from lorarar.hypernetwork import load_network
from lorarar.lora import LoRA
from lorarar.mergers import MERGERS
from lorarar.storage import NETWORKS, checked, progress, write_json
from lorarar.worlds.toy import (
    AttributeClassifier,
    PairScorer,
    ScoredImages,
    generate_and_score,
    reconstruction_facts,
    score_attributes,
    style_of,
    style_subjects,
    subject_of,
    toy_world,
    truth,
    truth_of,
)

# How far the ceiling must lie above what needs no network: without room there, methods cannot be distinguished.
_ROOM = (
    ("direct", "joint", 0.10),
    ("direct", "strict", 0.25),
    ("constant", "joint", 0.05),
    ("constant", "strict", 0.15),
)
_DESCRIBED = 64  # pairs of the base's own sets that are described in words
PromptTruth = tuple[str, tuple[int, ...]]  # a prompt, and the attribute values that its images should show


@dataclass(frozen=True)
class WorldGate:
    """One condition: ``value`` must be at least ``bound``, and its interval, where there is one, above 0."""

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
        return f"{'met ' if self.met else 'RED '} {self.name}: {self.value:.3f}{interval}, bound {self.bound:.2f}"


def run_gates(config: GatesConfig) -> str:
    """Compute every gate; write ``results.json`` and a contact sheet; return one line per gate and per method.

    Raises:
        ArtefactError: A shipped part is missing or differs from its card.
    """
    embedded = load_embedded([config.split], config.data)
    config.output.mkdir(parents=True, exist_ok=True)
    gates = [*_instrument_gates(embedded, config), *_concept_gates(embedded, config)]
    methods = _ceiling_methods(embedded, config)
    means = {
        name: {metric: float(values.mean()) for metric, values in scored.scores.items()}
        for name, scored in methods.items()
    }
    gates += _room_gates(embedded, config, methods)
    _draw(embedded, config, methods)
    record = {"gates": [asdict(gate) | {"met": gate.met} for gate in gates], "methods": means, "config": config}
    write_json(config.output / "results.json", record)
    lines = [f"{name}: " + ", ".join(f"{metric} {mean:.3f}" for metric, mean in m.items()) for name, m in means.items()]
    return "\n".join([*map(str, gates), *lines])


def _instrument_gates(embedded: Embedded, config: GatesConfig) -> list[WorldGate]:
    """Return the gates of the classifier, the autoencoder and the base."""
    pairs = embedded.pairs(config.split)
    renders = torch.stack([true_renders(pair, range(len(config.seeds))) for pair in pairs])
    true = score_attributes(embedded.classifier, (renders + 1) / 2, [truth_of(pair) for pair in pairs])
    rebuilt = reconstruction_facts(config.data / "base", embedded.classifier)
    return [
        WorldGate("true renders: joint", float(true["joint"].mean()), 0.98),
        WorldGate("reconstructions against renders: joint", rebuilt["joint"] - float(true["joint"].mean()), -0.01),
        WorldGate("base on its own captions: category", _base_category(embedded, config), 0.95),
    ]


def _base_category(embedded: Embedded, config: GatesConfig) -> float:
    """Return how often the base draws the right category, for described pairs of its own sets."""
    world, random = toy_world(), np.random.default_rng(0)
    subjects = [world.subjects["base"][i] for i in random.choice(len(world.subjects["base"]), _DESCRIBED)]
    styles = [world.styles["base"][i] for i in random.choice(len(world.styles["base"]), _DESCRIBED)]
    prompts = [f"a {s.words()} in {t.words()} style" for s, t in zip(subjects, styles, strict=True)]
    truths = [truth(s, t) for s, t in zip(subjects, styles, strict=True)]
    scored = generate_and_score(
        embedded.backbone, embedded.classifier, [None] * _DESCRIBED, prompts, truths, config.seeds
    )
    read = _attributes(embedded.classifier, scored.images)
    return float((read[..., 0] == torch.tensor(truths)[:, None, 0]).float().mean())


def _attributes(classifier: AttributeClassifier, images: Tensor) -> Tensor:
    """Return the attribute values (n, k, 8) that the classifier reads from images (n, k, 3, 32, 32), 0 to 1."""
    read: Tensor = classifier.read(images.flatten(0, 1) * 2 - 1).unflatten(0, images.shape[:2])
    return read


def _concept_gates(embedded: Embedded, config: GatesConfig) -> list[WorldGate]:
    """Return the gates of each LoRA alone on its own prompts, beside the base on the same prompts."""
    content = _own_prompts(embedded, config, embedded.splits[config.split].contents, _content_truths, "content")
    style = _own_prompts(embedded, config, embedded.splits[config.split].styles, _style_truths, "style")
    return [
        WorldGate("content LoRA alone: content", content[0], 0.90),
        WorldGate("style LoRA alone: style", style[0], 0.90),
        WorldGate("content LoRA over the base: content", content[0] - content[1], 0.30),
        WorldGate("style LoRA over the base: style", style[0] - style[1], 0.30),
    ]


def _own_prompts(
    embedded: Embedded,
    config: GatesConfig,
    names: Sequence[str],
    truths_of: Callable[[Embedded, str], list[PromptTruth]],
    metric: str,
) -> tuple[float, float]:
    """Return the mean score with the LoRAs, and with the base alone."""
    loras, prompts, truths = [], [], []
    for name in names:
        for prompt, values in truths_of(embedded, name):
            loras.append(embedded.loras[name])
            prompts.append(prompt)
            truths.append(values)

    def mean(adapters: Sequence[LoRA | None]) -> float:
        scored = generate_and_score(embedded.backbone, embedded.classifier, adapters, prompts, truths, config.seeds)
        return float(scored.scores[metric].mean())

    return mean(loras), mean([None] * len(loras))


def _content_truths(embedded: Embedded, name: str) -> list[PromptTruth]:
    any_style = toy_world().styles["base"][0]
    return [(embedded.concepts[name].phrase, truth(subject_of(name), any_style))]


def _style_truths(embedded: Embedded, name: str) -> list[PromptTruth]:
    split, _, index = name.split("_")
    subjects, captions = style_subjects(split, int(index)), embedded.concepts[name].captions
    return [(caption, truth(s, style_of(name))) for caption, s in zip(captions, subjects, strict=True)]


def _ceiling_methods(embedded: Embedded, config: GatesConfig) -> dict[str, ScoredImages]:
    """Score direct merging, the shipped constant, coefficients and free LoRAs fitted to true renders."""
    scorer = embedded.scorer(config.split, config.seeds)
    constant = load_network(checked(NETWORKS / "constant.safetensors")).module
    return {
        "direct": scorer.scored(scorer.merged(MERGERS["direct"].call)),
        "constant": scorer.scored(scorer.merged(constant)),
        "truth_fitted": scorer.scored(_fitted(scorer, config, fit_coefficients, config.fit, "truth_fitted")),
        "free_lora": scorer.scored(_fitted(scorer, config, fit_free, config.free, "free_lora")),
    }


def _fitted(
    scorer: PairScorer, config: GatesConfig, function: Callable[..., list[LoRA]], fit: Fit, name: str
) -> list[LoRA]:
    loras = [(scorer.loras[pair.content.name], scorer.loras[pair.style.name]) for pair in scorer.pairs]
    merged: list[LoRA] = []
    with progress(f"fit {name}", fit.steps * -(-len(loras) // config.group), "steps") as advance:
        for start in range(0, len(loras), config.group):
            part = slice(start, start + config.group)
            merged += function(scorer.backbone, scorer.pairs[part], loras[part], fit, advance)
    return merged


def _room_gates(embedded: Embedded, config: GatesConfig, methods: dict[str, ScoredImages]) -> list[WorldGate]:
    """Return the gates of the room between the ceiling and the methods that need no network."""
    gates = []
    for other, metric, bound in _ROOM:
        ceiling, value = (
            by_concept(methods[name].scores[metric], embedded, config.split) for name in ("truth_fitted", other)
        )
        gain = paired_interval(ceiling, value)
        gates.append(WorldGate(f"truth-fitted over {other}: {metric}", gain.mean, bound, gain.low, gain.high))
    return gates


def _draw(embedded: Embedded, config: GatesConfig, methods: dict[str, ScoredImages]) -> None:
    pairs = embedded.pairs(config.split)
    rows = []
    for i in range(0, len(pairs), len(embedded.splits[config.split].styles) + 1):
        true = (true_renders(pairs[i], [0])[0] + 1) / 2
        rows.append([true, *(scored.images[i, 0] for scored in methods.values())])
    contact_sheet(rows, config.output / "contact_sheet.png", columns=["true", *methods])
