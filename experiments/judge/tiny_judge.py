"""How good is the embedded judge? Held-out renders, its calibration, and generated images against the attribute reader.

python experiments/judge/tiny_judge.py test        (or validation, for choices)
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.benchmark.embedded import DATA, load_embedded
from lorarar.benchmark.judged import judge_methods
from lorarar.benchmark.methods import Result, run_method, shipped_methods
from lorarar.cards import checked
from lorarar.judge.folder import read_setup
from lorarar.judge.judging import judge_by_name, reread
from lorarar.judge.preparation import plan_run
from lorarar.judge.records import AXES
from lorarar.judge.rubrics import load_rubric
from lorarar.judge.scores import score_images
from lorarar.statistics import cohen_kappa, wilson
from lorarar.toyworld.judge import save_judge
from lorarar.toyworld.judge_data import LEARNT, draw_pairs
from lorarar.toyworld.judge_model import build_model, build_processor
from lorarar.toyworld.judge_scores import measure
from lorarar.toyworld.judge_texts import RUBRICS, all_texts, wordings

METHODS = ("direct", "average", "constant", "hypernetwork", "hypernetwork_paper")
SEEDS = (0, 1)
PAIRS = 4000
ROOT = Path("runs/judge_experiment")
CASES = 64  # of a kind and axis


def main(split: str) -> None:
    torch.set_num_threads(1)
    folder = ROOT / split
    random = folder / "random"
    processor = build_processor(all_texts(wordings()))
    save_judge(build_model(processor, seed=1), processor, random)
    embedded = load_embedded([split])
    methods = shipped_methods(DATA / "mergers")
    results = {name: run_method(embedded.scorer(split, SEEDS), methods[name]) for name in METHODS}
    start = time.perf_counter()
    judged = judge_methods(embedded, split, results, folder / "generated", data=DATA)
    seconds = time.perf_counter() - start
    found = {
        "split": split,
        "parameters": sum(
            p.numel() for p in LlavaForConditionalGeneration.from_pretrained(judge_folder()).parameters()
        ),
        "renders": {name: renders(judge_folder(), split, name) for name in RUBRICS},
        "renders_random_judge": renders(random, split, "mars2"),
        "gate": gate(folder / "generated" / "images", folder / "gate", "tiny"),
        "gate_random_judge": gate(folder / "generated" / "images", folder / "gate_random", f"transformers:{random}"),
        "generated": agreement(folder / "generated" / "judge", results, embedded.pairs(split)) | {"judged": judged},
        "seconds_to_judge_and_report": round(seconds, 1),
    }
    path = Path(__file__).with_name(f"results_{split}.json")
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def judge_folder() -> Path:
    return checked(DATA / "judge")


def renders(model: Path, split: str, rubric: str) -> dict[str, dict[str, float]]:
    """Pairs of the split's subjects and styles; other subjects and styles come from every set that may be shown."""
    loaded = LlavaForConditionalGeneration.from_pretrained(model, dtype=torch.float32)
    pairs = draw_pairs(PAIRS, 11, (split,), (*LEARNT, split))
    return measure(loaded, LlavaProcessor.from_pretrained(model), pairs, load_rubric(rubric))


def gate(images: Path, run: Path, backend: str) -> dict[str, object]:
    """The calibration from the split's own references, as any user gets it, with more cases."""
    layout = "{method}/{content}+{style}/{seed}.png"
    plan_run(run, images, DATA / "concepts.yaml", layout=layout, reference_root=DATA / "images", cases=CASES)
    judged = judge_by_name(run, read_setup(run), backend, calibrate_only=True)
    assert judged.gate
    kinds: dict[str, list[float]] = {}
    for case in judged.planned.cases:
        kinds.setdefault(f"{case.axis} {case.kind} (right: {case.label})", []).append(
            judged.case_verdicts[case.id].value
        )
    axes = {}
    for axis in AXES:
        rates = judged.gate.axes[axis]
        axes[axis] = {"auc": round(rates.auc, 4)} | {
            name: [round(rate.value, 4), *(round(v, 4) for v in bounds(rate)), rate.total]
            for name, rate in (
                ("sensitivity", rates.sensitivity),
                ("specificity", rates.specificity),
                ("false_accepts", rates.false_accepts),
            )
        }
    return {
        "passed": judged.gate.passed,
        "reasons": judged.gate.reasons,
        "axes": axes,
        "yes_by_kind": {kind: round(sum(v or 0 for v in values) / len(values), 4) for kind, values in kinds.items()},
    }


def bounds(rate) -> tuple[float, float]:
    found = wilson(rate)
    return found.low, found.high


def agreement(run: Path, results: dict[str, Result], pairs) -> dict[str, object]:
    """The judge's MARS2 verdict of every image against the reader's: all attributes of an axis right."""
    read = {}
    for method, result in results.items():
        for i, pair in enumerate(pairs):
            for k, seed in enumerate(SEEDS):
                scores = [float(result.scored.scores[axis][i, k]) for axis in AXES]
                read[method, pair.content.name, pair.style.name, seed] = [score == 1 for score in scores]
    found = reread(run, read_setup(run))
    votes = {}
    for image in score_images(read_setup(run).items, found.planned.main.questions, found.verdicts):
        item = image.item
        votes[item.method, item.content, item.style, item.seed] = [image.axes[axis].passes() for axis in AXES]
    keys = sorted(key for key in read if None not in votes[key])
    columns = {"content": lambda v: v[0], "style": lambda v: v[1], "joint": lambda v: v[0] and v[1]}
    table, kappa = {}, {}
    for name, take in columns.items():
        judge, reader = [take(votes[k]) for k in keys], [take(read[k]) for k in keys]
        estimate = cohen_kappa(judge, reader)
        same = sum(a == b for a, b in zip(judge, reader, strict=True)) / len(keys)
        kappa[name] = {
            "kappa": [round(v, 4) for v in (estimate.mean, estimate.low, estimate.high)],
            "raw_agreement": round(same, 4),
            "judge_yes_when_reader_yes": share(judge, reader, True),
            "judge_yes_when_reader_no": share(judge, reader, False),
        }
    for method in METHODS:
        mine = [k for k in keys if k[0] == method]
        table[method] = {
            f"{who}_{name}": round(sum(take(source[k]) for k in mine) / len(mine), 4)
            for name, take in columns.items()
            for who, source in (("judge", votes), ("reader", read))
        }
    ranking = {w: sorted(METHODS, key=lambda m: -table[m][f"{w}_joint"]) for w in ("judge", "reader")}
    return {
        "images": len(keys),
        "undecided": len(read) - len(keys),
        "agreement": kappa,
        "methods": table,
        "ranking": ranking,
    }


def share(judge: list[bool], reader: list[bool], of: bool) -> float:
    chosen = [j for j, r in zip(judge, reader, strict=True) if r == of]
    return round(sum(chosen) / len(chosen), 4)


if __name__ == "__main__":
    main(sys.argv[1])
