"""Which metric can be trusted for what? Spearman's correlation of each with what the images truly show.

python experiments/metrics/agreement.py draw: images of every method and prompt type under runs/metrics_agreement;
.. judge: asks the embedded judge about them; .. measure: writes agreement.json and agreement.md. Each step resumes;
what comes from an artefact that has changed since is made anew.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lorarar.benchmark import Embedded, load_embedded
from lorarar.datasets import AXES, TYPES, Item, Pair, load_prompt_set, load_references, lock, save_image, write_manifest
from lorarar.evaluation.judge import judge_by_name, plan_run
from lorarar.evaluation.judge.ask import read_setup
from lorarar.evaluation.metrics import Encoders, encode_items, score_all
from lorarar.evaluation.metrics.encoders import load_encoder
from lorarar.evaluation.statistics import crossed_spearman
from lorarar.hypernetwork import load_network
from lorarar.lora import LoRA, merge_exactly
from lorarar.mergers import MERGERS
from lorarar.storage import EMBEDDED, EMBEDDED_JUDGE, NETWORKS, checked, read_card
from lorarar.worlds.toy import generate_and_score, style_of, subject_of, truth, wanted

RUNS, HERE = Path("runs/metrics_agreement"), Path(__file__).parent
SPLIT, METHODS = "validation", ("base", "content", "style", "direct", "average", "hypernetwork")
TRUTHS = ("content", "style", "joint")
# What each metric claims to tell, by the first of its name's words that is here.
ABOUT = {"content": "content", "style": "style", "harmonic": "joint", "joint": "joint", "base": "joint"}


@cache
def sources() -> dict[str, str]:
    """The artefacts that the results depend on, by hash."""
    parts = {
        "base": [EMBEDDED / "base"],
        "loras": sorted((EMBEDDED / "loras").glob(f"{SPLIT}_*.safetensors")),
        "hypernetwork": [NETWORKS / "hypernetwork.safetensors"],
        "judge": [EMBEDDED_JUDGE],
    }
    return {name: _hash([read_card(checked(path))["sha256"] for path in paths]) for name, paths in parts.items()}


def _key(method: str) -> str:
    """Of what a method's images depend on."""
    known = sources()
    return _hash([known[name] for name in ("base", "loras", method) if name in known])[:8]


def _hash(given: Any) -> str:
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def _record(method: str, kind: str) -> Path:
    return RUNS / "items" / f"{method}_{kind}_{_key(method)}.json"


def draw() -> None:
    """Images with their truths, one method and prompt type after the other; finished ones are skipped."""
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
            texts = [of_pair[kind] for of_pair in prompts]
            truths = [
                truth(*wanted(subject_of(p.content.name), style_of(p.style.name), text))
                for p, text in zip(pairs, texts, strict=True)
            ]
            scored = generate_and_score(embedded.backbone, embedded.reader, loras, texts, truths, [0])
            items = [
                Item(
                    f"{kind}/{method}/{p.name}",
                    f"{_key(method)}/{kind}/{method}/{p.name}.png",
                    method,
                    p.content.name,
                    p.style.name,
                    0,
                    text,
                    kind,
                )
                for p, text in zip(pairs, texts, strict=True)
            ]
            for item, image in zip(items, scored.images[:, 0], strict=True):
                path = RUNS / "images" / item.path
                path.parent.mkdir(parents=True, exist_ok=True)
                save_image(image, path)
            found = {name: scored.scores[name][:, 0].tolist() for name in TRUTHS}
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps({"items": [asdict(item) for item in items], "truth": found}))
            print(method, kind, {name: round(float(np.mean(values)), 3) for name, values in found.items()}, flush=True)


def _prompts(pair: Pair, number: int) -> dict[str, str]:
    """One prompt of each type; which of several takes turns."""
    words = {"content": [pair.content.phrase], "style": [pair.style.phrase], "token": ["sks"]}
    filled = load_prompt_set(Path("data/prompts/toyworld_pair.yaml")).fill(words)
    by_type = {kind: [prompt.text for prompt in filled if prompt.type == kind] for kind in TYPES}
    return {kind: texts[number % len(texts)] for kind, texts in by_type.items()}


def _loras(method: str, pairs: Sequence[Pair], embedded: Embedded) -> list[LoRA | None]:
    if method == "base":
        return [None] * len(pairs)
    if method in ("content", "style"):
        return [embedded.loras[getattr(pair, method).name] for pair in pairs]
    shipped = NETWORKS / f"{method}.safetensors"
    coefficients = load_network(checked(shipped)).module if shipped.exists() else MERGERS[method].call
    both = [(embedded.loras[pair.content.name], embedded.loras[pair.style.name]) for pair in pairs]
    with torch.no_grad():
        return [merge_exactly(loras, coefficients(loras)) for loras in both]


def _drawn() -> list[str]:
    """The methods that are drawn whole."""
    return [m for m in METHODS if all(_record(m, kind).exists() for kind in TYPES)]


def _records() -> tuple[list[Item], dict[str, dict[str, float]]]:
    """All items of the methods that are drawn whole, and the truth of each by its id."""
    items, truths = [], {}
    for method, kind in itertools.product(_drawn(), TYPES):
        read = json.loads(_record(method, kind).read_text())
        items += (members := [Item(**item) for item in read["items"]])
        truths |= {item.id: {name: read["truth"][name][i] for name in TRUTHS} for i, item in enumerate(members)}
    return items, truths


