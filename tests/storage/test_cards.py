"""lorarar.storage.cards: an artefact is what its card says, or is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lorarar.storage.cards import ArtefactError, card_path, checked, read_card, write_card


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    path = tmp_path / "base"
    (path / "unet").mkdir(parents=True)
    (path / "unet" / "weights").write_text("weights")
    (path / "index").write_text("index")
    write_card(path, what="a base", steps=3)
    return path


def test_a_card_holds_facts_and_hashes(artefact: Path) -> None:
    card = read_card(checked(artefact))
    assert (card["what"], card["steps"]) == ("a base", 3)
    assert card["sha256"] == {
        "index": hashlib.sha256(b"index").hexdigest(),
        "unet/weights": hashlib.sha256(b"weights").hexdigest(),
    }
    assert card_path(artefact) == artefact.parent / "base.card.json"
    assert card_path(Path("x/classifier.safetensors")) == Path("x/classifier.card.json")


@pytest.mark.parametrize("change", ["changed", "missing", "extra"])
def test_a_folder_that_differs_is_refused(artefact: Path, change: str) -> None:
    weights = artefact / "unet" / "weights"
    if change == "changed":
        weights.write_text("Weights")
    elif change == "missing":
        weights.unlink()
    else:
        weights = artefact / "unet" / "more"
        weights.write_text("more")
    with pytest.raises(ArtefactError, match=rf"1 files are missing, new or changed, first \['unet/{weights.name}'\]"):
        checked(artefact)


def test_a_file_that_differs_or_is_gone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    path.write_text("good")
    with pytest.raises(ArtefactError, match="expected a card at .*classifier.card.json, found none"):
        checked(path)
    write_card(path)
    assert checked(path) == path
    path.write_text("bad")
    with pytest.raises(ArtefactError, match=r"classifier.safetensors differs from its card"):
        checked(path)
    path.unlink()
    with pytest.raises(ArtefactError, match=r"first \['classifier.safetensors'\]"):
        checked(path)
