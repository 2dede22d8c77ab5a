"""The report: safe, self-contained, complete, and the same bytes for the same inputs."""

from __future__ import annotations

import base64
import csv
import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lorarar.datasets.records import AXES, Axis, Item, ReferenceConcept
from lorarar.evaluation.judge.ask.planning import PAIR_MARK
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.compare.aggregation import aggregate_verdicts
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.judge.report import page as report_page
from lorarar.evaluation.judge.report.page import Evidence, write_report
from lorarar.evaluation.judge.report.thumbnails import Thumbnails
from lorarar.evaluation.judge.trust.calibration import CalibrationCase
from tests.evaluation.judge.synthetic import Truth, make_items, make_questions, make_truth, noisy, truthful

RUBRIC = load_rubric("mars2")
REFERENCES: dict[Axis, int] = {"content": 3, "style": 1}
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}&amp;"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Everything of a page that could do harm, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def check(self) -> None:
        """Balanced, without scripts, and nothing is fetched."""
        assert self.open == []
        allowed = {"class", "title", "alt", "src", "style", "lang", "charset", "http-equiv", "content", "name"}
        for tag, attributes in self.tags:
            assert tag not in ("script", "iframe", "object", "embed", "link", "form", "base", "svg", "a")
            assert set(attributes) <= allowed
            assert (attributes.get("src") or "data:image/webp;base64,").startswith("data:image/webp;base64,")


def make_cases() -> tuple[list[CalibrationCase], dict[str, Verdict]]:
    cases = [
        CalibrationCase(f"calibration/{kind}/{axis}/{n}", kind, axis, label, "r.png", f"/{kind}/{n}", kind == "blank")
        for axis in AXES
        for kind, label in (("same_subject", 1), ("other_subject", 0), ("blank", 0))
        for n in range(10)
    ]
    return cases, {case.id: Verdict(case.id, "ok", float(case.label)) for case in cases}


