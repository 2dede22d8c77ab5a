"""Score rules that balance two LoRAs, on validation pairs.

python experiments/auto/candidates.py ZOO CANDIDATE...     (ZOO: as_trained, mixed or wild)

A candidate is LEVEL:EXPONENT:CONTENT:STYLE, such as layer:1:0.75:0.75, or with further numbers by which the layers of
self-attention, of cross-attention, of to_q, to_k, to_v and to_out are multiplied. The level (lora, block or layer) is
the part in which lengths (Frobenius norms) are compared; each part is multiplied by (geometric mean / its length) **
exponent, then by the constant of its kind. Other levels compare layers by their largest singular value (spectral) or
the sum of these (nuclear), whole LoRAs by their layers' lengths over those of the base's weights (relative), or bring
layers to the content's length (content), the style's (style), or to the geometric mean of the kind's training LoRAs as
they were trained (usual).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch

from lorarar.benchmark.quality.cells import run_cells
from lorarar.benchmark.quality.config import QualityConfig, RowConfig
from lorarar.benchmark.quality.inputs import QualityInputs, load_inputs
from lorarar.benchmark.quality.methods import MeasuredMerge, RowMethod, draw_merged
from lorarar.datasets import Pair, seed_of
from lorarar.formats import BaseWeights, load
from lorarar.lora import (
    Coefficients,
    LoRA,
    block,
    delta_norm,
    factorise,
    input_weights,
    merge_exactly,
    thin_svd,
    weight_loras,
)
from lorarar.storage import write_json

HERE = Path(__file__).parent
DATA = Path("data/embedded")
MIXED = (0.25, 0.5, 1.0, 2.0, 4.0)  # as in experiments/ablations/make.py
LEVELS: dict[str, Callable[[str], str]] = {"lora": lambda layer: "", "block": block, "layer": lambda layer: layer}
KINDS = ("attn1", "attn2", "to_q", "to_k", "to_v", "to_out")
Lengths = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("zoo")
    parser.add_argument("candidates", nargs="+")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pairs", default="validation")
    given = parser.parse_args()
    torch.set_num_threads(1)
    inputs = load_zoo(given.zoo, given.pairs, given.seeds)
    for candidate in given.candidates:
        score(inputs, given.zoo, candidate, given.pairs)


def load_zoo(zoo: str, pairs: str, seeds: int) -> QualityInputs:
    """Load the base, the classifier and the LoRAs of a zoo: as_trained, mixed (alphas multiplied by name) or wild."""
    own = DATA.with_name("wild") if zoo == "wild" else DATA
    config = QualityConfig(
        output=Path("runs/auto/results"),
        runs=Path("runs/auto"),
        base=str(DATA / "base"),
        manifests=(own / "concepts.yaml",),
        images=DATA / "images",
        splits=own / "concepts.yaml",
        split="wild" if zoo == "wild" else "embedded",
        loras=own / "loras",
        methods=[RowConfig("direct", "merger", "direct")],
        pairs=pairs,
        pairs_every=4 if zoo == "wild" else 1,
        seeds=tuple(range(seeds)),
        classifier=DATA / "classifier.safetensors",
    )
    inputs = load_inputs(config)
    if zoo != "mixed":
        return inputs
    loras = {name: scaled(lora, MIXED[seed_of("scale", name) % len(MIXED)]) for name, lora in inputs.loras.items()}
    return replace(inputs, loras=loras)


def scaled(lora: LoRA, factor: float) -> LoRA:
    return weight_loras([lora], input_weights([lora], [factor]))[0]


def score(inputs: QualityInputs, zoo: str, candidate: str, split: str) -> None:
    """Print the mean scores of a candidate and add them to the raw results."""
    level, *numbers = candidate.split(":")
    exponent, content, style, *attention = map(float, numbers)
    kinds = dict(zip(KINDS, attention, strict=False))
    factors_of = partial(FACTORS[level], inputs) if level in FACTORS else partial(compared, level)
    rule = partial(balanced, factors_of, exponent, (content, style), kinds)

    def merge(pairs: Sequence[Pair]) -> list[MeasuredMerge]:
        return [MeasuredMerge(merge_exactly(loras, rule(loras))) for loras in map(inputs.pair_loras, pairs)]

    method = RowMethod({"kind": "auto candidate", "zoo": zoo, "rule": candidate}, merge, partial(draw_merged, inputs))
    cells = run_cells(inputs, method, inputs.pairs(), inputs.config.seeds, folder=None)
    means = {
        metric: sum(sum(cell.scores[metric]) / len(cell.scores[metric]) for cell in cells) / len(cells)
        for metric in ("content", "style", "strict")
    }
    means["joint"] = sum(
        sum(c * s for c, s in zip(cell.scores["content"], cell.scores["style"], strict=True)) / len(inputs.config.seeds)
        for cell in cells
    ) / len(cells)
    shown = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    print(f"{zoo:12} {candidate:24} {shown}", flush=True)
    file = HERE / "candidates.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    key = f"{zoo} {split} {len(inputs.config.seeds)} seeds"
    known.setdefault(key, {})[candidate] = {name: round(value, 4) for name, value in means.items()}
    write_json(file, known, indent=1)


def balanced(
    factors_of: Callable[[Sequence[LoRA]], Mapping[str, Sequence[float]]],
    exponent: float,
    constants: Sequence[float],
    kinds: Mapping[str, float],
    loras: Sequence[LoRA],
) -> Coefficients:
    """Return one number for each layer and LoRA."""
    coefficients = {}
    for layer, factors in factors_of(loras).items():
        kind = math.prod(number for name, number in kinds.items() if f".{name}." in f"{layer}.")
        numbers = [factor**exponent * constant * kind for factor, constant in zip(factors, constants, strict=True)]
        coefficients[layer] = tuple(map(torch.tensor, numbers))
    return Coefficients(coefficients)


def compared(level: str, loras: Sequence[LoRA]) -> dict[str, list[float]]:
    """Return for each layer and LoRA what brings the length of its part to the geometric mean of all."""
    lengths = [lengths_of(lora) for lora in loras]
    factors = {name: factors_by_part([by_part(part, each) for each in lengths]) for name, part in LEVELS.items()}
    layers = factors["layer"]
    if level == "profile":  # the layers' shares alone: the lengths of the LoRAs as wholes stay apart
        return {layer: [a / b for a, b in zip(row, factors["lora"][""], strict=True)] for layer, row in layers.items()}
    return {layer: factors[level][LEVELS[level](layer)] for layer in layers}


def by_singular_values(which: int, inputs: QualityInputs, loras: Sequence[LoRA]) -> dict[str, list[float]]:
    """Compare layers by their largest singular value (0) or by the sum of all (1)."""
    lengths: list[Lengths] = []
    for lora in loras:
        values = {la: thin_svd(factorise(d))[1] for la, d in lora.layers.items() if len(d.shape) == 2}
        lengths.append({layer: float((s.max(), s.sum())[which]) for layer, s in values.items()})
    return _with_all_layers(factors_by_part(lengths), loras)


def relative_to_base(inputs: QualityInputs, loras: Sequence[LoRA]) -> dict[str, list[float]]:
    """Compare whole LoRAs, each layer's length divided by that of the base's weights."""
    denoiser = inputs.backbone.denoiser
    lengths = [
        {la: x / float(denoiser.get_submodule(la).weight.norm()) for la, x in lengths_of(lora).items() if x > 0}
        for lora in loras
    ]
    (factors,) = factors_by_part([by_part(LEVELS["lora"], each) for each in lengths]).values()
    return {layer: factors for lora in loras for layer in lora.layers}


def towards(target: int, inputs: QualityInputs, loras: Sequence[LoRA]) -> dict[str, list[float]]:
    """Bring each layer to the length that LoRA `target` has there, where both have it."""
    lengths = [lengths_of(lora) for lora in loras]
    factors = {}
    for layer in dict.fromkeys(layer for each in lengths for layer in each):
        held = [each.get(layer, 0.0) for each in lengths]
        factors[layer] = [held[target] / length for length in held] if all(held) else [1.0] * len(held)
    return factors


def towards_usual(inputs: QualityInputs, loras: Sequence[LoRA]) -> dict[str, list[float]]:
    """Bring each layer that both LoRAs have to its kind's usual length, the geometric mean of the training LoRAs."""
    lengths = [lengths_of(lora) for lora in loras]
    usual = usual_lengths(inputs.config.loras, str(inputs.config.base))
    factors = {}
    for layer in dict.fromkeys(layer for each in lengths for layer in each):
        held = [each.get(layer, 0.0) for each in lengths]
        known = all(held) and all(layer in kind for kind in usual)
        factors[layer] = [kind[layer] / x for kind, x in zip(usual, held, strict=True)] if known else [1.0] * len(held)
    return factors


