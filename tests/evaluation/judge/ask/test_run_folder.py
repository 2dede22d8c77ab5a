"""lorarar.evaluation.judge.ask.run_folder: a plan is locked, and nothing that it rests on may change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lorarar.evaluation.judge.ask.rubrics.rubric import FOLDER
from lorarar.evaluation.judge.ask.run_folder import read_backend, read_setup, write_backend
from lorarar.evaluation.judge.plan import plan_run
from tests.evaluation.judge.sample import LAYOUT, planned_run, save_noise, write_images, write_references


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return planned_run(tmp_path)


def test_a_plan_comes_back(run: Path, tmp_path: Path) -> None:
    setup = read_setup(run)
    assert len(setup.items) == 16
    assert all(len(item.sha256) == 64 for item in setup.items)
    assert (setup.rubric.id, setup.swapped, setup.repeats, setup.cases) == ("mars2", False, 1, 6)
    assert list(setup.concepts()) == [("content", "cat_1"), ("content", "dog"), ("style", "ink"), ("style", "oil_2")]
    assert setup.images.resolve() == tmp_path / "images"


def test_a_whole_job_can_be_moved(run: Path, tmp_path: Path) -> None:
    before = read_setup(run)
    assert str(tmp_path) not in (run / "plan.json").read_text()
    shutil.move(tmp_path, tmp_path.with_name("moved"))
    assert read_setup(tmp_path.with_name("moved") / "run").items == before.items


def append(path: Path) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with open(folder / path, "ab") as file:
            file.write(b"\n")

    return change


def another_seed(folder: Path) -> None:
    path = folder / "run" / "manifest.jsonl"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (append(Path("images/direct/dog+ink/1.png")), r"direct/dog\+ink/1.png \(image\)"),
        (lambda folder: (folder / "images/direct/dog+ink/1.png").unlink(), r"direct/dog\+ink/1.png \(image\)"),
        (append(Path("references/ink/0.png")), r"ink/0.png \(reference\)"),
        (lambda folder: save_noise(folder / "references/ink/9.png", 0), r"ink/9.png \(reference\)"),
        (lambda folder: (folder / "references/ink/1.png").unlink(), r"ink/1.png \(reference\)"),
        (another_seed, "manifest.jsonl"),
    ],
)
def test_what_was_changed_is_named(change: Callable[[Path], None], message: str, run: Path, tmp_path: Path) -> None:
    change(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_setup(run)


def test_a_changed_rubric_is_noticed(tmp_path: Path) -> None:
    rubric = tmp_path / "own.yaml"
    shutil.copy(FOLDER / "mars2.yaml", rubric)
    run = planned_run(tmp_path, rubric=str(rubric))
    assert read_setup(run).rubric.id == "mars2"
    rubric.write_text(rubric.read_text().replace("one word", "a word"))
    with pytest.raises(ValueError, match="rubric mars2"):
        read_setup(run)


def test_references_must_be_readable(tmp_path: Path) -> None:
    references, images = write_references(tmp_path), write_images(tmp_path)
    (tmp_path / "references" / "dog" / "1.png").write_bytes(b"no")
    with pytest.raises(ValueError, match="expected readable reference images, found 1 refused, first .*dog/1"):
        plan_run(tmp_path / "run", images, references, layout=LAYOUT)
    read = yaml.safe_load(references.read_text())
    read["concepts"][1]["images"] = ["../labels.jsonl"]
    references.write_text(yaml.safe_dump(read))
    with pytest.raises(ValueError, match="expected a path below the root"):
        plan_run(tmp_path / "run", images, references, layout=LAYOUT)
    assert not (tmp_path / "run").exists()


def test_a_plan_that_was_asked_about_is_not_replaced(run: Path, tmp_path: Path) -> None:
    again = {"layout": LAYOUT, "cases": 2}
    plan_run(run, tmp_path / "images", tmp_path / "references" / "references.yaml", **again)
    assert read_setup(run).cases == 2
    (run / "log.jsonl").touch()
    before = (run / "plan.json").read_bytes()
    plan_run(run, tmp_path / "images", tmp_path / "references" / "references.yaml", **again)  # the same plan
    assert (run / "plan.json").read_bytes() == before
    for change in ({"cases": 3}, {"ignore": ["*/dog+ink/0.png"]}):
        named = "manifest" if "ignore" in change else "cases"
        with pytest.raises(ValueError, match=f"holds replies to another plan, which differs in {named}: choose"):
            plan_run(run, tmp_path / "images", tmp_path / "references" / "references.yaml", **again | change)


def test_unplanned_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a planned folder"):
        read_setup(tmp_path)


def test_who_answers_is_written_down(run: Path) -> None:
    assert read_backend(run) is None
    write_backend(run, "x", {"a": (1, 2)})
    write_backend(run, "x", {"a": (1, 2)})
    assert json.loads((run / "backend.json").read_text()) == {"name": "x", "identity": {"a": [1, 2]}}
    with pytest.raises(ValueError, match="plan another folder"):
        write_backend(run, "x", {"a": (1, 3)})