def draw(path: Path, seed: int, side: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


class Run:
    """A run on disk, with everything that its report is made of."""

    def __init__(self, folder: Path, items: list[Item], orders: tuple[bool, ...] = (False, True)) -> None:
        self.folder, self.items = folder, items
        questions = make_questions(items, REFERENCES, orders=orders)
        self.questions = [replace(q, rubric=RUBRIC.key) for q in questions]
        self.truth: Truth = make_truth(items, {item.method: (0.7, 0.8) for item in items})
        self.verdicts = noisy(self.questions, self.truth, 0.9, 0.9)
        self.cases, self.case_verdicts = make_cases()
        for n, item in enumerate(items):
            draw(folder / "images" / item.path, n)
        self.concepts: dict[tuple[Axis, str], ReferenceConcept] = {}
        for axis in AXES:
            for name in {getattr(item, axis) for item in items}:
                files = tuple(f"{name}/{r}.png" for r in range(REFERENCES[axis]))
                self.concepts[axis, name] = ReferenceConcept(name, axis, f"phrase of {name}", files)
                for file in files:
                    draw(folder / "references" / file, len(file))

    def write(self, run: str = "run", **changes: Any) -> str:
        (self.folder / run).mkdir(exist_ok=True)
        given: dict[str, Any] = {
            "rubric": RUBRIC,
            "items": self.items,
            "concepts": self.concepts,
            "questions": self.questions,
            "verdicts": self.verdicts,
            "cases": self.cases,
            "case_verdicts": self.case_verdicts,
            "backend_identity": {"name": "mock", "parameters": {"seed": 0}},
            "image_root": self.folder / "images",
            "reference_root": self.folder / "references",
        }
        write_report(self.folder / run, Evidence(**(given | changes)))
        return (self.folder / run / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, make_items(["ours", "theirs"], 3, 3, 2))


def test_the_page_is_whole_and_self_contained(run: Run) -> None:
    text = run.write()
    page = Page(text)
    page.check()
    shown = " ".join(page.text)
    for title in ("Completeness", "Scores", "Contents and styles", "Consistency", "Calibration", "People",
                  "Disagreements", "Images", "Limitations"):  # fmt: skip
        assert title in page.text
    assert "The judge passed its calibration on both axes." in shown
    assert "All questions are decided." in shown
    assert "Intervals (95 %, over contents, styles and seeds) cover 9 pairs of 3 contents and 3 styles" in shown
    assert "http://" not in text
    assert "https://" not in text
    first = next(a["src"] for tag, a in page.tags if tag == "img") or ""
    with Image.open(io.BytesIO(base64.b64decode(first.split(",")[1]))) as image:
        assert image.size == (24, 24)


def test_what_is_shown_is_what_was_found(run: Run) -> None:
    shown = " ".join(Page(run.write(verdicts=truthful(run.questions, run.truth))).text)
    data = json.loads((run.folder / "run/results.json").read_text(encoding="utf-8"))
    for result in data["results"]["groups"][0]["methods"]:
        mine = [item for item in run.items if item.method == result["method"]]
        truth = np.mean([all(run.truth[item.id, axis] for axis in AXES) for item in mine])
        estimate = result["scores"]["mars2"]["estimate"]
        assert estimate["mean"] == pytest.approx(truth)
        assert f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]" in shown
    assert data["gate"]["passed"] is True
    assert data["rubric"]["sha256"] == RUBRIC.sha256
    assert data["backend"] == {"name": "mock", "parameters": {"seed": 0}}
    rows = list(csv.DictReader((run.folder / "run/results.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["item"]: float(row["content"]) for row in rows} == {
        item.id: float(run.truth[item.id, "content"]) for item in run.items
    }
    assert all((row["content_yes"], row["content_decided"]) in (("3", "3"), ("0", "3")) for row in rows)


def test_borders_tell_the_verdict(run: Run) -> None:
    verdicts = truthful(run.questions, run.truth)
    unanswered = run.items[0].id
    verdicts = {q: v for q, v in verdicts.items() if not q.startswith(f"{unanswered}|")}
    figures = [a for tag, a in Page(run.write(verdicts=verdicts)).tags if tag == "figure" and a.get("title", "")]
    of_items = {str(a["title"]).partition(": ")[0]: a["class"] for a in figures if ": " in str(a["title"])}
    for item in run.items:
        right = all(run.truth[item.id, axis] for axis in AXES)
        assert of_items[item.id] == ("open" if item.id == unanswered else "right" if right else "wrong")


def test_the_same_inputs_give_the_same_bytes(run: Run) -> None:
    run.write("one")
    order = random.Random(0)
    verdicts = dict(order.sample(sorted(run.verdicts.items()), len(run.verdicts)))
    shuffled = {name: order.sample(getattr(run, name), len(getattr(run, name))) for name in ("items", "questions")}
    run.write("two", verdicts=verdicts, **shuffled)
    for name in ("report.html", "results.json", "results.csv"):
        assert (run.folder / "one" / name).read_bytes() == (run.folder / "two" / name).read_bytes()


def evil_items(items: list[Item]) -> list[Item]:
    return [
        replace(i, method=EVIL, content=f"{i.content}{EVIL}", style=f"{i.style}{EVIL}", id=f"{i.id}{EVIL}", prompt=EVIL)
        for i in items
    ]


def test_nothing_hostile_becomes_markup(tmp_path: Path) -> None:
    items = make_items(["m"], 2, 2, 2)
    run = Run(tmp_path, items)
    hostile = evil_items(items)
    new = {old.id: item.id for old, item in zip(items, hostile, strict=True)}
    questions = [replace(q, item=new[q.item]) for q in run.questions]
    verdicts = dict(run.verdicts)
    for q in questions[::3]:
        verdicts[q.id] = Verdict(q.id, "abstain", reason=EVIL, details={EVIL: True})
    for q in questions[1::3]:
        verdicts[q.id] = Verdict(q.id, "ok", 1.0, details={EVIL: True})
    concepts = {
        (axis, f"{name}{EVIL}"): replace(concept, name=EVIL, phrase=EVIL)
        for (axis, name), concept in run.concepts.items()
    }
    text = run.write(
        items=hostile,
        questions=questions,
        verdicts=verdicts,
        concepts=concepts,
        rubric=replace(RUBRIC, id=EVIL, texts=dict.fromkeys(AXES, EVIL)),
        backend_identity={EVIL: EVIL, "list": [EVIL]},
        labels={EVIL: {(item.id, "content"): 1 for item in hostile}},
        cases=[replace(case, kind=EVIL) for case in run.cases],
    )
    page = Page(text)
    page.check()
    assert "<script" not in text
    assert "".join(page.text).count(EVIL) > 10  # shown as it is
    assert Page("<p onclick='x'></p>").tags != []
    with pytest.raises(AssertionError):
        Page(text.replace("<h1>", "<h1 onclick='x'>")).check()  # the check can fail


def test_formulas_are_disarmed_in_the_csv(tmp_path: Path) -> None:
    run = Run(tmp_path, [replace(i, method="=cmd()") for i in make_items(["m"], 2, 2, 1)])
    run.write()
    rows = list(csv.DictReader((tmp_path / "run/results.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["method"] for row in rows} == {"'=cmd()"}


def break_judge(run: Run) -> None:
    run.case_verdicts = {name: replace(v, value=1.0) for name, v in run.case_verdicts.items()}


def skip_calibration(run: Run) -> None:
    run.cases, run.case_verdicts = [], {}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (break_judge, "The judge failed its calibration. Do not rely on these scores."),
        (skip_calibration, "Not calibrated: nothing is known about this judge's errors."),
    ],
)
def test_a_judge_that_is_not_to_be_trusted_gets_a_red_banner(
    run: Run, change: Callable[[Run], None], text: str
) -> None:
    change(run)
    page = Page(run.write())
    assert any(text in part for part in page.text)
    assert any(a.get("class") == "banner bad" for _, a in page.tags)
    data = json.loads((run.folder / "run/results.json").read_text(encoding="utf-8"))
    assert not (data["gate"] and data["gate"]["passed"])


def test_undecided_questions_are_counted_and_explained(run: Run) -> None:
    verdicts = dict(run.verdicts)
    for q in run.questions[::4]:
        verdicts[q.id] = Verdict(q.id, "error", reason="the server said 503")
    shown = " ".join(Page(run.write(verdicts=verdicts)).text)
    unanswered = len(run.questions[::4])
    assert f"{unanswered} of {len(run.questions)} questions are undecided." in shown
    assert f"the server said 503 {unanswered}" in " ".join(shown.split())
    results = aggregate_verdicts(run.items, run.questions, verdicts)
    score = results.groups[0].methods[0].scores["mars2"]
    assert f"({score.low:.3f} to {score.high:.3f})" in shown


def test_a_report_without_any_verdict_is_written(run: Run) -> None:
    page = Page(run.write(verdicts={}, case_verdicts={}))
    page.check()
    assert "cannot be calibrated" in " ".join(page.text)


def test_refused_images_are_listed(run: Run) -> None:
    (run.folder / "images" / run.items[0].path).write_text("no image", encoding="utf-8")
    items = [run.items[0], replace(run.items[1], path="../../etc/passwd"), *run.items[2:]]
    shown = " ".join(Page(run.write(items=items)).text)
    assert "expected a PNG, JPEG or WebP image" in shown
    assert "expected a path below the root" in shown


def test_disagreements_are_shown(run: Run) -> None:
    verdicts = truthful(run.questions, run.truth)
    split, order_dependent = run.items[3].id, run.items[5].id
    for q in run.questions:
        if q.item == split and q.axis == "content" and q.reference.endswith("/0.png"):
            verdicts[q.id] = Verdict(q.id, "ok", 1 - (verdicts[q.id].value or 0))
        if q.item == order_dependent and q.swapped:
            verdicts[q.id] = Verdict(q.id, "ok", 1 - (verdicts[q.id].value or 0))
    text = run.write(verdicts=verdicts)
    part = text[text.index("References disagree: 1 images") : text.index("The order of the images changes")]
    assert split in part
    part = text[text.index("The order of the images changes the answer: 1 images") : text.index("Most undecided")]
    assert order_dependent in part
    assert "Most undecided questions: 0 images" in text


def test_people_are_compared_with_the_judge(run: Run) -> None:
    labels = {name: {(item.id, "content"): int(run.truth[item.id, "content"]) for item in run.items} for name in "ab"}
    shown = " ".join(Page(run.write(verdicts=truthful(run.questions, run.truth), labels=labels)).text)
    assert "majority of people" in shown
    assert "Krippendorff's alpha of all raters: content 1.000" in shown


def test_a_pairwise_run_has_a_report(run: Run) -> None:
    rubric = load_rubric("pairwise")
    ours, theirs = ([i for i in run.items if i.method == name] for name in ("ours", "theirs"))
    questions = [
        Question(
            f"{a.id}{swapped}", f"{a.id}{PAIR_MARK}{b.id}", "content", "r", rubric.key, (), (), "", "pairwise", swapped
        )
        for a, b in zip(ours, theirs, strict=True)
        for swapped in (False, True)
    ]
    verdicts = {q.id: Verdict(q.id, "ok", float((n % 8 < 6) != q.swapped)) for n, q in enumerate(questions)}
    page = Page(run.write(rubric=rubric, questions=questions, verdicts=verdicts))
    page.check()
    assert "Preferences" in page.text
    assert "Scores" not in page.text
    data = json.loads((run.folder / "run/results.json").read_text(encoding="utf-8"))
    duel = data["pairwise"][0]["duels"][0]
    assert duel["first_wins"] + duel["second_wins"] == 18


def test_the_page_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, make_items(["m"], 5, 5, 10), orders=(False,))
    for n, item in enumerate(run.items):
        draw(tmp_path / "images" / item.path, n, 96)  # noise hardly shrinks
    page = Page(run.write())
    page.check()
    assert (tmp_path / "run/report.html").stat().st_size < 5_000_000
    assert "images are shown" not in " ".join(page.text)
    monkeypatch.setattr(report_page, "Thumbnails", lambda: Thumbnails(left=400_000))
    short = Page(run.write())
    message = next(part for part in short.text if "of 250 images are shown." in part)
    assert 0 < int(message.split()[0]) < 250
    assert sum(tag == "img" for tag, _ in short.tags) < sum(tag == "img" for tag, _ in page.tags)
    assert (tmp_path / "run/report.html").stat().st_size < 600_000
