"""Imports point down: the level table of the design, held against the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "lorarar"
LEVELS = (
    {"lowrank", "dense", "statistics", "threads", "writing", "settings"},
    {"lora", "families"},
    {"formats", "merging", "adaptation", "hypernetwork", "objective", "truncation", "strengths"},
    {"mergers", "shipped", "inspection", "conversion", "api", "files", "summary"},
    {"backbone", "concepts", "cards", "metrics", "judge", "pictures", "hub", "fitting"},
    {
        "draws",
        "dreambooth",
        "zoo",
        "pairs",
        "teaching",
        "optimisation",
        "pair_optimiser",
        "tracking",
        "training",
        "generation",
        "imagining",
        "runtime",
        "prompt_sets",
    },
    {"toyworld", "benchmark"},
    {"config", "runs", "quality", "demo", "cli"},
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
CORE = {"torch", "numpy", "safetensors", "lorarar", *sys.stdlib_module_names}
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def top(path: Path) -> str:
    """The name below lorarar that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Dotted names of everything imported, in functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            yield from [f"lorarar.{name.name}" for name in node.names] if module == "lorarar" else [module]


def upward(name: str, source: str) -> list[str]:
    """What a module of that name imports from a higher level."""
    parts = [dotted.split(".") for dotted in imported(source)]
    return [".".join(p) for p in parts if p[0] == "lorarar" and len(p) > 1 and LEVEL[p[1]] > LEVEL[name]]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert top(path) in LEVEL, "give the new module a level, here and in the design"
    assert upward(top(path), source) == []
    if LEVEL[top(path)] <= 3:
        assert {dotted.split(".")[0] for dotted in imported(source)} <= CORE


@pytest.mark.parametrize(
    "source",
    [
        "from lorarar.training import train_merger",
        "import lorarar.training",
        "from lorarar import training",
        "def f():\n    from lorarar.training import train_merger",
        "if TYPE_CHECKING:\n    from lorarar.training import MergerTraining",
    ],
)
def test_an_upward_import_is_caught(source: str) -> None:
    assert upward("formats", source) == ["lorarar.training"]
    assert upward("runs", source) == []
    assert upward("zoo", source) == []  # the same level


@pytest.mark.parametrize("module", ["lorarar.api", "lorarar.cli", "lorarar.statistics"])
def test_merging_starts_light(module: str) -> None:
    heavy = ("diffusers", "lightning", "transformers", "peft", "omegaconf", "wandb", "huggingface_hub", "PIL")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
