"""Score rules that balance two LoRAs, on validation pairs.

python experiments/auto/candidates.py ZOO CANDIDATE...     (ZOO: as_trained, mixed or wild)

A candidate is LEVEL:EXPONENT:CONTENT:STYLE, such as layer:1:0.75:0.75, or with two further numbers by which the layers
of self-attention and of cross-attention are multiplied. The level (lora, block or layer) is the part in
which lengths (Frobenius norms) are compared; each part is multiplied by (geometric mean / its length) ** exponent, then
by the constant of its kind.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from lorarar.benchmark.quality.cells import run_cells
from lorarar.benchmark.quality.config import QualityConfig, RowConfig
from lorarar.benchmark.quality.inputs import QualityInputs, load_inputs
from lorarar.benchmark.quality.methods import MeasuredMerge, RowMethod, draw_merged
from lorarar.datasets import Pair, seed_of
from lorarar.lora import Coefficients, LoRA, LowRank, block, input_weights, merge_exactly, norm, weight_loras
from lorarar.storage import write_json

HERE = Path(__file__).parent
DATA = Path("data/embedded")
MIXED = (0.25, 0.5, 1.0, 2.0, 4.0)  # as in experiments/ablations/make.py
LEVELS: dict[str, Callable[[str], str]] = {"lora": lambda layer: "", "block": block, "layer": lambda layer: layer}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("zoo")
    parser.add_argument("candidates", nargs="+")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pairs", default="validation")
    given = parser.parse_args()
    torch.set_num_threads(1)
    inputs = load(given.zoo, given.pairs, given.seeds)
    for candidate in given.candidates:
        score(inputs, given.zoo, candidate, given.pairs)


def load(zoo: str, pairs: str, seeds: int) -> QualityInputs:
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
    kinds = dict(zip(("attn1", "attn2"), attention, strict=False))
    rule = partial(balanced, level, exponent, (content, style), kinds)

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
    level: str, exponent: float, constants: Sequence[float], kinds: Mapping[str, float], loras: Sequence[LoRA]
) -> Coefficients:
    """Return one number for each layer and LoRA."""
    layers = dict.fromkeys(layer for lora in loras for layer in lora.layers)
    factors = {name: factors_by_part(part, loras) for name, part in LEVELS.items()}
    coefficients = {}
    for layer in layers:
        kind = next((number for name, number in kinds.items() if f".{name}." in layer), 1.0)
        if level == "profile":  # the layers' shares alone: the lengths of the LoRAs as wholes stay apart
            by_layer = [a / b for a, b in zip(factors["layer"][layer], factors["lora"][""], strict=True)]
        else:
            by_layer = factors[level][LEVELS[level](layer)]
        numbers = [factor**exponent * constant * kind for factor, constant in zip(by_layer, constants, strict=True)]
        coefficients[layer] = tuple(map(torch.tensor, numbers))
    return Coefficients(coefficients)


def factors_by_part(part: Callable[[str], str], loras: Sequence[LoRA]) -> dict[str, list[float]]:
    """Return for each part and LoRA what brings its length to the geometric mean of all."""
    lengths = [lengths_by_part(lora, part) for lora in loras]
    factors = {}
    for name in dict.fromkeys(name for length in lengths for name in length):
        held = [length[name] for length in lengths if length.get(name, 0) > 0]
        mean = math.exp(sum(map(math.log, held)) / len(held)) if held else 1.0
        factors[name] = [mean / length[name] if length.get(name, 0) > 0 else 1.0 for length in lengths]
    return factors


def lengths_by_part(lora: LoRA, part: Callable[[str], str]) -> dict[str, float]:
    """Return the Frobenius norm of each part of a LoRA."""
    squares: dict[str, float] = {}
    for layer, delta in lora.layers.items():
        length = float(norm(delta) if isinstance(delta, LowRank) else delta.delta().norm())
        squares[part(layer)] = squares.get(part(layer), 0.0) + length**2
    return {name: square**0.5 for name, square in squares.items()}


if __name__ == "__main__":
    main()