def judge() -> None:
    """Asks the embedded judge about every image, a run for each prompt type; replies are kept."""
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
        sure: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for question in judged.planned.main.questions:
            bounds = judged.verdicts[question.id].p_yes
            if bounds is not None:
                sure[question.item][question.axis].append(sum(bounds) / 2)
        found = {item: {axis: float(np.mean(p)) for axis, p in axes.items()} for item, axes in sure.items()}
        run.with_suffix(".json").write_text(json.dumps(found))
        print(judged.describe(), flush=True)


def _judging(kind: str) -> Path:
    """The run of one prompt type, by what is judged and by whom."""
    return RUNS / f"judge_{kind}_{_hash([*map(_key, _drawn()), sources()['judge']])[:8]}"


def _judged() -> dict[str, dict[str, float]]:
    found = {}
    for kind in TYPES:
        for item, axes in json.loads(_judging(kind).with_suffix(".json").read_text()).items():
            found[item] = {f"{axis} judge": axes.get(axis, math.nan) for axis in AXES}
            found[item]["joint judge"] = min(found[item].values())
    return found


def _metrics(items: Sequence[Item]) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """By image every metric, higher being better; and the hashes of the encoders."""
    references = load_references(EMBEDDED / "concepts.yaml", root=EMBEDDED / "images")
    found: dict[str, dict[str, float]] = defaultdict(dict)
    hashes = {}
    for name in ("tower", "pixels"):
        encoder = load_encoder(name)
        hashes[name] = encoder.sha256
        seen = encode_items(
            lock(items, RUNS / "images"), references, RUNS / "images", Encoders(encoder, encoder, encoder)
        )
        for image in score_all(items, seen)[0]:
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
    """Correlations of every metric with every truth, for each prompt type, over all images and within pairs."""
    items, truths = _records()
    values, hashes = _metrics(items)
    for item, more in _judged().items():
        values[item] |= more
    names = list(dict.fromkeys(name for of_image in values.values() for name in of_image))
    result: dict[str, Any] = {
        "split": SPLIT,
        "methods": _drawn(),
        "images": len(items),
        "encoders": hashes,
        "sources": sources(),
        "truth": {
            kind: {
                method: {
                    name: _mean(truths[i.id][name] for i in items if (i.prompt_type, i.method) == (kind, method))
                    for name in TRUTHS
                }
                for method in _drawn()
            }
            for kind in TYPES
        },
        "correlations": {
            kind: {
                name: _correlate([i for i in items if i.prompt_type == kind], values, truths, name) for name in names
            }
            for kind in TYPES
        },
    }
    (HERE / "agreement.json").write_text(json.dumps(result, indent=1) + "\n")
    tables = [_table(result["correlations"], names, over) for over in ("all", "within_pairs")]
    heads = ("Over all images:", "Within pairs, metric and truth minus their means over a pair's methods:")
    text = "\n\n".join(part for both in zip(heads, tables, strict=True) for part in both) + "\n"
    (HERE / "agreement.md").write_text(text)
    print(text)


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


def _correlate(
    items: Sequence[Item], values: dict[str, dict[str, float]], truths: dict[str, dict[str, float]], name: str
) -> dict[str, Any]:
    """With each truth: over all images, and within pairs (both minus the pair's mean)."""
    methods = [m for m in _drawn() if not (name.startswith("base preservation") and m == "base")]
    used = [item for item in items if item.method in methods]
    metric = _cells(used, methods, lambda item: values[item.id].get(name, math.nan))
    if np.isnan(metric).any():
        return {}
    found = {}
    for which in TRUTHS:
        true = _cells(used, methods, lambda item, which=which: truths[item.id][which])
        centred = [np.round(v - v.mean(2, keepdims=True), 9) for v in (metric, true)]
        found[which] = {
            "all": _rounded(crossed_spearman(metric, true)),
            "within_pairs": _rounded(crossed_spearman(*centred)),
        }
    return found


def _rounded(estimate: Any) -> list[float]:
    return [round(value, 3) for value in (estimate.mean, estimate.low, estimate.high)]


def _cells(items: Sequence[Item], methods: Sequence[str], value: Callable[[Item], float]) -> np.ndarray:
    """Values (contents, styles, methods)."""
    contents, styles = (sorted({getattr(item, axis) for item in items}) for axis in AXES)
    cells = np.full((len(contents), len(styles), len(methods)), math.nan)
    for item in items:
        cells[contents.index(item.content), styles.index(item.style), methods.index(item.method)] = value(item)
    return cells


def about(name: str) -> str:
    """The truth that a metric claims to tell."""
    return next(ABOUT[word] for word in name.replace(",", "").split() if word in ABOUT)


def _table(correlations: dict[str, Any], names: Sequence[str], over: str) -> str:
    """One row a metric: its correlation with the truth that it is about, over "all" images or "within_pairs"."""
    lines = [f"| metric | truth | {' | '.join(TYPES)} |", "|---|---|" + "---|" * len(TYPES)]
    for name in sorted(names, key=lambda name: (TRUTHS.index(about(name)), names.index(name))):
        cells = [show(correlations[kind].get(name, {}).get(about(name), {}).get(over)) for kind in TYPES]
        lines.append(f"| {name} | {about(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def show(estimate: Sequence[float] | None) -> str:
    return "not measured" if not estimate else f"{estimate[0]:+.2f} [{estimate[1]:+.2f}, {estimate[2]:+.2f}]"


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"draw": draw, "judge": judge, "measure": measure}[sys.argv[1]]()
