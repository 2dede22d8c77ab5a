"""Damaged files: always an error of ours that names the file, or a good result; never anything left behind."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from pathlib import Path

import lorarar
from lorarar.api import combine
from lorarar.formats import load, save
from lorarar.writing import FormatError
from tests.formats.mutants import mutant
from tests.formats.small_files import originals

_OURS = Path(lorarar.__file__).parent
COUNT = 2000


def outcome(data: bytes, folder: Path) -> str:
    """What becomes of a file that is loaded, merged with itself and saved: "good", or where it was refused.

    Raises:
        AssertionError: The error is another library's, or does not name the file, or a file was left behind.
    """
    source, target = folder / "mutant.safetensors", folder / "out" / "merged.safetensors"
    source.write_bytes(data)
    stage, refusal = "load", None
    try:
        lora = load(source)
        stage = "merge"
        merged = combine([lora, lora], merger="direct").lora
        stage = "save"
        written = save(merged, target)
        stage = "good"
        assert load(target).layers.keys() == merged.layers.keys()
        for path in written:
            path.unlink()
    except ValueError as error:
        refusal = error
    if refusal is not None:
        _check(refusal, target.name if stage == "save" else source.name)
    assert not list(target.parent.iterdir()), f"left {list(target.parent.iterdir())}"
    return stage


def _check(refusal: ValueError, name: str) -> None:
    """Checks that an error is ours and names the file."""
    assert type(refusal) in (ValueError, FormatError), "another library's error"
    place = Path(traceback.extract_tb(refusal.__traceback__)[-1].filename)
    assert _OURS in place.parents, f"raised in {place}"
    assert name in str(refusal), f"{name} is not named"


def test_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    files, rng, outcomes = originals(), random.Random(0), Counter[str]()
    for number in range(COUNT):
        data = mutant(files, rng)
        try:
            outcomes[outcome(data, tmp_path)] += 1
        except Exception as error:
            raise AssertionError(f"mutant {number} ({len(data)} bytes, {data[:300]!r})") from error
    # Both ways are taken often: the mutants are neither all whole nor all beyond recognition.
    assert outcomes["good"] > COUNT / 20
    assert outcomes["load"] > COUNT / 2
    assert outcomes["save"] > 0
