"""Damaged files: the result is correct, or our error names the file, and no file is left behind."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import lorarar
from lorarar.formats.conversion import convert_file
from lorarar.formats.inspection.comparison import compare_files
from lorarar.formats.inspection.report import inspect
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.mergers.combination import combine
from lorarar.mergers.files import merge_files
from lorarar.mergers.report import describe_merge
from lorarar.mergers.request import FileMerge, MergeRequest
from lorarar.storage.atomic import FormatError
from tests.formats.corpus import shrink_transformers
from tests.formats.mutants import mutant
from tests.formats.small_files import originals

_OURS = Path(lorarar.__file__).parent
COUNT = 2000


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_transformers(monkeypatch)


def outcome(data: bytes, folder: Path) -> str:
    """Load a file, merge it with itself and save the result; return "good" or the stage of the error.

    Raises:
        AssertionError: The error comes from another library or does not name the file, or a file is left behind.
    """
    source, target = folder / "mutant.safetensors", folder / "out" / "merged.safetensors"
    source.write_bytes(data)
    stage, refusal = "load", None
    try:
        lora = load(source)
        stage = "merge"
        merged = combine([lora, lora], MergeRequest(merger="direct")).lora
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
    """Check that the error is ours and names the file."""
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
    # Both outcomes are frequent: the mutants are neither all intact nor all unreadable.
    assert outcomes["good"] > COUNT / 20
    assert outcomes["load"] > COUNT / 2
    assert outcomes["save"] > 0


def commands(one: Path, other: Path, target: Path) -> list[Callable[[], object]]:
    """Return the commands on files that `outcome` does not cover."""
    return [
        lambda: inspect(one).text(),
        lambda: compare_files(one, other).text(),
        lambda: convert_file(one, target, rank=1).text(),
        lambda: convert_file(one, target.with_suffix(""), format="peft", dtype="bf16").text(),
        lambda: describe_merge(merge_files(FileMerge([one, other], target, MergeRequest(merger="ties", energy=0.9)))),
        lambda: describe_merge(
            merge_files(FileMerge([one, other], target, save_coefficients=target.with_name("m.safetensors")))
        ),
    ]


def test_damaged_files_in_every_command(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    one, other, target = (tmp_path / f"{name}.safetensors" for name in ("one", "other", "out/merged"))
    files, rng, done = originals(), random.Random(1), Counter[bool]()
    for number in range(COUNT // 20):
        one.write_bytes(mutant(files, rng))
        other.write_bytes(rng.choice((one.read_bytes(), rng.choice(files).encode())))
        for index, command in enumerate(commands(one, other, target)):
            refusal = refusal_of(command)
            done[refusal is None] += 1
            if refusal is None:
                for path in sorted(target.parent.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
                continue
            assert not list(target.parent.iterdir()), (number, index)
            try:
                _check(refusal, ".safetensors")
            except AssertionError as error:
                raise AssertionError(f"mutant {number}, command {index}: {refusal}") from error
    assert min(done.values()) > COUNT / 20


def refusal_of(command: Callable[[], object]) -> ValueError | None:
    try:
        command()
    except ValueError as error:
        return error
    return None
