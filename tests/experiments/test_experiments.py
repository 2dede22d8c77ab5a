"""experiments: scripts import names that exist, commands are valid, benchmark configurations pass their checks."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from lorarar.benchmark.gate_settings import GatesConfig
from lorarar.benchmark.quality.config import QualityConfig
from lorarar.benchmark.quality.rows import read_rows
from lorarar.benchmark.quality.run import plan_quality
from lorarar.storage.config import load_config
from lorarar.workflows.schemas import TrainConfig
from tests import ROOT
from tests.docs.parsing import check_lorarar

FOLDER = ROOT / "experiments"
SCRIPTS = sorted(path.relative_to(ROOT).as_posix() for path in FOLDER.rglob("*.py"))
TEXTS = sorted(path.relative_to(ROOT).as_posix() for suffix in ("sh", "md") for path in FOLDER.rglob(f"*.{suffix}"))
BENCHMARKS = sorted(
    path.name for path in (ROOT / "configs" / "benchmark").glob("*.yaml") if not path.stem.startswith("gates")
)
# Those that need only files of the repository; the others need what their experiment makes first, or SDXL.
PLANNED = ("ablation_inputs.yaml", "ablation_optimised.yaml", "ablations.yaml", "quality.yaml")
SHELL_ENDS = ("|", "&", "||", "&&", ";", ">", ">>", "<", "|&")


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def imported_names(tree: ast.AST) -> list[tuple[str, str]]:
    """(module, name) of every import of lorarar; the name of a plain import is empty."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(alias.name, "") for alias in node.names if alias.name.split(".")[0] == "lorarar"]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lorarar":
            names += [(node.module or "", alias.name) for alias in node.names]
    return names


def missing_names(source: str) -> list[str]:
    """The imports of lorarar in a source that do not resolve."""
    missing = []
    for module, name in imported_names(ast.parse(source)):
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError:
            missing.append(module)
            continue
        if name and not hasattr(loaded, name) and importlib.util.find_spec(f"{module}.{name}") is None:
            missing.append(f"{module}.{name}")
    return missing


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_compile_and_their_imports_resolve(script: str) -> None:
    source = (ROOT / script).read_text(encoding="utf-8")
    compile(source, script, "exec")
    assert missing_names(source) == []


def test_the_check_of_imports_can_fail() -> None:
    source = (
        "from lorarar.datasets import no_such_name\nimport lorarar.no_such_room\nfrom lorarar.lora import merge_exactly"
    )
    assert missing_names(source) == ["lorarar.datasets.no_such_name", "lorarar.no_such_room"]


