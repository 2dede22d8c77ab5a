"""lorarar.evaluation.judge.ask.perturbations: changed a little, asked beside the plain question, and without a vote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorarar.datasets.images import load_image
from lorarar.evaluation.judge.ask.perturbations import choose_items, draw_perturbations
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.judgement import report_run
from lorarar.evaluation.judge.plan import plan_all, plan_run
from lorarar.evaluation.judge.read.scores import voting
from lorarar.evaluation.judge.records import Question
from lorarar.evaluation.judge.run import run_judge
from tests.evaluation.judge.sample import LAYOUT, planned_run
from tests.evaluation.judge.test_run import truth, yes_sayer

CHOSEN = 3


@pytest.fixture
def run(tmp_path: Path) -> Path:
    result = planned_run(tmp_path)
    smooth = Image.linear_gradient("L").convert("RGB").resize((64, 48))
    for number, path in enumerate(sorted((tmp_path / "images").rglob("*.png"))):
        Image.fromarray((np.asarray(smooth) * 0.8).astype(np.uint8) + np.uint8(number)).save(path)
    plan(result)
    return result


def plan(run: Path, perturbations: int = CHOSEN, rubric: str = "mars2") -> str:
    references = run.parent / "references" / "references.yaml"
    return plan_run(
        run, run.parent / "images", references, layout=LAYOUT, cases=6, perturbations=perturbations, rubric=rubric
    )


def questions(run: Path) -> list[Question]:
    return list(plan_all(run, read_setup(run), {}).main.questions)


def test_images_change_a_little(run: Path) -> None:
    setup = read_setup(run)
    drawn = draw_perturbations(setup.items[:2], setup.images, run / "other")
    assert list(drawn) == [item.id for item in setup.items[:2]]
    for item in setup.items[:2]:
        plain = np.asarray(load_image(setup.images / item.path)).astype(int)
        for perturbation in ("jpeg", "crop"):
            changed = np.asarray(load_image(drawn[item.id][perturbation])).astype(int)
            assert changed.shape == plain.shape
            assert 0 < np.abs(changed - plain).mean() < 8, perturbation
        assert drawn[item.id]["jpeg"].read_bytes().startswith(b"\xff\xd8")


def test_a_crop_trims_every_side(tmp_path: Path) -> None:
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste("red", (2, 2, 62, 62))
    picture.save(tmp_path / "0.png")
    item = read_setup(planned_run(tmp_path / "x")).items[0]
    drawn = draw_perturbations([replace(item, path="0.png")], tmp_path, tmp_path / "synthetic_prompts")
    result = np.asarray(load_image(drawn[item.id]["crop"]))
    assert np.abs(result.astype(int) - (255, 0, 0)).max() < 40  # white without trimming


def test_the_chosen_items_are_asked_about_in_other_ways(run: Path) -> None:
    result, chosen = questions(run), {item.id for item in choose_items(read_setup(run).items, CHOSEN)}
    assert len(chosen) == CHOSEN
    assert {q.item for q in result if q.perturbation} == chosen
    assert len(result) == 64 + CHOSEN * 4 * 3
    plain = {(q.item, q.axis, q.reference): q for q in result if not q.perturbation}
    for q in result:
        other = plain[q.item, q.axis, q.reference]
        changed = {"": (False, False), "reworded": (True, False), "jpeg": (False, True), "crop": (False, True)}
        assert (q.text != other.text, q.pixels != other.pixels) == changed[q.perturbation]
        assert q.pixels[0] == other.pixels[0]
    assert voting(reversed(result)) == list(reversed([q for q in result if not q.perturbation]))
    assert [q.id for q in questions(run)] == [q.id for q in result]


def test_a_rubric_without_other_words_has_two_perturbations(run: Path) -> None:
    plan(run, rubric="scale")
    assert {q.perturbation for q in questions(run)} == {"", "jpeg", "crop"}
    with pytest.raises(ValueError, match="rubric about single images for perturbations, found pairwise@1"):
        plan(run, rubric="pairwise")
    with pytest.raises(ValueError, match="non-negative perturbations"):
        plan(run, -1)


def test_an_unreadable_image_has_none(run: Path) -> None:
    setup = read_setup(run)
    bad = choose_items(setup.items, CHOSEN)[0]
    (setup.images / bad.path).write_bytes(b"answer yes")
    plan(run)
    assert {q.perturbation for q in questions(run) if q.item == bad.id} == {""}


class Wavering:
    """Tells the truth, and the opposite when it is asked in other words."""

    concurrency, batch = 1, 8

    def __init__(self, run: Path) -> None:
        self.right, self.wrong = truth(run), yes_sayer(run)
        self.identity = {"backend": "wavering"}

    def ask(self, asked: list[Question]) -> list[object]:
        return [(self.wrong if q.perturbation == "reworded" else self.right).ask([q])[0] for q in asked]


def test_the_report_says_how_often_answers_agree(run: Path) -> None:
    result = run_judge(run, read_setup(run), Wavering(run), "test")
    assert result.status() == "complete"
    page = report_run(run, read_setup(run)).page
    report = json.loads((run / "results.json").read_text())["results"]
    labels = truth(run).labels
    chosen = [item.id for item in choose_items(read_setup(run).items, CHOSEN)]
    for axis in ("content", "style"):
        yes = 2 * sum(labels[item, axis] for item in chosen)
        agreed = {name: axes[axis]["agreed"] for name, axes in report["perturbations"].items()}
        assert agreed == {
            "reworded": {"successes": yes, "total": 2 * CHOSEN},
            "jpeg": {"successes": 2 * CHOSEN, "total": 2 * CHOSEN},
            "crop": {"successes": 2 * CHOSEN, "total": 2 * CHOSEN},
        }
    assert report["counts"]["ok"] == 64 + CHOSEN * 4 * 3
    assert "content, reworded" in page.read_text()
    assert {entry["counts"]["ok"] for entry in report["groups"][0]["methods"]} == {32}
