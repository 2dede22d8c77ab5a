"""The project's files agree with each other: pyproject, constraints, Makefile, Dockerfile, citation, install page."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(each) for group in (PROJECT["dependencies"], *EXTRAS.values()) for each in group]
# What a module comes with, where that has another name, or is what our dependency itself depends on.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "fastapi": "gradio",
    "httpx2": "openai",
    "lycoris": "lycoris-lora",
    "mkdocs": "mkdocs-material",
    "packaging": "pytest",
    "sklearn": "scikit-learn",
    "starlette": "gradio",
    "tokenizers": "transformers",
    "torchmetrics": "lightning",
    "uvicorn": "gradio",
    "yaml": "pyyaml",
}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins() -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in text("constraints.txt").splitlines()]
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if line}


@pytest.mark.parametrize("requirement", [r for r in REQUIREMENTS if r.name != "lorarar"], ids=lambda r: r.name)
def test_a_dependency_has_a_minimum_and_a_pin_above_it(requirement: Requirement) -> None:
    assert {each.operator for each in requirement.specifier} - {"<"} == {">="}
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def imported(folder: str) -> set[str]:
    """The packages outside of the repository and of Python that the files of a folder import."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    scripts = {path.stem for name in (folder, "experiments") for path in (ROOT / name).rglob("*.py")}
    own = {"", "lorarar", "tests", "comfy", "folder_paths"}  # the latter two are ComfyUI, which its nodes run in
    return {name.split(".")[0] for name in names} - own - scripts - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("lorarar", ["drawings", "search", "studio", "cluster", "adam8bit"]),
        ("tests", ["test", "studio"]),
        ("docs", ["docs"]),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: list[str]) -> None:
    groups = (PROJECT["dependencies"], *(EXTRAS[name] for name in extras))
    declared = {canonicalize_name(Requirement(each).name) for group in groups for each in group}
    names = {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in imported(folder)}
    assert names - declared == set()


def test_the_oldest_python_is_the_same_everywhere() -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=")
    major, minor = oldest.split(".")
    assert f"sys.version_info < ({major}, {minor})" in text("Makefile")
    assert f"Python {oldest} or later" in text("docs/install.md")
    assert f"FROM python:{oldest}-slim" in text("Dockerfile")
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert min(versions, key=lambda version: int(version.split(".")[1])) == oldest


def test_the_license_is_given_once() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert not [line for line in PROJECT["classifiers"] if line.startswith("License")]  # PEP 639 forbids both


def test_the_citation_is_complete() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "references"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    (paper,) = citation["references"]
    assert {"type", "title", "authors", "conference", "year"} <= paper.keys()
    assert paper["doi"].endswith("2412.05148")
    assert [author["family-names"] for author in paper["authors"]] == [
        "Shenaj",
        "Bohdal",
        "Ozay",
        "Zanuttigh",
        "Michieli",
    ]


def copied() -> list[str]:
    lines = re.findall(r"^COPY (.*) \S+$", text("Dockerfile"), re.M)
    return [name for line in lines for name in line.split()]


def test_the_image_holds_what_its_installation_reads() -> None:
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    (needed,) = re.findall(r"^\$\(VENV\)/\.installed: (.*) \|", text("Makefile"), re.M)
    assert {"Makefile", "lorarar", "configs", "data", *needed.split(), PROJECT["readme"]} <= set(copied())
    kept = [line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")]
    assert sorted(kept) == sorted(copied())


def test_the_image_installs_by_make_and_runs_the_script_as_a_user() -> None:
    (target,) = re.findall(r"make (\w+)", text("Dockerfile").partition("COPY")[2].partition("USER")[0])
    assert re.search(rf"^{target}:", text("Makefile"), re.M)
    assert re.findall(r'^ENTRYPOINT \["/opt/lorarar/\.venv/bin/(\w+)"\]', text("Dockerfile"), re.M) == list(
        PROJECT["scripts"]
    )
    assert re.findall(r"^USER (\w+)$", text("Dockerfile"), re.M) == ["lorarar"]


def test_continuous_integration_runs_targets_of_the_makefile() -> None:
    targets = re.findall(r"^make ([\w-]+)$", text(".ci/run"), re.M)
    assert targets == ["lint", "docs", "test"]
    assert all(re.search(rf"^{target}:", text("Makefile"), re.M) for target in targets)


def test_the_install_page_names_every_extra() -> None:
    table = text("docs/install.md").partition("## Extras")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == sorted(EXTRAS)
