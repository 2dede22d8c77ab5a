"""Cost of wrong words: text-guided merges of validation pairs with true words, the describer's, and wrong ones.

    python experiments/describe/wrong.py [N]

Merges start from our network's coefficients and from auto's. Every N-th pair is taken, 2 if not given.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from lorarar.benchmark.embedded import load_embedded
from lorarar.datasets import Pair
from lorarar.diffusion import synthesise_pairs
from lorarar.hypernetwork import load_network
from lorarar.lora import merge_exactly
from lorarar.mergers import default_coefficients
from lorarar.mergers.optimised import TEXT_GUIDED
from lorarar.storage import NETWORKS, write_json
from lorarar.training import Predictor, optimise
from lorarar.worlds.toy import ATTRIBUTES, Style, Subject, style_of, subject_of

FOLDER = Path(__file__).parent
WRONG = {"true words": (), "style, one attribute wrong": ("style",), "content, one attribute wrong": ("content",)}
DESCRIBED = "described"


def main() -> None:
    embedded = load_embedded(["validation"])
    starts: dict[str, Predictor] = {
        "our network": load_network(NETWORKS / "hypernetwork.safetensors").module,
        "auto": default_coefficients,
    }
    scorer = embedded.scorer("validation", (0,))
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    chosen = [pair for i, pair in enumerate(scorer.pairs) if (i // 8 + i) % every == 0]  # along the diagonals
    words = json.loads((FOLDER / "words.json").read_text())["validation"]["words"]
    scorer = replace(scorer, pairs=chosen)
    method = TEXT_GUIDED.configured({"steps": 10, "learning_rate": 0.1})
    results = {start: {"no words": scorer.scored(scorer.merged(init)).means()} for start, init in starts.items()}
    for name, axes in {DESCRIBED: (), **WRONG}.items():
        random = np.random.default_rng(0)
        pairs = [put(pair, words) if name == DESCRIBED else describe(pair, axes, random) for pair in chosen]
        synthetic = synthesise_pairs(embedded.backbone, pairs)
        for start, init in starts.items():
            found = optimise(
                embedded.backbone, pairs, embedded.loras, method, group=16, init=init, synthetic=synthetic, held_out=1
            )
            inputs = [(embedded.loras[p.content.name], embedded.loras[p.style.name]) for p in pairs]
            merged = [merge_exactly(loras, result.coefficients) for loras, result in zip(inputs, found, strict=True)]
            results[start][name] = scorer.scored(merged).means()
            write_json(FOLDER / "wrong.json", {"pairs": len(chosen), "seeds": [0], "rows": results})
            print(start, name, {key: round(value, 4) for key, value in results[start][name].items()}, flush=True)


def put(pair: Pair, words: dict[str, str]) -> Pair:
    """Return a pair with the describer's words."""
    content = replace(pair.content, description=words[pair.content.name])
    return Pair(content, replace(pair.style, description=words[pair.style.name]))


def describe(pair: Pair, axes: tuple[str, ...], random: np.random.Generator) -> Pair:
    """Return a pair with its true descriptions, but for one attribute of each of `axes`."""
    subject, style = subject_of(pair.content.name), style_of(pair.style.name)
    changed = [spoil(m, random) if axis in axes else m for m, axis in ((subject, "content"), (style, "style"))]
    content = replace(pair.content, description=f"a {changed[0].words()}")
    return Pair(content, replace(pair.style, description=f"{changed[1].words()} style"))


def spoil(member: Subject | Style, random: np.random.Generator) -> Subject | Style:
    """Return a subject or a style with one attribute changed."""
    name = fields(member)[int(random.integers(4))].name
    value = (getattr(member, name) + int(random.integers(1, ATTRIBUTES[name]))) % ATTRIBUTES[name]
    return replace(member, **{name: value})


if __name__ == "__main__":
    main()
