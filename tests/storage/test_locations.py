"""lorarar.storage.locations: package data from any folder; paths distinguished from hub ids."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lorarar.storage import locations
from lorarar.storage.cards import checked
from lorarar.storage.locations import (
    EMBEDDED,
    EMBEDDED_JUDGE,
    NETWORKS,
    is_hub_id,
    local_path,
    package_path,
    path_remedy,
    repository_url,
)
from tests import ROOT


def test_package_data_are_found_from_any_folder(tmp_path: Path) -> None:
    code = "from lorarar.storage import NETWORKS; print(sorted(p.name for p in NETWORKS.glob('*.safetensors')))"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (
        run.stdout.strip() == "['constant.safetensors', 'hypernetwork.safetensors', 'hypernetwork_paper.safetensors']"
    )


def test_what_is_shipped_is_what_its_card_says() -> None:
    assert checked(EMBEDDED_JUDGE) == package_path("evaluation", "judge", "embedded")
    for path in NETWORKS.glob("*.safetensors"):
        assert checked(path) == path
    assert EMBEDDED == ROOT / "data" / "embedded"


@pytest.mark.parametrize("name", ["owner/name", "gpt2", "stabilityai/stable-diffusion-xl-base-1.0"])
def test_hub_ids(name: str) -> None:
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name", ["./name", "/a/b", "~/name", "a/b/c", "x.safetensors", "owner/x.safetensors", "x.pth", Path("owner/name")]
)
def test_paths(name: str | Path) -> None:
    assert not is_hub_id(name)


def test_a_folder_of_the_owners_name_makes_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("owner/name")
    (tmp_path / "owner").mkdir()
    assert not is_hub_id("owner/name")


def test_local_paths_are_returned_and_missing_ones_named(tmp_path: Path) -> None:
    assert local_path(tmp_path) == tmp_path
    with pytest.raises(
        FileNotFoundError, match="expected a file, a folder or a hub id at ./absent, found nothing there: check"
    ):
        local_path("./absent")


def test_an_unreachable_hub_is_an_error() -> None:
    with pytest.raises(
        FileNotFoundError,
        match="expected owner/absent as a folder, on the hub .* no copy, and HF_HUB_OFFLINE is set: check",
    ):
        local_path("owner/absent")


def test_what_to_do_about_a_missing_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_remedy("data/embedded/base") == f"run the command in {ROOT}, or give the whole path"
    assert path_remedy("images/cat") == path_remedy("/images/cat") == "check the path"
    monkeypatch.setattr(locations, "package_path", lambda: tmp_path / "site-packages" / "lorarar")
    monkeypatch.setattr(locations, "repository_url", lambda: "https://host/lorarar")
    clone = "the repository has it, not the package: `git clone https://host/lorarar`, and run the command there"
    # As the shipped configurations name it, and as the embedded default is named.
    for path in ("data/embedded/base", tmp_path / "site-packages" / "data" / "embedded" / "concepts.yaml"):
        assert path_remedy(path) == clone
    (tmp_path / "imagse").mkdir()
    assert path_remedy("images") == "did you mean imagse?"


def test_the_address_of_the_repository_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert repository_url() in ("", project["urls"]["Repository"])  # "": installed before the address was declared
