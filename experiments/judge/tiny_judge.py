"""Measure the embedded judge: held-out renders, its gate, and generated images against the attribute classifier.

python experiments/judge/tiny_judge.py test        (or validation, for choices); writes results_SPLIT.json beside it.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.benchmark import (
    JUDGED_LAYOUT,
    Embedded,
    MethodResult,
    judge_methods,
    load_embedded,
    run_method,
    shipped_methods,
)
from lorarar.datasets import AXES, Axis
from lorarar.evaluation.judge import judge_by_name, plan_run, reread
from lorarar.evaluation.judge.ask import read_setup
from lorarar.evaluation.judge.ask.rubrics import load_rubric
from lorarar.evaluation.judge.read import score_images
from lorarar.evaluation.judge.trust import perturbation_consistency, swapped_consistency
from lorarar.evaluation.statistics import Rate, auc, cohen_kappa, raw_agreement, wilson
from lorarar.storage import EMBEDDED, EMBEDDED_JUDGE, NETWORKS, checked, plain
from lorarar.worlds.toy.judge import TRAINING_SETS, ImagePairs, build_model, render_pairs, save_judge, yes_margins

METHODS = ("direct", "average", "constant", "hypernetwork", "hypernetwork_paper")
SEEDS = (0, 1)
PAIRS = 2000  # of renders
CASES = 64  # of the calibration, of a kind and axis
# A method, and how many of its images are also judged in other wordings, as JPEG and trimmed.
DISTURBED, PERTURBATIONS = "hypernetwork", 128
ROOT = Path("runs/judge_experiment")
Votes = dict[tuple[str, str], list[bool]]  # (method, image) -> content, style, both


def main(split: str) -> None:
    """Measure and write the results."""
    torch.set_num_threads(1)
    folder, judge = ROOT / split, checked(EMBEDDED_JUDGE)
    shutil.rmtree(folder, ignore_errors=True)  # a run that holds replies refuses another plan
    random = folder / "random"
    random.parent.mkdir(parents=True, exist_ok=True)
    processor = LlavaProcessor.from_pretrained(judge)
    save_judge(build_model(processor, seed=1), processor, random)
    embedded = load_embedded([split])
    methods = shipped_methods(NETWORKS)
    results = {name: run_method(embedded.scorer(split, SEEDS), methods[name]) for name in METHODS}
    judge_methods(embedded, split, results, folder / "generated", data=EMBEDDED)
    pairs = render_pairs(PAIRS, 11, (split,), (*TRAINING_SETS, split))
    images = folder / "generated" / "images"
    record = {
        "renders": {name: measure_renders(path, pairs) for name, path in (("embedded", judge), ("random", random))},
        "gate": {
            name: measure_gate(images, folder / f"gate_{name}", backend)
            for name, backend in (("embedded", "tiny"), ("random", f"transformers:{random}"))
        },
        "perturbations": measure_perturbations(images, folder / "perturbations"),
        "generated": compare_with_classifier(folder / "generated" / "judge", results, embedded, split),
    }
    text = json.dumps(plain(record), indent=1)
    Path(__file__).with_name(f"results_{split}.json").write_text(text + "\n")
    print(text)


def interval(rate: Rate) -> list[float]:
    """Return value, Wilson's bounds and number of a rate."""
    bounds = wilson(rate)
    return [*(round(value, 4) for value in (rate.value, bounds.low, bounds.high)), rate.total]


def measure_renders(judge: Path, pairs: ImagePairs) -> dict[Axis, Any]:
    """Measure sensitivity, specificity, also of images that differ in one attribute, and AUC; degenerate ones apart."""
    model = LlavaForConditionalGeneration.from_pretrained(judge, dtype=torch.float32)
    processor, rates = LlavaProcessor.from_pretrained(judge), {}
    degenerate = pairs.attributes[:, 1, 0] < 0
    for axis, own in zip(AXES, (slice(0, 4), slice(4, 8)), strict=True):
        margins = yes_margins(model, processor, pairs, load_rubric("mars2"), axis, seed=0)
        same = pairs.same(axis)
        other = ~same & ~degenerate
        near = other & ((pairs.attributes[:, 0, own] != pairs.attributes[:, 1, own]).sum(1) == 1)
        rates[axis] = {
            "sensitivity": interval(share(margins[same] > 0)),
            "specificity": interval(share(margins[other] <= 0)),
            "near_specificity": interval(share(margins[near] <= 0)),
            "degenerate_accepts": interval(share(margins[degenerate] > 0)),
            "auc": round(auc(margins[same].tolist(), margins[other].tolist()), 4),
        }
    return rates


