"""The main job on the embedded default: merge, generate and score every test pair, then train a little."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lorarar.benchmark.ceiling import true_renders
from lorarar.benchmark.embedded import Embedded, load_embedded
from lorarar.benchmark.judged import judge_methods
from lorarar.benchmark.methods import Result, run_method, shipped_methods, summarise
from lorarar.datasets import contact_sheet, load_images
from lorarar.mergers import FileMerge, MergeRequest, describe_merge, merge_files
from lorarar.storage import EMBEDDED, NETWORKS, checked, load_config, write_json
from lorarar.training import MergerTraining, fit
from lorarar.workflows import TrainConfig, merger_training

SPLIT = "test"
SHOWN = [(i, i) for i in range(8)]  # content and style of each pair on the contact sheet, fixed beforehand
CONFIG = Path("configs/train/embedded.yaml")
_DEFAULT = "hypernetwork"
_STEPS = 20


def run_demo(output: Path, *, seeds: int, data: Path = EMBEDDED) -> dict[str, Any]:
    """Write ``merged.safetensors``, ``contact_sheet.png`` and ``report.json`` to ``output``; print a table.

    Returns:
        The report.
    """
    started = time.perf_counter()
    output.mkdir(parents=True, exist_ok=True)
    embedded = load_embedded([SPLIT], data)
    for path in sorted(NETWORKS.glob("*.safetensors")):
        checked(path)
    print(_merge_one(embedded, data, output))
    methods = shipped_methods(NETWORKS)
    scorer = embedded.scorer(SPLIT, range(seeds))
    with tqdm(total=len(scorer.pairs) * seeds * len(methods), desc="images", unit="image") as bar:
        results = {name: run_method(scorer, method, bar.update) for name, method in methods.items()}
    report = _report(embedded, results, seeds)
    judged = judge_methods(embedded, SPLIT, results, output, data=data)
    report["judge"] = judged["calibration"]
    for name, scores in judged["methods"].items():
        report["methods"][name] |= {key: value for key, value in scores.items() if key.startswith("mars2")}
    write_json(output / "report.json", report)
    _draw(embedded, results, output / "contact_sheet.png")
    print(table(report["methods"]))
    print(_speed(report))
    print(f"the embedded judge {report['judge']['verdict']} its calibration; its report: {judged['report']}")
    print(f"pictures: {output / 'contact_sheet.png'}   scores: {output / 'report.json'}")
    print(_train_a_little(output / "train"))
    print(f"{time.perf_counter() - started:.0f} s in all")
    return report


def table(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of scores, one method a line."""
    lines = [f"{'method':20} content  style  joint  [95 % interval]  strict  mars2  merge ms"]
    for name, found in methods.items():
        low, high = found["joint_interval"]
        lines.append(
            f"{name:20} {found['content']:7.3f} {found['style']:6.3f} {found['joint']:6.3f}  [{low:.3f}, {high:.3f}]"
            f"  {found['strict']:6.3f} {_number(found.get('mars2'))}  {found['merge_seconds'] * 1000:8.1f}"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "     -" if value is None else f"{value:6.3f}"


def _speed(report: Mapping[str, Any]) -> str:
    seconds, forward = report["methods"][_DEFAULT]["merge_seconds"], report["forward_seconds"]
    return (
        f"the hypernetwork merges a pair in {seconds * 1000:.1f} ms, {seconds / forward:.2f} forward passes "
        f"of the base at batch 1 ({forward * 1000:.1f} ms)"
    )


def _merge_one(embedded: Embedded, data: Path, output: Path) -> str:
    """The first shown pair, merged from its files by the shipped hypernetwork into an ordinary LoRA file."""
    members = embedded.splits[SPLIT]
    content, style = (data / "loras" / f"{name}.safetensors" for name in (members.contents[0], members.styles[0]))
    network = NETWORKS / f"{_DEFAULT}.safetensors"
    return describe_merge(
        merge_files(
            FileMerge((content, style), output / "merged.safetensors", MergeRequest(hypernetwork=network), force=True)
        )
    )


def _report(embedded: Embedded, results: Mapping[str, Result], seeds: int) -> dict[str, Any]:
    methods = {
        name: summarise(result.scored.scores, embedded, SPLIT) | {"merge_seconds": round(result.merge_seconds, 5)}
        for name, result in results.items()
    }
    pairs = len(embedded.pairs(SPLIT))
    return {
        "pairs": pairs,
        "images": pairs * seeds * len(results),
        "seed": 0,
        "seeds": seeds,
        "forward_seconds": round(_forward_seconds(embedded), 5),
        "methods": methods,
    }


@torch.no_grad()
def _forward_seconds(embedded: Embedded) -> float:
    """Median time of one forward pass of the base at batch 1."""
    backbone = embedded.backbone
    noisy = torch.zeros(1, *backbone.latent_shape)
    conditioning, timesteps, seconds = backbone.encode_prompts([""]), torch.tensor([500]), []
    for _ in range(7):
        start = time.perf_counter()
        backbone.predict(noisy, timesteps, conditioning)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[3]


def _draw(embedded: Embedded, results: Mapping[str, Result], path: Path) -> None:
    members = embedded.splits[SPLIT]
    cells, pairs = [], embedded.pairs(SPLIT)
    for content, style in SHOWN:
        index = content * len(members.styles) + style
        pair = pairs[index]
        references = [(load_images(c.images[:1], 32)[0] + 1) / 2 for c in (pair.content, pair.style)]
        true = (true_renders(pair, [0])[0] + 1) / 2
        cells.append([*references, true, *(result.scored.images[index, 0] for result in results.values())])
    labels = [name.replace("hypernetwork", "network").replace("_", " ") for name in results]
    contact_sheet(cells, path, columns=["content", "style", "true", *labels])


def _train_a_little(output: Path) -> str:
    """Twenty steps of a fresh hypernetwork's training, by the shipped configuration."""
    words = [f"recipe.steps={_STEPS}", "recipe.schedule=constant", "wandb=disabled", "reader=null"]
    words += [f"synthetic_pairs={_STEPS}", f"runs={output}"]
    module = merger_training(load_config(TrainConfig, CONFIG, words))
    before = _validation_loss(module)
    shutil.rmtree(output, ignore_errors=True)
    fit(module, steps=_STEPS, folder=output, accelerator=module.backbone.device.type)
    after = _validation_loss(module)
    return f"{_STEPS} steps of training a new hypernetwork: validation loss {before:.4f} -> {after:.4f}"


@torch.no_grad()
def _validation_loss(module: MergerTraining) -> float:
    """Over one pair for each validation content."""
    losses = [module.losses(module.data.validation_batch(9 * i))["loss"] for i in range(8)]
    return sum(losses) / len(losses)
