"""What the basis does inside: entropy, mixes by transformation, leaving one LoRA out, interpolation, export, cost.

Reads the configuration of the measurement; writes inside.json and mixes.png beside this file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lorarar.analogies import Analogies, encode_condition
from lorarar.benchmark.analogies import AnswersConfig, score_answers
from lorarar.diffusion import conditioned
from lorarar.formats import load
from lorarar.lora import Coefficients, LoRA, merge_exactly
from lorarar.storage import EMBEDDED, load_config, write_json
from lorarar.worlds.stages import WorldClassifier, load_classifier
from lorarar.worlds.toy import Analogy, draw_analogies, plan_analogies

HERE = Path(__file__).parent
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Inside:
    """The basis, the classifier, and analogies with their images."""

    def __init__(self, config: AnswersConfig, analogies: Analogies, classifier: WorldClassifier) -> None:
        self.config, self.analogies, self.classifier = config, analogies, classifier

    def images(self, planned: Sequence[Analogy]) -> Tensor:
        return draw_analogies(planned)[:, :3].float() / 127.5 - 1

    def answer(self, images: Tensor, by: Tensor | LoRA) -> Tensor:
        return self.analogies.answer(images, by, [self.config.seed] * len(images), self.config.sampling)

    def scores(self, planned: Sequence[Analogy], by: Tensor | LoRA) -> dict[str, float]:
        found = score_answers(self.classifier, self.answer(self.images(planned), by), planned)
        return {name: round(float(getattr(found, name).mean()), 4) for name in ("accuracy", "preservation", "exact")}


def entropy_and_mixes(inside: Inside) -> dict[str, Any]:
    """Entropy of the mixes as a share of log N, and their variance between and within transformations."""
    planned = [a for part in ("seen", "types") for a in plan_analogies(part, 170 if part == "seen" else 80, 7)]
    mix = inside.analogies.mix(inside.images(planned))
    names = list(dict.fromkeys(a.transformation.name for a in planned))
    groups = torch.stack(
        [mix[[a.transformation.name == name for a in planned]].mean(0) for name in names]
    )  # (transformations, layers, N)
    entropy = -(mix * mix.clamp_min(1e-9).log()).sum(-1) / math.log(mix.shape[-1])
    within = torch.stack([mix[[a.transformation.name == n for a in planned]].var(0).mean() for n in names]).mean()
    return {
        "entropy": round(float(entropy.mean()), 4),
        "entropy of the most and the least decided layer": [
            round(float(value), 4) for value in (entropy.mean(0).min(), entropy.mean(0).max())
        ],
        "variance between transformations over that within": round(float(groups.var(0).mean() / within), 3),
        "mean mix of each transformation": {
            name: [round(value, 4) for value in row]
            for name, row in zip(names, groups.mean(1).tolist(), strict=True)  # over layers: (transformations, N)
        },
    }


def left_out(inside: Inside) -> dict[str, Any]:
    """Scores with one LoRA of the basis left out of every mix."""
    planned = plan_analogies("seen", 34, inside.config.seed)
    mix = inside.analogies.mix(inside.images(planned))
    rows = {"none": inside.scores(planned, mix)}
    for i in range(mix.shape[-1]):
        without = mix.clone()
        without[..., i] = 0
        rows[str(i)] = inside.scores(planned, without)
    return rows


def interpolated(inside: Inside) -> dict[str, Any]:
    """Mixes between two analogies on one image b: how often each of the two changes is made."""
    paint = [a for a in plan_analogies("seen", 170, 9) if a.transformation.name == "paint"]
    ground = [a for a in plan_analogies("seen", 170, 10) if a.transformation.name == "ground"]
    ground = [g._replace(image=p.image, target=g.transformation(p.image)) for p, g in zip(paint, ground, strict=True)]
    ends = [inside.analogies.mix(inside.images(planned)) for planned in (paint, ground)]
    rows = {}
    for weight in WEIGHTS:
        mix = (1 - weight) * ends[0] + weight * ends[1]
        shown = inside.answer(inside.images(paint if weight <= 0.5 else ground), mix)
        found = [float(score_answers(inside.classifier, shown, planned).accuracy.mean()) for planned in (paint, ground)]
        rows[str(weight)] = dict(zip(("paint", "ground"), (round(value, 4) for value in found), strict=True))
    return rows


def exported(inside: Inside) -> dict[str, float]:
    """The largest difference between the images of the router and those of the exported LoRA, 0 to 1."""
    images = inside.images(plan_analogies("types", 8, inside.config.seed))
    mix = inside.analogies.mix(images)
    routed = inside.answer(images, mix)
    by_file = torch.cat([inside.answer(images[i : i + 1], inside.analogies.lora(mix[i])) for i in range(len(images))])
    return {"images": len(images), "largest difference": float((routed - by_file).abs().max())}


def cost(inside: Inside, rounds: int = 30) -> dict[str, float]:
    """Seconds of the mix of one image, over those of one denoising pass of it; measured in turns."""
    images = inside.images(plan_analogies("seen", 1, 0))
    backbone = inside.analogies.backbone
    condition = encode_condition(backbone, images, "images")
    words, times = backbone.encode_prompts(["a"]), torch.tensor([500])
    noisy = torch.randn(1, *backbone.latent_shape)
    seconds: dict[str, list[float]] = {"mix": [], "pass": []}
    for _ in range(rounds):
        start = time.perf_counter()
        inside.analogies.mix(images)
        middle = time.perf_counter()
        with torch.no_grad(), conditioned(backbone.denoiser, condition):
            backbone.predict(noisy, times, words)
        seconds["mix"].append(middle - start)
        seconds["pass"].append(time.perf_counter() - middle)
    return {"router over one denoising pass": round(median(seconds["mix"]) / median(seconds["pass"]), 3)}


def with_content(inside: Inside) -> dict[str, Any]:
    """An analogy's LoRA merged with a content LoRA, which was trained on the base before it became an editor."""
    planned = [a for a in plan_analogies("seen", 170, 11) if a.transformation.name == "backdrop"]
    images = inside.images(planned)
    content = load(EMBEDDED / "loras" / "test_content_00.safetensors")
    rows: dict[str, list[float]] = {}
    for analogy, mix in zip(planned, inside.analogies.mix(images), strict=True):
        ours = inside.analogies.lora(mix)
        layers = dict.fromkeys([*ours.layers, *content.layers])
        merged = merge_exactly([ours, content], Coefficients({la: (torch.ones(()), torch.ones(())) for la in layers}))
        for name, lora in (("analogy", ours), ("analogy + content", merged)):
            rows.setdefault(name, []).append(inside.scores([analogy], lora)["accuracy"])
    return {name: round(sum(values) / len(values), 4) for name, values in rows.items()}


def draw_mixes(mixes: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the mean weight of each LoRA for each transformation, over layers and images; held-out types last."""
    figure = Figure(figsize=(7, 0.28 * len(mixes) + 1), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(list(mixes.values()), cmap="viridis", vmin=0, aspect="auto")
    axis.set_yticks(range(len(mixes)), list(mixes))
    axis.set_xlabel("LoRA of the basis")
    figure.colorbar(image, label="mean weight")
    return figure


def main() -> None:
    """Measure all and write the results."""
    torch.set_num_threads(1)
    config = load_config(AnswersConfig, "configs/analogies/evaluate.yaml")
    analogies = Analogies.load(config.bases[config.reference], config.base, device="cpu")
    inside = Inside(config, analogies, load_classifier(config.classifier))
    parts = (entropy_and_mixes, left_out, interpolated, exported, cost, with_content)
    found = {part.__name__: part(inside) for part in parts}
    write_json(HERE / "inside.json", found)
    draw_mixes(found["entropy_and_mixes"]["mean mix of each transformation"]).savefig(HERE / "mixes.png", dpi=110)


if __name__ == "__main__":
    main()
