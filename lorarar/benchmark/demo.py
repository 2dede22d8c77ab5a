"""Demo: the main job on the embedded default: merge, sample and score every test pair, then train a little."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorarar.benchmark.embedded import Embedded, load_embedded
from lorarar.benchmark.judged import CalibrationVerdict, JudgeRecord, judge_methods
from lorarar.benchmark.methods import MethodResult, estimate_scores, run_method, shipped_methods
from lorarar.datasets import contact_sheet, load_images
from lorarar.evaluation.statistics import Estimate
from lorarar.mergers import FileMerge, MergeRequest, describe_merge, merge_files
from lorarar.storage import EMBEDDED, NETWORKS, checked, load_config, progress, write_json
from lorarar.training import MergerTraining, fit
from lorarar.workflows import TrainConfig, merger_training
from lorarar.worlds.stages import true_renders

_SPLIT = "test"
_SHEET_PAIRS = [(i, i) for i in range(8)]  # content and style of each pair on the contact sheet, chosen beforehand
_TRAINING = "train/embedded"  # a shipped configuration
_DEFAULT = "hypernetwork"
_STEPS = 20
_JUDGED = ("mars2", "mars2_interval")


@dataclass(frozen=True)
class DemoMethod:
    """Scores of one method: estimates by metric, the judge's MARS2 share, and seconds to merge a pair."""

    estimates: Mapping[str, Estimate]
    mars2: float | None
    mars2_interval: tuple[float, float] | None
    merge_seconds: float

    def record(self) -> dict[str, Any]:
        """Return the method as report.json keeps it."""
        values: dict[str, Any] = {}
        for metric, estimate in self.estimates.items():
            values[metric] = round(estimate.mean, 4)
            values[f"{metric}_interval"] = [round(estimate.low, 4), round(estimate.high, 4)]
        values["merge_seconds"] = round(self.merge_seconds, 5)
        return values | {name: getattr(self, name) for name in _JUDGED}


@dataclass(frozen=True)
class DemoReport:
    """What the demo measured.

    Attributes:
        pairs: Test pairs.
        images: Images of all methods together.
        seeds: Seeds of the images of each pair and method.
        forward_seconds: Median time of a forward pass of the base at batch 1.
        methods: Scores by method.
        judge: The calibration of the judge.
    """

    pairs: int
    images: int
    seeds: Sequence[int]
    forward_seconds: float
    methods: Mapping[str, DemoMethod]
    judge: CalibrationVerdict

    def record(self) -> dict[str, Any]:
        """Return the report as report.json keeps it."""
        return {
            "pairs": self.pairs,
            "images": self.images,
            "seeds": list(self.seeds),
            "forward_seconds": round(self.forward_seconds, 5),
            "methods": {name: method.record() for name, method in self.methods.items()},
            "judge": self.judge,
        }


def run_demo(output: Path, *, seeds: Sequence[int] = (0,), data: Path = EMBEDDED) -> DemoReport:
    """Write ``merged.safetensors``, ``contact_sheet.png`` and ``report.json`` to a folder, and print a table.

    Args:
        output: The folder, created if missing.
        seeds: Seeds of the images of each pair and method.
        data: The embedded default.

    Raises:
        ArtefactError: A shipped part is missing or differs from its card.
    """
    started = time.perf_counter()
    embedded = load_embedded([_SPLIT], data)
    for path in sorted(NETWORKS.glob("*.safetensors")):
        checked(path)
    output.mkdir(parents=True, exist_ok=True)
    print(_merge_first_pair(embedded, data, output))
    methods = shipped_methods(NETWORKS)
    scorer = embedded.scorer(_SPLIT, seeds)
    with progress("merge and sample", len(scorer.pairs) * len(seeds) * len(methods), "images") as advance:
        results = {name: run_method(scorer, method, advance) for name, method in methods.items()}
    forward_seconds = _forward_seconds(embedded)
    judged = judge_methods(embedded, _SPLIT, results, output, data=data)
    report = _report(embedded, results, judged, seeds, forward_seconds)
    write_json(output / "report.json", report.record())
    _draw(embedded, results, output / "contact_sheet.png")
    print(demo_table(report.methods))
    print(_speed(report))
    print(f"the embedded judge {report.judge.verdict} its calibration; its report: {judged.report}")
    print(f"pictures: {output / 'contact_sheet.png'}   scores: {output / 'report.json'}")
    print(_train_a_little(output / "train", data))
    print(f"{time.perf_counter() - started:.0f} s in all")
    return report


