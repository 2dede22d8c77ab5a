"""lorarar.storage.locations: package data from any folder; paths distinguished from hub ids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lorarar.storage.cards import checked
from lorarar.storage.locations import EMBEDDED, EMBEDDED_JUDGE, NETWORKS, is_hub_id, local_path, package_path
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
    with pytest.raises(FileNotFoundError, match=r"expected a file or folder at ./absent, found none: check the path"):
        local_path("./absent")


def test_an_unreachable_hub_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="expected owner/absent as a folder or on the hub, could not get it"):
        local_path("owner/absent")
