"""Write what the runs read: the corpus of dialects, images to be judged, and configurations of a few concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from layouts import Checkout

EMBEDDED = "data/embedded"
BASE = f"{EMBEDDED}/base"
CLASSIFIER = f"{EMBEDDED}/classifier.safetensors"
NETWORK, PAPER_NETWORK, CONSTANTS = (
    f"lorarar/hypernetwork/networks/{name}.safetensors" for name in ("hypernetwork", "hypernetwork_paper", "constant")
)
CONTENT, STYLE, THIRD, FOURTH = (
    f"{EMBEDDED}/loras/test_{name}.safetensors" for name in ("content_01", "style_02", "content_03", "style_04")
)
PROMPT = "a sks fish in szn style"
SAMPLING = ("--steps", "3", "--guidance", "2.5")
# Overrides for a run of `lorarar train` that takes seconds.
FEW_STEPS = {"recipe.steps": 2, "validate_every": 2, "synthetic_pairs": 3, "split": "tiny", "splits": "splits.yaml"}
TRAINED = "configs/train/embedded.yaml"
_FAST = {**FEW_STEPS, "classifier": None}
_JOINT = {"rank": 4, "alphas": [4], "steps": 2, "images": 2, "learning_rate": 1.5e-3}
QUALITY_ROWS: tuple[Mapping[str, Any], ...] = (
    {"name": "base", "kind": "base"},
    {"name": "content alone", "kind": "content"},
    {"name": "fitted", "kind": "truth", "settings": {"steps": 2, "learning_rate": 0.05, "images": 2}},
    {"name": "joint", "kind": "joint", "settings": _JOINT},
    {"name": "direct", "kind": "merger", "source": "direct"},
    {"name": "TIES", "kind": "merger", "source": "ties", "tried": [{"density": 0.2}, {"density": 0.8}]},
    {"name": "K-LoRA", "kind": "merger", "source": "klora"},
    {"name": "ZipLoRA", "kind": "pair", "source": "ziplora", "settings": {"steps": 2}},
    {
        "name": "guided",
        "kind": "pair",
        "source": "text_guided",
        "settings": {"steps": 2, "true_descriptions": True, "init": NETWORK},
    },
    {"name": "network", "kind": "file", "source": PAPER_NETWORK},
    {"name": "trained", "kind": "trained", "source": TRAINED, "settings": _FAST},
    {"name": "another pair", "kind": "trained", "source": TRAINED, "settings": {**_FAST, "other_pair": True}},
)


def write_shared(before: Checkout, folder: Path) -> None:
    """Write what two checkouts share: the corpus of dialects, and sixteen images of two methods and four pairs.

    Raises:
        RuntimeError: A command failed.
    """
    before.link_into(folder)
    before.write_corpus(folder / "corpus")
    commands = []
    for method, content, style in product(("direct", "average"), (CONTENT, THIRD), (STYLE, FOURTH)):
        place = f"images/{method}/{Path(content).stem}+{Path(style).stem}"
        words = ("--lora", content, style, "--merger", method, "--prompt", PROMPT, "--seed", "0", "1", "-o", place)
        commands.append(("generate", "--base", BASE, *SAMPLING, *words))
    failed = [result.stderr for result in before.run(commands, folder) if result.code]
    if failed:
        raise RuntimeError(f"expected images to judge, found a command that failed: {failed[0]}")


def write_configurations(
    checkout: Checkout,
    folder: Path,
    rows: Sequence[Mapping[str, Any]] = QUALITY_ROWS,
    judge: str | None = "tiny",
) -> None:
    """Write splits.yaml, synthetic.yaml (a concept without images) and quality.yaml in the checkout's spelling.

    The split "tiny" has a single pair to validate on and nine to test on, "two" a content and a style.
    """
    tiny = {"train": _first("train", 3), "validation": _first("validation", 1), "test": _first("test", 3)}
    _write(folder / "splits.yaml", {"splits": {"tiny": tiny, "two": {"train": _first("train", 1)}}})
    prompts = ["a red cat", "a red cat in light yellow grid style"]
    concept = {"name": "red_cat", "kind": "content", "prompt": "a sks cat", "synthetic_prompts": prompts}
    _write(folder / "synthetic.yaml", checkout.spell_all({"concepts": [concept]}))
    _write(folder / "quality.yaml", checkout.spell_all(quality_config(rows, judge)))


def quality_config(rows: Sequence[Mapping[str, Any]], judge: str | None) -> dict[str, Any]:
    """A configuration of `lorarar benchmark quality` for nine pairs; the last row is compared with each other one."""
    return {
        "output": "out/results",
        "runs": "out/runs",
        "trainings": "out/trained",
        "base": BASE,
        "manifests": [f"{EMBEDDED}/concepts.yaml"],
        "images": f"{EMBEDDED}/images",
        "loras": f"{EMBEDDED}/loras",
        "splits": "splits.yaml",
        "split": "tiny",
        "classifier": CLASSIFIER,
        "judge": judge,
        "seeds": [0, 1],
        "steps": 3,
        "budget": 2,
        "methods": [dict(row) for row in rows],
        "compared": [[rows[-1]["name"], row["name"]] for row in rows[:-1]],
    }


def few_steps() -> list[str]:
    """`FEW_STEPS` as words of a command line."""
    return [f"{key}={value}" for key, value in FEW_STEPS.items()]


def _first(part: str, count: int) -> dict[str, list[str]]:
    """The first concepts of one of the embedded default's splits."""
    return {f"{kind}s": [f"{part}_{kind}_{i:02d}" for i in range(count)] for kind in ("content", "style")}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(value), sort_keys=False), encoding="utf-8")
