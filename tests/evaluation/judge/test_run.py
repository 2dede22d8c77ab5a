"""lorarar.evaluation.judge.run: from a planned folder to verdicts, whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.datasets.manifest import write_manifest
from lorarar.evaluation.judge.ask.backends.mocks import NoisyMock, TruthMock, read_right_answers
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.by_name import judge_by_name
from lorarar.evaluation.judge.judgement import report_run
from lorarar.evaluation.judge.plan import case_labels, plan_all, plan_run
from lorarar.evaluation.judge.records import Backend, Question, Reply
from lorarar.evaluation.judge.run import Judged, reread, run_judge
from lorarar.storage.locations import EMBEDDED
from tests.datasets.test_images import HOSTILE, HOSTILE_PATHS, hostile
from tests.evaluation.judge.sample import LAYOUT, planned_run, save_noise


class Spy:
    """A back end that counts, and may change replies."""

    concurrency, batch = 2, 4

    def __init__(self, backend: Backend, change: dict[str, Reply] | None = None) -> None:
        self.backend, self.change = backend, change or {}
        self.identity = backend.identity
        self.items: list[str] = []

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        self.items += [question.item for question in questions]
        replies = self.backend.ask(questions)
        return [self.change.get(q.item, reply) for q, reply in zip(questions, replies, strict=True)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return planned_run(tmp_path)


def truth(run: Path) -> TruthMock:
    return TruthMock(case_labels(run, read_setup(run)) | read_right_answers(run.parent / "labels.jsonl"))


def yes_sayer(run: Path) -> NoisyMock:
    return NoisyMock(truth(run).labels, sensitivity=1.0, specificity=0.0)


def judged(run: Path, backend: Backend, **more: object) -> Judged:
    return run_judge(run, read_setup(run), backend, "test", **more)


def files(run: Path) -> dict[str, bytes]:
    names = ("verdicts.jsonl", "calibration.json", "results.json", "results.csv", "report.html", "manifest.jsonl")
    return {name: (run / name).read_bytes() for name in names}


@pytest.mark.parametrize("rubric", ["mars2", "mars2_color", "mars2_nameless", "scale", "flags", "pairwise"])
def test_the_truth_comes_out_as_it_went_in(rubric: str, tmp_path: Path) -> None:
    run = planned_run(tmp_path, rubric=rubric)
    labels = dict(truth(run).labels)
    if rubric == "pairwise":
        ids = {q.item for q in reread_questions(run)}
        labels |= {(pair, axis): 1 for pair in ids for axis in ("content", "style")}
    result = judged(run, TruthMock(labels))
    assert result.status() == "complete"
    for question in result.planned.main.questions:
        expected = labels[question.item, question.axis]
        assert result.verdicts[question.id].value == (
            1 - expected if rubric == "pairwise" and question.swapped else expected
        )
    assert (result.gate is None) == (rubric == "pairwise")
    assert result.gate is None or result.gate.passed


def reread_questions(run: Path) -> list[Question]:
    return list(plan_all(run, read_setup(run), {}).main.questions)


def test_a_judge_that_fails_its_calibration_is_not_asked_on(run: Path) -> None:
    spy = Spy(yes_sayer(run))
    result = judged(run, spy)
    assert result.gate is not None
    assert not result.gate.passed
    assert result.status() == "uncalibrated"
    assert all(item.startswith("calibration/") for item in spy.items)
    assert {verdict.state for verdict in result.verdicts.values()} == {"not_run"}
    assert "calibration: FAILED" in result.describe()
    result = judged(run, spy, uncalibrated=True)
    assert (result.status(uncalibrated=True), result.status()) == ("complete", "uncalibrated")
    assert sum(not item.startswith("calibration/") for item in spy.items) == 64


def test_calibration_alone(run: Path) -> None:
    spy = Spy(truth(run))
    result = judged(run, spy, calibrate_only=True)
    assert (result.status(calibrate_only=True), result.status()) == ("complete", "incomplete")
    asked = len(spy.items)
    assert judged(run, spy).status() == "complete"
    assert len(spy.items) == asked + 64  # the calibration is not asked again


def test_the_budget_covers_the_calibration(run: Path) -> None:
    spy = Spy(truth(run))
    first = judged(run, spy, budget=10)
    assert (len(spy.items), first.status()) == (10, "budget")
    assert "calibration: incomplete" in first.describe()
    assert "FAILED" not in first.describe()
    total = len(first.planned.calibration.questions) + 64
    states = []
    while len(states) < 50 and (not states or states[-1] != "complete"):
        states.append(judged(run, spy, budget=30).status())
    assert set(states[:-1]) == {"budget"}
    assert len(spy.items) <= total


def plan_one_of_each(folder: Path, photos: int, **more: int) -> str:
    """Plan the example of the guide and of the tutorial: one cat, of which there are photos, in one style's image."""
    for n in range(photos):
        save_noise(folder / "concepts" / "cat" / f"{n}.png", n, (24, 16))
    save_noise(folder / "concepts" / "ink" / "0.png", 9, (24, 16))
    save_noise(folder / "images" / "direct" / "cat+ink" / "0.png", 10, (24, 16))
    (folder / "concepts" / "concepts.yaml").write_text(
        "concepts:\n- {name: cat, kind: content, phrase: cat}\n- {name: ink, kind: style, phrase: ink drawing}\n"
    )
    return plan_run(
        folder / "run", folder / "images", folder / "concepts" / "concepts.yaml",
        layout="{method}/{content}+{style}/{seed}.png", **more,
    )  # fmt: skip