def share(hits: torch.Tensor) -> Rate:
    """Return the share of booleans that are true."""
    return Rate(int(hits.sum()), len(hits))


def measure_gate(images: Path, run: Path, backend: str) -> dict[str, Any]:
    """Run the calibration from the split's own references, as any user gets it, with more cases."""
    plan_run(
        run, images, EMBEDDED / "concepts.yaml", layout=JUDGED_LAYOUT, reference_root=EMBEDDED / "images", cases=CASES
    )
    judged = judge_by_name(run, read_setup(run), backend, calibrate_only=True)
    assert judged.gate is not None
    names = ("sensitivity", "specificity", "false_accepts")
    return {
        "passed": judged.gate.passed,
        "reasons": judged.gate.reasons,
        **{
            axis: {"auc": round(rates.auc, 4)} | {name: interval(getattr(rates, name)) for name in names}
            for axis, rates in judged.gate.axes.items()
        },
    }


def measure_perturbations(images: Path, run: Path) -> dict[str, Any]:
    """Measure how often the embedded judge answers alike in other words, about a JPEG and about a trimmed image."""
    plan_run(
        run,
        images,
        EMBEDDED / "concepts.yaml",
        layout=JUDGED_LAYOUT,
        reference_root=EMBEDDED / "images",
        ignore=[f"{method}/*" for method in METHODS if method != DISTURBED],
        swapped=True,
        perturbations=PERTURBATIONS,
    )
    judged = judge_by_name(run, read_setup(run), "tiny", uncalibrated=True)
    questions = judged.planned.main.questions
    ways = {"swapped": swapped_consistency(questions, judged.verdicts)}
    ways |= perturbation_consistency(questions, judged.verdicts)
    return {
        way: {axis: {"agreed": interval(c.agreed), "kappa": round(c.kappa.mean, 4)} for axis, c in axes.items()}
        for way, axes in ways.items()
    }


def compare_with_classifier(
    run: Path, results: dict[str, MethodResult], embedded: Embedded, split: str
) -> dict[str, Any]:
    """Compare the judge's MARS2 verdict on every image with the classifier's: all attributes of an axis right."""
    read: Votes = {}  # by the classifier
    for method, result in results.items():
        for i, pair in enumerate(embedded.pairs(split)):
            for k, seed in enumerate(SEEDS):
                right = [float(result.scored.scores[axis][i, k]) == 1 for axis in AXES]
                read[method, f"{method}/{pair.content.name}+{pair.style.name}/{seed}"] = [*right, all(right)]
    replies, judged = reread(run, read_setup(run)), Votes()
    for image in score_images(read_setup(run).items, replies.planned.main.questions, replies.verdicts):
        passes = [image.axes[axis].passes() for axis in AXES]
        if None not in passes:
            judged[image.item.method, image.item.id] = [*map(bool, passes), all(passes)]
    keys = sorted(judged)
    return {
        "images": len(keys),
        "undecided": len(read) - len(keys),
        "agreement": {
            name: agreement([judged[key][i] for key in keys], [read[key][i] for key in keys])
            for i, name in enumerate((*AXES, "joint"))
        },
        "methods": {m: {"judge": shares(judged, m), "reader": shares(read, m)} for m in METHODS},
        "ranking": {"judge": ranking(judged), "reader": ranking(read)},
    }


def agreement(judge: Sequence[bool], classifier: Sequence[bool]) -> dict[str, Any]:
    """Return kappa with its interval, raw agreement, and the judge's yes to images that are right, and wrong."""
    kappa = cohen_kappa(judge, classifier)
    answers = {right: [j for j, r in zip(judge, classifier, strict=True) if r == right] for right in (True, False)}
    return {
        "kappa": [round(value, 4) for value in (kappa.mean, kappa.low, kappa.high)],
        "agreed": interval(raw_agreement(judge, classifier)),
        "yes_to_right": interval(Rate(sum(answers[True]), len(answers[True]))),
        "yes_to_wrong": interval(Rate(sum(answers[False]), len(answers[False]))),
    }


def shares(votes: Votes, method: str) -> list[float]:
    """Return the shares of a method's images with the right content, style, and both."""
    own = [vote for (name, _), vote in votes.items() if name == method]
    return [round(sum(column) / len(own), 4) for column in zip(*own, strict=True)]


def ranking(votes: Votes) -> list[str]:
    """Return the methods by their share of images that are right on both axes, best first."""
    return sorted(METHODS, key=lambda method: -shares(votes, method)[2])


if __name__ == "__main__":
    main(sys.argv[1])
