"""Gates: whether a world can rank merge methods. They must be met before any method is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from lorarar.benchmark.ceiling import fit_coefficients, fit_free
from lorarar.benchmark.embedded import Embedded, load_embedded
from lorarar.benchmark.gate_settings import Fit, GatesConfig
from lorarar.benchmark.methods import by_concept
from lorarar.datasets import Pair, contact_sheet
from lorarar.diffusion import Backbone, load_backbone
from lorarar.evaluation.statistics import paired_interval
from lorarar.hypernetwork import load_network
from lorarar.lora import LoRA
from lorarar.mergers import MERGERS
from lorarar.storage import NETWORKS, checked, progress, write_json
from lorarar.worlds.stages import (
    PairScorer,
    ScoredImages,
    WorldClassifier,
    generate_and_score,
    held_out_renders,
    load_classifier,
    reconstruct_images,
    sample_base,
    score_base,
    true_renders,
    truth_of,
)

# How far the ceiling must lie above what needs no network: without room there, methods cannot be distinguished.
_ROOM = (
    ("direct", "joint", 0.10),
    ("direct", "strict", 0.25),
    ("constant", "joint", 0.05),
    ("constant", "strict", 0.15),
)
_DESCRIBED = 256  # images of the base alone


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
    """Compute the gates of the chosen parts; write ``results.json`` and, with "room", a contact sheet.

    Returns:
        One line for each gate and for each method.

    Raises:
        ArtefactError: A part of the world is missing or differs from its card.
    """
    config.output.mkdir(parents=True, exist_ok=True)
    classifier = load_classifier(checked(config.data / "classifier.safetensors"))
    gates = _classifier_gates(classifier, config) if "classifier" in config.parts else []
    if "autoencoder" in config.parts:
        gates += _autoencoder_gates(classifier, config)
    if "base" in config.parts:
        gates.append(_base_gate(load_backbone(checked(config.data / "base"), device="cpu"), classifier, config))
    means = {}
    if {"loras", "room"} & set(config.parts):
        embedded = load_embedded([config.split], config.data, config.splits)
        gates += _concept_gates(embedded, config) if "loras" in config.parts else []
        if "room" in config.parts:
            methods = _ceiling_methods(embedded, config)
            means = {name: scored.means() for name, scored in methods.items()}
            gates += _room_gates(embedded, config, methods)
            _draw(embedded, config, methods)
    record = {"gates": [asdict(gate) | {"met": gate.met} for gate in gates], "methods": means, "config": config}
    write_json(config.output / "results.json", record)
    lines = [f"{name}: " + ", ".join(f"{metric} {mean:.3f}" for metric, mean in m.items()) for name, m in means.items()]
    return "\n".join([*map(str, gates), *lines])


def _classifier_gates(classifier: WorldClassifier, config: GatesConfig) -> list[WorldGate]:
    """Return the gates of the classifier on true renders of the test pairs."""
    true = classifier.score(*held_out_renders(classifier.world))
    bound = config.bounds.renders
    return [WorldGate(f"true renders: {name}", float(true[name].mean()), bound) for name in config.bounds.metrics]


def _autoencoder_gates(classifier: WorldClassifier, config: GatesConfig) -> list[WorldGate]:
    """Return the gates of what the autoencoder costs the classifier."""
    images, true = held_out_renders(classifier.world)
    folder = config.autoencoder or checked(config.data / "base") / "vae"
    scores, rebuilt = classifier.score(images, true), classifier.score(reconstruct_images(folder, images), true)
    return [
        WorldGate(
            f"reconstructions against renders: {name}",
            float((rebuilt[name] - scores[name]).mean()),
            -config.bounds.reconstruction,
        )
        for name in config.bounds.metrics
    ]


def _base_gate(backbone: Backbone, classifier: WorldClassifier, config: GatesConfig) -> WorldGate:
    """Return the gate of how often the base draws the right category, on full captions of its own sets."""
    scores = score_base(sample_base(backbone, classifier.world, _DESCRIBED), classifier)
    return WorldGate("base on its own captions: category", scores["category"], config.bounds.category)


def _concept_gates(embedded: Embedded, config: GatesConfig) -> list[WorldGate]:
    """Return the gates of each LoRA alone on its own prompts, beside the base on the same prompts."""
    gates = []
    for kind in ("content", "style"):
        alone, base = _own_prompts(embedded, config, kind)
        gates += [
            WorldGate(f"{kind} LoRA alone: {kind}", alone, config.bounds.alone),
            WorldGate(f"{kind} LoRA over the base: {kind}", alone - base, config.bounds.over_base),
        ]
    return gates


def _own_prompts(embedded: Embedded, config: GatesConfig, kind: str) -> tuple[float, float]:
    """Return the mean score of a kind's concepts on their own captions, with their LoRAs and with the base alone."""
    members, world = embedded.splits[config.split], embedded.classifier.world
    loras, prompts, truths = [], [], []
    for name in members.contents if kind == "content" else members.styles:
        # The other concept of the pair has no part in the score.
        pair = (name, members.styles[0]) if kind == "content" else (members.contents[0], name)
        concept = embedded.concepts[name]
        for prompt in [concept.phrase] if kind == "content" else concept.captions:
            loras.append(embedded.loras[name])
            prompts.append(prompt)
            truths.append(truth_of(world, Pair(*(embedded.concepts[member] for member in pair))))

    def mean(adapters: Sequence[LoRA | None]) -> float:
        scored = generate_and_score(embedded.backbone, embedded.classifier, adapters, prompts, truths, config.seeds)
        return float(scored.scores[kind].mean())

    return mean(loras), mean([None] * len(loras))


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
        true = (true_renders(embedded.classifier.world, pairs[i], [0])[0] + 1) / 2
        rows.append([true, *(scored.images[i, 0] for scored in methods.values())])
    contact_sheet(rows, config.output / "contact_sheet.png", columns=["true", *methods])