@pytest.mark.parametrize("photos", [1, 5])
def test_one_image_of_a_style_suffices_for_a_perfect_judge(photos: int, tmp_path: Path) -> None:
    text = plan_one_of_each(tmp_path, photos)
    assert "calibration: a judge that is always right passes it" in text
    assert "the sensitivity for style rests on" in text
    assert ("the sensitivity for content rests on" in text) == (photos == 1)
    assert "add a second style" in text
    result = judge_by_name(tmp_path / "run", read_setup(tmp_path / "run"), "mock:truth", calibrate_only=True)
    assert result.status(calibrate_only=True) == "complete"
    assert result.gate is not None
    assert result.gate.axes["style"].rests_on_easy
    assert "the sensitivity for style rests on" in result.describe()
    cases = json.loads((tmp_path / "run" / "calibration.json").read_text())
    assert sum(case["easy"] for case in cases if case["axis"] == "style") >= 6


@pytest.mark.parametrize("cases", [8, 16])  # the tutorial's and the README's
def test_a_perfect_judge_passes_the_calibration_of_the_embedded_world(cases: int, tmp_path: Path) -> None:
    for name in ("test_content_00+test_style_00", "test_content_01+test_style_03"):
        save_noise(tmp_path / "images" / "direct" / name / "0.png", cases, (32, 32))
    plan_run(tmp_path / "run", tmp_path / "images", EMBEDDED / "concepts.yaml", layout=LAYOUT, cases=cases)
    result = judge_by_name(tmp_path / "run", read_setup(tmp_path / "run"), "mock:truth", calibrate_only=True)
    assert result.status(calibrate_only=True) == "complete"


def test_a_calibration_that_nobody_can_pass_is_refused_before_the_calls(tmp_path: Path) -> None:
    text = plan_one_of_each(tmp_path, 1, cases=1)
    assert "calibration: no judge can pass it: plan with more cases" in text
    assert "calibration: content: sensitivity cannot be calibrated: 2 of 2 cases" in text
    run = tmp_path / "run"
    spy = Spy(TruthMock(case_labels(run, read_setup(run))))
    for calibrate_only in (False, True):
        with pytest.raises(ValueError, match="expected a calibration that a judge can pass.*more `cases`"):
            judged(run, spy, calibrate_only=calibrate_only)
    assert not spy.items
    assert judged(run, spy, uncalibrated=True).status() == "uncalibrated"


def test_a_plan_names_the_back_end_of_its_estimate(run: Path) -> None:
    setup = read_setup(run)
    folder, references = setup.images, setup.references.root / "references.yaml"

    def plan(**more: str) -> str:
        return plan_run(run, folder, references, layout=LAYOUT, cases=6, **more)

    assert "tokens are those of the back end tiny." in plan()
    assert "back end openai:m@https://x/v1?max_tokens=8192. A reply has 8192" in plan(
        backend="openai:m@https://x/v1?max_tokens=8192"
    )
    judge_by_name(run, setup, "mock:truth", labels=run.parent / "labels.jsonl")
    assert "tokens are those of the back end mock:truth." in plan()


def test_a_server_that_dies_in_the_calibration_leaves_it_incomplete(run: Path) -> None:
    cases = plan_all(run, read_setup(run), {}).cases
    change = {case.id: Reply(failure="no response") for case in cases[8:]}
    result = judged(run, Spy(truth(run), change))
    assert result.outcome is not None
    assert result.outcome.stopped.startswith("16 failures in a row")
    assert result.status() == "incomplete"
    assert "calibration: incomplete" in result.describe()
    assert judged(run, truth(run)).status() == "complete"


def test_undecided_questions_make_it_incomplete(run: Path) -> None:
    items = [item.id for item in read_setup(run).items]
    change = {items[0]: Reply("Maybe", "stop"), items[1]: Reply(failure="HTTP 500")}
    result = judged(run, Spy(truth(run), change))
    states = [result.verdicts[q.id].state for q in result.planned.main.questions]
    assert result.status() == "incomplete"
    assert (states.count("abstain"), states.count("error"), states.count("ok")) == (4, 4, 56)
    assert "4 abstain, 4 error, 56 ok" in result.describe()
    again = Spy(truth(run))
    assert judged(run, again).status() == "incomplete"  # the abstentions stand
    assert set(again.items) == {items[1]}


