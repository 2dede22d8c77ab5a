"""lorarar.storage.units: the same results, failures and files from every engine; a worker that dies loses its unit."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path

import pytest

from lorarar.storage.libraries import MissingPackage
from lorarar.storage.units.engines import run_units
from lorarar.storage.units.work import UnitResult, UnitWork, Workers
from tests.storage.units.work import FAILS, KILLS, open_broken, open_squares

UNITS = {str(number): number for number in range(8)}
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
needs_submitit = pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")


def squares(folder: Path, engine: str, workers: Workers | None = None) -> dict[str, UnitResult]:
    work = UnitWork("square", "numbers", partial(open_squares, folder))
    return {result.key: result for result in run_units(work, UNITS, engine=engine, workers=workers)}  # type: ignore[arg-type]


def check(results: dict[str, UnitResult], folder: Path) -> None:
    assert results.keys() == UNITS.keys()
    assert [key for key, result in results.items() if result.error] == [str(FAILS)]
    assert str(results[str(FAILS)].error) == "expected no three, found one"
    whole = {key: number * number for key, number in UNITS.items() if number != FAILS}
    assert {key: results[key].value for key in whole} == whole
    assert {path.stem: int(path.read_text()) for path in folder.glob("*.txt")} == whole


def test_a_unit_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "died").touch()
    check(squares(tmp_path, "local"), tmp_path)


def test_a_fault_of_the_program_is_raised() -> None:
    with pytest.raises(TypeError, match="a fault"):
        list(run_units(UnitWork("break", "numbers", open_broken), UNITS))


def test_without_units_nothing_is_opened() -> None:
    assert list(run_units(UnitWork("break", "numbers", lambda: 1 / 0), {})) == []  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_named(engine: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=rf"{package} for engine=\"{engine}\".*pip install 'lorarar\[cluster\]'"):
        squares(tmp_path, engine)


@pytest.mark.slow
@needs_ray
def test_ray_gives_the_same_and_starts_the_unit_of_a_dead_worker_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(squares(tmp_path, "ray"), tmp_path)
    assert f"{KILLS}: its worker died, attempt 2 of 4" in capsys.readouterr().err
    with pytest.raises(TypeError, match="a fault"):
        list(run_units(UnitWork("break", "numbers", open_broken), UNITS, engine="ray"))
    (tmp_path / "died").unlink()
    failed = squares(tmp_path, "ray", Workers(count=1, retries=0))
    assert "found 1 that died" in str(failed[str(KILLS)].error)
    with pytest.raises(ValueError, match="expected GPUs in the cluster for `workers.gpus`, found none"):
        squares(tmp_path, "ray", Workers(gpus=0.5))


@pytest.mark.slow
@needs_submitit
def test_an_array_gives_the_same_and_a_dead_task_is_submitted_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = Workers(address="local", logs=tmp_path / "logs")
    check(squares(tmp_path, "slurm", workers), tmp_path)
    assert "died, attempt 2 of 4" in capsys.readouterr().err