def demo_table(methods: Mapping[str, DemoMethod]) -> str:
    """Return a table of scores, one method per line."""
    lines = [f"{'method':20} content  style  joint  [95 % interval]  strict  mars2  merge ms"]
    for name, method in methods.items():
        content, style, joint, strict = (method.estimates[key] for key in ("content", "style", "joint", "strict"))
        mars2 = "     -" if method.mars2 is None else f"{method.mars2:6.3f}"
        lines.append(
            f"{name:20} {content.mean:7.3f} {style.mean:6.3f} {joint.mean:6.3f}  [{joint.low:.3f}, {joint.high:.3f}]"
            f"  {strict.mean:6.3f} {mars2}  {method.merge_seconds * 1000:8.1f}"
        )
    return "\n".join(lines)


def _speed(report: DemoReport) -> str:
    seconds, forward = report.methods[_DEFAULT].merge_seconds, report.forward_seconds
    return (
        f"the hypernetwork merges a pair in {seconds * 1000:.1f} ms, {seconds / forward:.2f} forward passes "
        f"of the base at batch 1 ({forward * 1000:.1f} ms)"
    )


def _merge_first_pair(embedded: Embedded, data: Path, output: Path) -> str:
    """Merge the first pair from its files into an ordinary LoRA file, by the shipped hypernetwork."""
    members = embedded.splits[_SPLIT]
    content, style = (data / "loras" / f"{name}.safetensors" for name in (members.contents[0], members.styles[0]))
    request = MergeRequest(network=NETWORKS / f"{_DEFAULT}.safetensors")
    return describe_merge(merge_files(FileMerge((content, style), output / "merged.safetensors", request, force=True)))


def _report(
    embedded: Embedded,
    results: Mapping[str, MethodResult],
    judged: JudgeRecord,
    seeds: Sequence[int],
    forward_seconds: float,
) -> DemoReport:
    methods = {}
    for name, result in results.items():
        estimates = estimate_scores(result.scored.scores, embedded, _SPLIT)
        scores = judged.methods[name]
        methods[name] = DemoMethod(estimates, scores.mars2, scores.mars2_interval, result.merge_seconds)
    pairs = len(embedded.pairs(_SPLIT))
    return DemoReport(pairs, pairs * len(seeds) * len(results), seeds, forward_seconds, methods, judged.calibration)


@torch.no_grad()
def _forward_seconds(embedded: Embedded) -> float:
    """Return the median time of one forward pass of the base at batch 1, in seconds."""
    backbone = embedded.backbone
    noisy = torch.zeros(1, *backbone.latent_shape)
    conditioning, timesteps, seconds = backbone.encode_prompts([""]), torch.tensor([500]), []
    for _ in range(7):
        start = time.perf_counter()
        backbone.predict(noisy, timesteps, conditioning)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[3]


def _draw(embedded: Embedded, results: Mapping[str, MethodResult], path: Path) -> None:
    members = embedded.splits[_SPLIT]
    cells, pairs = [], embedded.pairs(_SPLIT)
    for content, style in _SHEET_PAIRS:
        index = content * len(members.styles) + style
        pair = pairs[index]
        references = [
            (load_images(c.images[:1], embedded.classifier.world.size)[0] + 1) / 2 for c in (pair.content, pair.style)
        ]
        true = (true_renders(embedded.classifier.world, pair, [0])[0] + 1) / 2
        cells.append([*references, true, *(result.scored.images[index, 0] for result in results.values())])
    labels = [name.replace("hypernetwork", "network").replace("_", " ") for name in results]
    contact_sheet(cells, path, columns=["content", "style", "true", *labels])


def _train_a_little(output: Path, data: Path) -> str:
    """Train a fresh hypernetwork for twenty steps, by the shipped configuration, on the embedded default."""
    concepts = json.dumps(str(data / "concepts.yaml"))
    overrides = [
        f"base={json.dumps(str(data / 'base'))}",
        f"manifests=[{concepts}]",
        f"splits={concepts}",
        f"images={json.dumps(str(data / 'images'))}",
        f"loras={json.dumps(str(data / 'loras'))}",
        f"recipe.steps={_STEPS}",
        "recipe.schedule=constant",
        "wandb=disabled",
        "classifier=null",
        "device=cpu",
    ]
    overrides += [f"synthetic_pairs={_STEPS}", f"runs={json.dumps(str(output))}"]
    module = merger_training(load_config(TrainConfig, _TRAINING, overrides))
    before = _validation_loss(module)
    shutil.rmtree(output, ignore_errors=True)
    fit(module, steps=_STEPS, folder=output, accelerator=module.backbone.device.type, stage="train a new hypernetwork")
    after = _validation_loss(module)
    return f"{_STEPS} steps of training a new hypernetwork: validation loss {before:.4f} -> {after:.4f}"


@torch.no_grad()
def _validation_loss(module: MergerTraining) -> float:
    """Return the mean loss over one pair for each validation content."""
    losses = [module.losses(module.data.validation_batch(9 * i))["loss"] for i in range(8)]
    return sum(losses) / len(losses)
