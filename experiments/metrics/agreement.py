"""Agreement of metrics with the truth: Spearman's correlation of each metric with the attributes in the images.

python experiments/metrics/agreement.py generate  images of every method and prompt type, under runs/metrics_agreement
python experiments/metrics/agreement.py judge     verdicts of the embedded judge about these images
python experiments/metrics/agreement.py measure   agreement.json and agreement.md

Each step resumes. A step repeats the work that depends on an artefact that has changed.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from correlations import TRUTHS, ItemValues, correlate, correlation_table

from lorarar.benchmark import Embedded, load_embedded
from lorarar.datasets import (
    AXES,
    TYPES,
    Item,
    Pair,
    load_prompt_set,
    load_references,
    lock_items,
    save_image,
    write_manifest,
)
from lorarar.evaluation.judge import judge_by_name, plan_run
from lorarar.evaluation.judge.ask import read_setup
from lorarar.evaluation.metrics import Encoders, encode_items, score_all
from lorarar.evaluation.metrics.encoders import load_encoder
from lorarar.hypernetwork import load_network
from lorarar.lora import LoRA, merge_exactly
from lorarar.mergers import MERGERS
from lorarar.storage import EMBEDDED, EMBEDDED_JUDGE, NETWORKS, checked, digest, read_card
from lorarar.worlds.stages import generate_and_score
from lorarar.worlds.toy import apply_prompt, style_of, subject_of, truth

RUNS, HERE = Path("runs/metrics_agreement"), Path(__file__).parent
SPLIT, METHODS = "validation", ("base", "content", "style", "direct", "average", "hypernetwork")


@cache
def sources() -> dict[str, str]:
    """Return the hashes of the artefacts that the results depend on."""
    parts = {
        "base": [EMBEDDED / "base"],
        "loras": sorted((EMBEDDED / "loras").glob(f"{SPLIT}_*.safetensors")),
        "hypernetwork": [NETWORKS / "hypernetwork.safetensors"],
        "judge": [EMBEDDED_JUDGE],
    }
    return {name: digest([read_card(checked(path))["sha256"] for path in paths]) for name, paths in parts.items()}


def _key(method: str) -> str:
    """Return the digest of the artefacts that the images of a method depend on."""
    hashes = sources()
    return digest([hashes[name] for name in ("base", "loras", method) if name in hashes])[:8]


def _record(method: str, kind: str) -> Path:
    return RUNS / "items" / f"{method}_{kind}_{_key(method)}.json"


def generate() -> None:
    """Generate images with their truths, for each method and prompt type; skip finished ones."""
    embedded = load_embedded([SPLIT])
    pairs = embedded.pairs(SPLIT)
    prompts = [_prompts(pair, number) for number, pair in enumerate(pairs)]
    for method in METHODS:
        loras = None
        for kind in TYPES:
            record = _record(method, kind)
            if record.exists():
                continue
            loras = loras or _loras(method, pairs, embedded)
            items, truths = _generate(embedded, method, kind, loras, [of_pair[kind] for of_pair in prompts])
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps({"items": [asdict(item) for item in items], "truth": truths}))
            print(method, kind, {name: round(float(np.mean(of)), 3) for name, of in truths.items()}, flush=True)


def _generate(
    embedded: Embedded, method: str, kind: str, loras: list[LoRA | None], prompts: Sequence[str]
) -> tuple[list[Item], dict[str, list[float]]]:
    """Generate and save the images of one method and prompt type; return their items and truths."""
    pairs = embedded.pairs(SPLIT)
    truths = [
        truth(*apply_prompt(subject_of(pair.content.name), style_of(pair.style.name), prompt))
        for pair, prompt in zip(pairs, prompts, strict=True)
    ]
    scored = generate_and_score(embedded.backbone, embedded.classifier, loras, prompts, truths, [0])
    items = []
    for pair, prompt, image in zip(pairs, prompts, scored.images[:, 0], strict=True):
        name = f"{kind}/{method}/{pair.name}"
        path = RUNS / "images" / _key(method) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(image, path)
        relative = path.relative_to(RUNS / "images").as_posix()
        items.append(Item(name, relative, method, pair.content.name, pair.style.name, 0, prompt, kind))
    return items, {name: scored.scores[name][:, 0].tolist() for name in TRUTHS}


def _prompts(pair: Pair, number: int) -> dict[str, str]:
    """Return one prompt of each type; pairs take turns through the prompts of a type."""
    values = {"content": [pair.content.phrase], "style": [pair.style.phrase], "token": ["sks"]}
    filled = load_prompt_set(Path("data/prompts/toyworld_pair.yaml")).fill(values)
    by_type = {kind: [prompt.text for prompt in filled if prompt.type == kind] for kind in TYPES}
    return {kind: texts[number % len(texts)] for kind, texts in by_type.items()}


def _loras(method: str, pairs: Sequence[Pair], embedded: Embedded) -> list[LoRA | None]:
    if method == "base":
        return [None] * len(pairs)
    if method in ("content", "style"):
        return [embedded.loras[getattr(pair, method).name] for pair in pairs]
    shipped = NETWORKS / f"{method}.safetensors"
    coefficients = load_network(checked(shipped)).module if shipped.exists() else MERGERS[method].call
    inputs = [(embedded.loras[pair.content.name], embedded.loras[pair.style.name]) for pair in pairs]
    with torch.no_grad():
        return [merge_exactly(loras, coefficients(loras)) for loras in inputs]


def _complete() -> list[str]:
    """Return the methods with images of every prompt type."""
    return [m for m in METHODS if all(_record(m, kind).exists() for kind in TYPES)]


def _records() -> tuple[list[Item], ItemValues]:
    """Return all items of the complete methods, and the truths of each item by its id."""
    items: list[Item] = []
    truths: ItemValues = {}
    for method, kind in itertools.product(_complete(), TYPES):
        record = json.loads(_record(method, kind).read_text())
        for i, fields in enumerate(record["items"]):
            items.append(Item(**fields))
            truths[items[-1].id] = {name: record["truth"][name][i] for name in TRUTHS}
    return items, truths


def judge() -> None:
    """Ask the embedded judge about every image, in one run per prompt type; replies are cached."""
    items, _ = _records()
    for kind in TYPES:
        run = _judging(kind)
        if not run.exists():
            manifest = RUNS / f"{run.name}.jsonl"
            write_manifest(manifest, [item for item in items if item.prompt_type == kind])
            plan_run(
                run, RUNS / "images", EMBEDDED / "concepts.yaml", manifest=manifest, reference_root=EMBEDDED / "images"
            )
        judged = judge_by_name(run, read_setup(run), "tiny", cache=RUNS / "replies", uncalibrated=True)
        p_yes: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for question in judged.planned.main.questions:
            bounds = judged.verdicts[question.id].p_yes
            if bounds is not None:
                p_yes[question.item][question.axis].append(sum(bounds) / 2)
        found = {item: {axis: float(np.mean(p)) for axis, p in axes.items()} for item, axes in p_yes.items()}
        run.with_suffix(".json").write_text(json.dumps(found))
        print(judged.describe(), flush=True)


def _judging(kind: str) -> Path:
    """Return the folder of the run of one prompt type, named after images and judge."""
    return RUNS / f"judge_{kind}_{digest([*map(_key, _complete()), sources()['judge']])[:8]}"


def _judged() -> ItemValues:
    """Return the answers of the judge as metrics, by image."""
    found = {}
    for kind in TYPES:
        for item, axes in json.loads(_judging(kind).with_suffix(".json").read_text()).items():
            found[item] = {f"{axis} judge": axes.get(axis, math.nan) for axis in AXES}
            found[item]["joint judge"] = min(found[item].values())
    return found


def _metrics(items: Sequence[Item]) -> tuple[ItemValues, dict[str, str]]:
    """Return every metric by image, signed so that higher is better, and the hashes of the encoders."""
    references = load_references(EMBEDDED / "concepts.yaml", root=EMBEDDED / "images")
    found: dict[str, dict[str, float]] = defaultdict(dict)
    hashes = {}
    for name in ("tower", "pixels"):
        encoder = load_encoder(name)
        hashes[name] = encoder.sha256
        encoded = encode_items(
            lock_items(items, RUNS / "images"), references, RUNS / "images", Encoders(encoder, encoder, encoder)
        )
        for image in score_all(items, encoded)[0]:
            values = image.values
            found[image.item.id] |= {
                f"content cosine, {name}": values["content_cosine"],
                f"style cosine, {name}": values["style_cosine"],
                f"style Gram, {name}": -values["style_gram"],
                f"harmonic mean, {name}": values["harmonic"],
                f"base preservation, {name}": -values["base_preservation"],
            }
    return found, hashes


def measure() -> None:
    """Correlate every metric with every truth, for each prompt type, over all images and within pairs."""
    items, truths = _records()
    values, hashes = _metrics(items)
    for item, of_judge in _judged().items():
        values[item] |= of_judge
    names = list(dict.fromkeys(name for of_image in values.values() for name in of_image))
    correlations: dict[str, Any] = {}
    for kind in TYPES:
        of_kind = [item for item in items if item.prompt_type == kind]
        correlations[kind] = {name: correlate(of_kind, _complete(), values, truths, name) for name in names}
    result = {
        "split": SPLIT,
        "methods": _complete(),
        "images": len(items),
        "encoders": hashes,
        "sources": sources(),
        "truth": {
            kind: {method: _mean_truths(items, truths, kind, method) for method in _complete()} for kind in TYPES
        },
        "correlations": correlations,
    }
    (HERE / "agreement.json").write_text(json.dumps(result, indent=1) + "\n")
    everywhere, within_pairs = (correlation_table(correlations, names, over) for over in ("all", "within_pairs"))
    text = (
        f"Over all images:\n\n{everywhere}\n\n"
        f"Within pairs, metric and truth minus their means over a pair's methods:\n\n{within_pairs}\n"
    )
    (HERE / "agreement.md").write_text(text)
    print(text)


def _mean_truths(items: Sequence[Item], truths: ItemValues, kind: str, method: str) -> dict[str, float]:
    """Return the mean of each truth over the images of one prompt type and method."""
    chosen = [truths[item.id] for item in items if (item.prompt_type, item.method) == (kind, method)]
    return {name: round(float(np.mean([truth[name] for truth in chosen])), 4) for name in TRUTHS}


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"generate": generate, "judge": judge, "measure": measure}[sys.argv[1]]()