def commands(path: Path) -> list[list[str]]:
    """The words after `lorarar` of every command in a shell script, or in code blocks and spans of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        blocks = re.findall(r"```\w*\n(.*?)```", text, re.S)
        spans = [span.replace("\n", " ") for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
        text = "\n".join([*blocks, *spans])
    words_of_commands = []
    for line in text.replace("\\\n", " ").splitlines():
        if not re.search(r"(^|\s|/)lorarar\s", line) or line.lstrip().startswith("#"):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words = list(lexer)
        starts = [i for i, word in enumerate(words) if word == "lorarar" or word.endswith("/lorarar")]
        if starts:
            rest = words[starts[0] + 1 :]
            end = next((i for i, word in enumerate(rest) if word in SHELL_ENDS), len(rest))
            words_of_commands.append([word for word in rest[:end] if not re.fullmatch(r"\$[@\w{}]+", word)])
    return words_of_commands


def without_files(words: list[str]) -> list[str]:
    """The configurations and data of a command that do not exist; paths with a variable are not checked."""
    paths = [word.rpartition("=")[2] for word in words]
    return [
        path
        for path in paths
        if path.startswith(("configs/", "data/", "experiments/")) and "$" not in path and not Path(path).exists()
    ]


@pytest.mark.parametrize("file", TEXTS)
def test_commands_are_valid_and_their_files_exist(file: str) -> None:
    for words in commands(ROOT / file):
        if all(re.fullmatch("[a-z-]+", word) for word in words):  # a mention without arguments
            assert check_lorarar([*words, "--help"]) == ""
            continue
        known = [word for word in words if not ("=" in word and "$" in word)]
        assert check_lorarar(known) == "", words
        if "output=" not in " ".join(words):
            assert without_files(words) == []


def test_the_check_of_commands_can_fail(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(
        '.venv/bin/lorarar zoo configs/zoo/embedded.yaml "$@" | tail -1\n'
        "for x in a; do .venv/bin/lorarar \\\n  zo b; done\n"
    )
    assert commands(script) == [["zoo", "configs/zoo/embedded.yaml"], ["zo", "b"]]
    assert "found 'zo': did you mean 'zoo'" in check_lorarar(commands(script)[1])
    assert without_files(["configs/zoo/no.yaml", "base=data/no", "configs/$x.yaml"]) == [
        "configs/zoo/no.yaml",
        "data/no",
    ]
    assert sum(len(commands(ROOT / file)) for file in TEXTS) >= 15


def test_scripts_that_shell_scripts_run_exist() -> None:
    scripts = [
        path for file in TEXTS for path in re.findall(r"experiments/[\w/]+\.(?:py|sh)", (ROOT / file).read_text())
    ]
    assert len(scripts) >= 20
    assert sorted({script for script in scripts if not Path(script).is_file()}) == []


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_configurations_load_and_pass_their_checks(name: str) -> None:
    config = load_config(QualityConfig, Path("configs/benchmark") / name)
    rows = read_rows(config)
    assert [row.name for row in rows] == [row.name for row in config.methods]


@pytest.mark.parametrize("name", ["gates.yaml", "gates_art.yaml"])
def test_the_gates_configurations_load(name: str) -> None:
    assert load_config(GatesConfig, Path("configs/benchmark") / name).fit.steps == 60


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANNED)
def test_benchmarks_of_shipped_files_are_planned(name: str) -> None:
    config = load_config(QualityConfig, Path("configs/benchmark") / name)
    plan = plan_quality(config)
    pairs = yaml.safe_load(Path(config.splits).read_text(encoding="utf-8"))["splits"][config.split]["test"]
    count = len(pairs["contents"]) * len(pairs["styles"])
    assert plan.startswith(f"{len(config.methods)} rows, {count} pairs, ")


def script(path: str) -> ModuleType:
    """A script as a module; its `main` does not run."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_steps_that_make_the_artefacts_are_valid() -> None:
    make = script("experiments/artefacts/make.py")
    for _, words, card in make.STEPS:
        assert check_lorarar(list(words)) == ""
        assert Path(card).is_file()
    for words in make.MERGERS.values():
        load_config(TrainConfig, Path(words[0]), words[1:])


@pytest.mark.slow
def test_tables_are_written_from_raw_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands at the end of the speed experiments' scripts reproduce the tables that are kept."""
    for name, results in (("speedup", "results.json"), ("training_speed", "results.jsonl")):
        text = (FOLDER / name / "run.sh").read_text(encoding="utf-8")
        code = re.search(r"python -c '(.*?)'", text, re.S)
        assert code is not None
        with (FOLDER / name / results).open(encoding="utf-8") as raw:
            done = subprocess.run(
                [sys.executable, "-c", code[1]], stdin=raw, stdout=subprocess.PIPE, check=True, text=True
            )
        assert done.stdout == (FOLDER / name / "table.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", [file for file in TEXTS if file.endswith("README.md")])
def test_files_that_a_readme_names_exist(file: str) -> None:
    # An optional argument, such as [--map FILE], names a file that the user may have.
    text = re.sub(r"\[--[^\]]*\]", "", (ROOT / file).read_text(encoding="utf-8"))
    paths = re.findall(r"(?<![\w./])(?:tests|lorarar|configs|data|experiments)/[\w./-]*\w", text)
    assert [path for path in paths if not Path(path).exists()] == []


def test_kept_results_are_json() -> None:
    files = [*FOLDER.rglob("*.json")]
    assert len(files) >= 15
    for file in files:
        json.loads(file.read_text(encoding="utf-8"))