def test_hostile_images_and_paths_are_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    run = planned_run(tmp_path)
    setup = read_setup(run)
    files = [setup.images / item.path for item in setup.items]
    bad = [item.id for item in setup.items[: len(HOSTILE) + 1]]
    contents = hostile(tmp_path)
    for path, kind in zip(files, HOSTILE, strict=False):
        path.write_bytes(contents[kind])
    files[len(HOSTILE)].unlink()
    files[len(HOSTILE)].symlink_to(tmp_path / "labels.jsonl")
    paths = [replace(setup.items[-1], id=path, path=path, seed=9 + n) for n, path in enumerate(HOSTILE_PATHS)]
    write_manifest(tmp_path / "mine.jsonl", [*setup.items, *paths])
    bad += HOSTILE_PATHS
    references = tmp_path / "references" / "references.yaml"
    text = plan_run(run, setup.images, references, manifest=tmp_path / "mine.jsonl", cases=6)
    assert text.count("cannot be asked: ") == len(bad)
    spy = Spy(truth(run))
    result = judged(run, spy)
    assert not {*bad} & {*spy.items}
    for question in result.planned.main.questions:
        verdict = result.verdicts[question.id]
        assert verdict.state == ("invalid_input" if question.item in bad else "ok")
        assert verdict.reason or verdict.state == "ok"
    assert {q.item for q in result.planned.main.questions} > {*bad}
    assert result.status() == "incomplete"
    report = report_run(run, read_setup(run)).page.read_text()
    assert "root:x:" not in report  # of /etc/passwd


def test_a_resumed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole, broken = planned_run(tmp_path / "a"), planned_run(tmp_path / "b")
    for run, budgets in ((whole, [None]), (broken, [7, 150, 20, None])):
        for budget in budgets:
            judged(run, replace(yes_sayer(run), specificity=0.9), budget=budget, uncalibrated=True)
            with open(run / "log.jsonl", "ab") as log:
                log.write(b'{"question": "torn')
        report_run(run, read_setup(run))
    assert files(whole) == files(broken)


def test_rescoring_asks_nobody_and_gives_the_same(run: Path) -> None:
    judged(run, truth(run))
    before = (run / "verdicts.jsonl").read_bytes()
    (run / "verdicts.jsonl").unlink()
    log = (run / "log.jsonl").read_bytes()
    assert reread(run, read_setup(run)).status() == "complete"
    assert (run / "verdicts.jsonl").read_bytes() == before
    assert (run / "log.jsonl").read_bytes() == log


def test_a_run_can_be_replayed(tmp_path: Path) -> None:
    first, second = planned_run(tmp_path / "a"), planned_run(tmp_path / "b")
    judged(first, replace(yes_sayer(first), specificity=0.95))
    result = judge_by_name(second, read_setup(second), f"mock:replay:{first}")
    assert result.status() == reread(first, read_setup(first)).status()
    assert (second / "verdicts.jsonl").read_bytes() == (first / "verdicts.jsonl").read_bytes()


def test_one_folder_has_one_judge(run: Path) -> None:
    judged(run, truth(run))
    with pytest.raises(ValueError, match="expected the judge that answered .* plan another folder"):
        judged(run, yes_sayer(run))


def test_the_report_needs_replies(run: Path) -> None:
    with pytest.raises(ValueError, match="found none: run `lorarar judge run` first"):
        report_run(run, read_setup(run))


def test_the_calibration_is_written_down(run: Path) -> None:
    result = judged(run, truth(run))
    entries = json.loads((run / "calibration.json").read_text())
    assert [entry["id"] for entry in entries] == [case.id for case in result.planned.cases]
    assert all(entry["value"] == entry["label"] for entry in entries)
    assert str(run.parent) not in (run / "calibration.json").read_text()


def test_a_run_shares_its_cache(tmp_path: Path) -> None:
    first, second = planned_run(tmp_path / "a"), planned_run(tmp_path / "b")
    judged(first, truth(first), cache=tmp_path / "cache")
    spy = Spy(truth(second))
    result = judged(second, spy, cache=tmp_path / "cache")
    assert spy.items == []
    assert result.status() == "complete"
    assert result.outcome is not None
    assert result.outcome.cached == len({q.id for q in result.planned.calibration.questions}) + 64


def test_a_changed_file_stops_everything(run: Path) -> None:
    judged(run, truth(run))
    save_noise(read_setup(run).images / "direct" / "cat_1+ink" / "0.png", 99)
    with pytest.raises(ValueError, match=r"found 1 changed, first \['direct/cat_1\+ink/0.png \(image\)'\]"):
        read_setup(run)