@cache
def usual_lengths(folder: Path, base: str) -> tuple[Lengths, ...]:
    """Return the geometric mean of each layer's length over the training LoRAs of each kind, content and style."""
    found: list[Lengths] = []
    weights = BaseWeights(base)
    for kind in ("content", "style"):
        logs: dict[str, list[float]] = {}
        for file in sorted(folder.glob(f"train_{kind}_*.safetensors")):
            for layer, length in lengths_of(load(file, weights)).items():
                if length > 0:
                    logs.setdefault(layer, []).append(math.log(length))
        found.append({layer: math.exp(sum(each) / len(each)) for layer, each in logs.items()})
    return tuple(found)


def factors_by_part(lengths: Sequence[Lengths]) -> dict[str, list[float]]:
    """Return for each part and LoRA what brings its length to the geometric mean of all."""
    factors = {}
    for name in dict.fromkeys(name for length in lengths for name in length):
        held = [length[name] for length in lengths if length.get(name, 0) > 0]
        mean = math.exp(sum(map(math.log, held)) / len(held)) if held else 1.0
        factors[name] = [mean / length[name] if length.get(name, 0) > 0 else 1.0 for length in lengths]
    return factors


def lengths_of(lora: LoRA) -> Lengths:
    """Return the Frobenius norm of each layer."""
    return {layer: delta_norm(delta) for layer, delta in lora.layers.items()}


def by_part(part: Callable[[str], str], lengths: Lengths) -> Lengths:
    """Return the length of each part of a LoRA."""
    squares: Lengths = {}
    for layer, length in lengths.items():
        squares[part(layer)] = squares.get(part(layer), 0.0) + length**2
    return {name: square**0.5 for name, square in squares.items()}


def _with_all_layers(factors: Mapping[str, list[float]], loras: Sequence[LoRA]) -> dict[str, list[float]]:
    return {layer: factors.get(layer, [1.0] * len(loras)) for lora in loras for layer in lora.layers}


FACTORS = {
    "spectral": partial(by_singular_values, 0),
    "nuclear": partial(by_singular_values, 1),
    "relative": relative_to_base,
    "content": partial(towards, 0),
    "style": partial(towards, 1),
    "usual": towards_usual,
}


if __name__ == "__main__":
    main()
