"""The structure of the package: imports point down, rooms are entered by their door, the core stays light."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

PACKAGE = ROOT / "lorarar"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})
CORE = ("storage", "lora", "formats", "hypernetwork", "mergers")
LIGHT = {"torch", "numpy", "safetensors", "lorarar", "lazy_loader", *sys.stdlib_module_names}
# Files of the core that need more; they are loaded only when they are asked for.
HEAVY = {
    "storage/config.py": {"omegaconf", "yaml"},
    "storage/config_check.py": {"omegaconf"},
    "storage/locations.py": {"huggingface_hub"},
    "storage/progress_bar.py": {"rich"},
    "storage/units/ray_engine.py": {"ray"},
    "storage/units/slurm_engine.py": {"submitit"},
    "hypernetwork/hub.py": {"huggingface_hub"},
}
# Modules outside cli with options of commands in their texts, and why.
FLAGS = {
    "benchmark/speed/merge.py": "starts commands",
    "benchmark/speed/once.py": "is a command, which that module starts",
    "benchmark/speed/processes.py": "starts commands",
    "hypernetwork/hub.py": "the card of a network shows how the command uses it",
    "storage/config_check.py": "a key of a configuration is given on the command line or in a file",
    "storage/old_names.py": "the table of renamed options",
    "studio/choices.py": "shows the equal command",
    "workflows/doctor/diagnosis.py": "the remedy is a command of pip",
    "workflows/doctor/packages.py": "names a script of the experiments",
    "workflows/recommendation.py": "recommends a command",
    "workflows/zoo.py": "names the next command",
}


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imported(source: str) -> Iterator[tuple[str, str]]:
    """Module and name of everything imported, in functions too; the name is "" for `import module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def through_a_window(path: Path, source: str) -> list[str]:
    """Imports that enter another room through one of its files instead of its `__init__`."""
    room = path.relative_to(PACKAGE).parts[0]
    wrong = []
    for module, name in imported(source):
        parts = module.split(".")
        other = parts[0] == "lorarar" and len(parts) > 1 and parts[1] != room
        if other and not (ROOT / Path(*parts)).is_dir():
            wrong.append(f"{module}.{name}")
    return wrong


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Hold a checkout's package against the contracts of pyproject.toml."""
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def flags_in(source: str) -> list[str]:
    """Texts with an option of the command line, docstrings aside."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
    return [str(node.value) for node in texts if re.search(r"(?:^|[\s`(\[])--[a-z]", str(node.value))]


def test_only_the_door_is_at_the_root() -> None:
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_imports_point_down() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout
    assert "2 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("formats/reading.py", "from lorarar.training import train_merger", "Imports point down"),
        ("storage/text.py", "def f():\n    from lorarar.lora import LoRA", "Imports point down"),
        (
            "evaluation/judge/records.py",
            "from lorarar.evaluation.metrics import load_encoder",
            "The judge and the metrics",
        ),
    ],
)
def test_a_forbidden_import_is_caught(tmp_path: Path, file: str, line: str, contract: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "lorarar", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with open(tmp_path / "lorarar" / file, "a", encoding="utf-8") as module:
        module.write(f"\n\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert any(text.startswith(contract) and text.endswith("BROKEN") for text in result.stdout.splitlines())


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_rooms_are_entered_by_their_door(path: Path) -> None:
    if path != PACKAGE / "__init__.py":
        assert through_a_window(path, path.read_text(encoding="utf-8")) == []


def test_a_window_is_caught() -> None:
    source = "def f():\n    from lorarar.lora.lowrank import LowRank\nfrom lorarar.lora import LoRA\n"
    assert through_a_window(PACKAGE / "formats" / "reading.py", source) == ["lorarar.lora.lowrank.LowRank"]
    assert through_a_window(PACKAGE / "lora" / "truncation.py", source) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_a_door_opens_to_all_that_it_names(folder: Path) -> None:
    name = ".".join(folder.relative_to(ROOT).parts)
    room = importlib.import_module(name)
    assert [key for key in room.__all__ if not hasattr(room, key)] == []
    files = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    assert files.isdisjoint(set(room.__all__)) or name == "lorarar", "a name would hide the file of that name"
    listed = [file for file in sorted(files - {"__init__", "__main__", "__pycache__"}) if file not in room.__doc__]
    assert listed == [], "the docstring is the map of the room: name every file"


@pytest.mark.parametrize("path", [path for path in MODULES if relative(path).split("/")[0] in CORE], ids=relative)
def test_the_core_needs_torch_numpy_and_safetensors_alone(path: Path) -> None:
    found = {module.split(".")[0] for module, _ in imported(path.read_text(encoding="utf-8"))}
    assert found <= LIGHT | HEAVY.get(relative(path), set())


@pytest.mark.parametrize("module", ["lorarar.workflows.merges", "lorarar.cli.main", "lorarar.evaluation.statistics"])
def test_merging_starts_light(module: str) -> None:
    heavy = ("diffusers", "lightning", "transformers", "peft", "omegaconf", "wandb", "huggingface_hub", "PIL")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_messages_name_arguments_of_python() -> None:
    """The command line's printer turns them into options, so that one text serves both."""
    outside = [path for path in MODULES if relative(path).split("/")[0] != "cli"]
    found = {relative(path): flags_in(path.read_text(encoding="utf-8")) for path in outside}
    assert {path: texts for path, texts in found.items() if texts and path not in FLAGS} == {}
    assert sorted(path for path in FLAGS if not found[path]) == [], "these need no exception any more"


def test_an_option_in_a_message_is_caught() -> None:
    source = '"""For --rank."""\nraise ValueError(f"{path} exists: use --force, a -- b")\n'
    assert flags_in(source) == [" exists: use --force, a -- b"]
