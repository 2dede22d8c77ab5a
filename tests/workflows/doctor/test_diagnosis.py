"""lorarar.workflows.doctor: what is missing is named with its purpose and a remedy; nothing secret is told."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from lorarar.storage.locations import NETWORKS
from lorarar.workflows.doctor import diagnosis, machine, packages, parts
from lorarar.workflows.doctor.diagnosis import Problem, diagnose
from lorarar.workflows.doctor.packages import Extra, Library
from tests import ROOT


@pytest.fixture
def broken_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # `import torch` raises ModuleNotFoundError


def test_this_installation_works() -> None:
    found = diagnose()
    assert found.merges
    assert found.installation == "repository"
    assert found.torch.devices[-1] == "cpu"
    assert [part.problem for part in found.parts] == [""] * len(found.parts)
    assert {part.name for part in found.parts} >= {"network hypernetwork", "embedded judge", "embedded default: base"}
    assert found.machine.disk_free > 0


def test_all_facts_are_plain_data() -> None:
    facts = json.loads(json.dumps(diagnose().to_dict()))
    assert facts["merges"] is True
    assert facts["machine"]["cores"] >= 1


@pytest.mark.usefixtures("broken_torch")
def test_torch_may_be_absent() -> None:
    found = diagnose()
    assert not found.merges
    assert found.torch.version == ""
    assert found.torch.error.startswith("ModuleNotFoundError: import of torch halted")
    first = found.problems[0]
    assert (first.purpose, first.remedy) == ("everything", "pip install --force-reinstall torch")


def test_a_package_that_is_absent_or_old_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=2.0", "safetensors >= 99.1", "no-such-package>=1", 'no-such-tool>=2; extra == "docs"']
    monkeypatch.setattr(packages, "requires", lambda name: lines)
    found = diagnose()
    assert [(library.name, library.fits) for library in found.libraries] == [
        ("numpy", True),
        ("safetensors", False),
        ("no-such-package", False),
    ]
    assert [(problem.remedy, problem.essential) for problem in found.problems] == [
        ("pip install 'safetensors>=99.1'", True),
        ("pip install 'no-such-package>=1'", False),
    ]
    assert not found.merges
    assert found.extras == (Extra("docs", "the documentation: make docs", ("no-such-tool",)),)


@pytest.mark.parametrize(
    ("version", "minimum", "fits"),
    [
        ("2.13.0+cpu", "2.7", True),
        ("2.6.9", "2.7", False),
        ("2.7", "2.7", True),
        ("3.0rc1", "3.0", True),
        ("", "", False),
        ("1.0", "", True),
    ],
)
def test_versions(version: str, minimum: str, fits: bool) -> None:
    assert Library("x", version, minimum, "").fits == fits


def test_every_declared_library_and_extra_has_a_purpose() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {text.split(">")[0] for text in project["dependencies"]}
    assert names == set(packages.PURPOSES)
    assert set(project["optional-dependencies"]) == set(packages.EXTRAS)


def test_a_changed_network_stops_the_main_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in NETWORKS.glob("constant*"):
        shutil.copy(path, tmp_path)
    with open(tmp_path / "constant.safetensors", "ab") as file:
        file.write(b"x")
    monkeypatch.setattr(parts, "NETWORKS", tmp_path)
    found = diagnose()
    assert not found.merges
    assert found.problems[0].found.startswith("network constant: ")
    assert "differs from its card" in found.problems[0].found


def test_what_only_the_repository_has_is_named_with_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "EMBEDDED", tmp_path)
    monkeypatch.setattr(diagnosis, "repository_url", lambda: "https://host/lorarar")
    found = diagnose()
    assert found.merges
    assert found.problems == (
        Problem(
            "embedded default: base: not there",
            "demo, the shipped configurations named embedded, benchmark gates and quality",
            "git clone https://host/lorarar, and run `make install` there",
        ),
    )


def test_keys_of_the_environment_are_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-value")
    monkeypatch.setenv("OPENAI_API_KEY", "secret-value")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "blob").write_bytes(bytes(1000))
    (tmp_path / "link").symlink_to(tmp_path / "blob")
    found = diagnose()
    assert "secret-value" not in json.dumps(found.to_dict())
    assert found.switches["HF_TOKEN"] == "set"
    assert found.switches["HF_HUB_OFFLINE"] == "1"
    assert (found.cache, found.cache_size) == (str(tmp_path), 1000)


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(ROOT)._replace(free=5 * 2**20)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage)
    found = diagnose()
    assert [problem.found.partition(" free")[0] for problem in found.problems] == ["5 MiB"]
