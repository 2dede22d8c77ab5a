"""The report: safe, self-contained, complete, and the same bytes for the same inputs."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import random
import re
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
from lorarar.evaluation.judge.records import Question, Reply, Verdict
from lorarar.evaluation.judge.report import page as report_page
from lorarar.evaluation.judge.report.page import Evidence, write_report
from lorarar.evaluation.judge.report.thumbnails import Thumbnails
from lorarar.evaluation.judge.trust.calibration import CalibrationCase
from lorarar.storage import lorarar_version
from tests.evaluation.judge.synthetic import Truth, make_items, make_questions, make_truth, noisy, truthful

RUBRIC = load_rubric("mars2")
REFERENCES: dict[Axis, int] = {"content": 3, "style": 1}
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}&amp;"
VOID = {"meta", "img", "br", "input"}
OWN_SCRIPTS = [path.read_text(encoding="utf-8") for path in Path(report_page.__file__).parent.glob("templates/*.js")]


class Page(HTMLParser):
    """Everything of a page that could do harm, and its text without scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
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
        (self.scripts if self.open and self.open[-1] == "script" else self.text).append(data)

    def shown(self) -> str:
        return " ".join(" ".join(self.text).split())

    def images(self) -> list[dict[str, Any]]:
        """What the page's script shows of each image."""
        details: dict[str, Any] = json.loads(self.scripts[0])
        return list(details["images"])

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.tags if name in (attributes.get("class") or "").split()]

    def check(self) -> None:
        """Balanced; the only code is the package's own script, which the policy names; nothing is fetched."""
        assert self.open == []
        kinds = [attributes.get("type") for tag, attributes in self.tags if tag == "script"]
        assert kinds.count(None) <= 1
        assert set(kinds) <= {None, "application/json"}
        policies = [a["content"] or "" for _, a in self.tags if a.get("http-equiv") == "Content-Security-Policy"]
        if None in kinds:
            digest = base64.b64encode(hashlib.sha256(self.scripts[-1].encode()).digest()).decode()
            assert f"script-src 'sha256-{digest}'; " in policies[0]
            assert self.scripts[-1] in OWN_SCRIPTS
        for tag, attributes in self.tags:
            assert tag not in ("iframe", "object", "embed", "link", "form", "base", "use", "image")
            assert not any(name.startswith("on") or ":" in name for name in attributes)
            for name, start in (("src", "data:image/webp;base64,"), ("href", "data:application/octet-stream;base64,")):
                assert (attributes.get(name) or start).startswith(start)


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
    for title in ("Images", "Details", "Scores and tests", "Contents and styles", "Completeness and consistency",
                  "Calibration", "People", "Limitations"):  # fmt: skip
        assert title in page.text
    shown = page.shown()
    assert "The judge passed its calibration on both axes. content: yes to 100% of the right images" in shown
    assert "have no answer" not in shown
    assert "Intervals (95 %, over contents, styles and seeds) cover 9 pairs of 3 contents and 3 styles" in shown
    assert "http://" not in text
    assert "https://" not in text
    assert sum(tag == "svg" for tag, _ in page.tags) == 1
    assert len(page.of_class("tile")) == len(run.items) == len(page.images())
    first = next(a["src"] for tag, a in page.tags if tag == "img") or ""
    with Image.open(io.BytesIO(base64.b64decode(first.split(",")[1]))) as image:
        assert image.size == (24, 24)


def test_the_top_has_judge_version_tokens_and_time(run: Run) -> None:
    replies = {q.id: Reply("yes", seconds=2.0, usage={"prompt_tokens": 90, "completion_tokens": 10})
               for q in run.questions[:90]}  # fmt: skip
    shown = Page(run.write(replies=replies)).shown()
    for text in ('judge mock', f"lorarar {lorarar_version()}", RUBRIC.key, "images 36", "replies 90",
                 "tokens 9,000", "time of the calls 3 min"):  # fmt: skip
        assert text in shown
    assert "tokens not reported time of the calls not reported" in Page(run.write()).shown()


def test_a_click_shows_questions_replies_and_both_orders(run: Run) -> None:
    verdicts = truthful(run.questions, run.truth)
    first, swapped = (next(q for q in run.questions if q.swapped == order) for order in (False, True))
    verdicts[swapped.id] = Verdict(swapped.id, "ok", 1 - (verdicts[first.id].value or 0), p_yes=(0.2, 0.4))
    last = run.questions[-1]
    verdicts[last.id] = Verdict(last.id, "abstain", reason="it depends")
    questions = [replace(q, text=EVIL) for q in run.questions]
    replies = {swapped.id: Reply(EVIL * 100), last.id: Reply("Well ...")}
    page = Page(run.write(questions=questions, verdicts=verdicts, replies=replies))
    page.check()
    details = json.loads(page.scripts[0])
    assert details["texts"] == [EVIL]
    asked = next(i for i in details["images"] if i["path"] == run.items[0].path)["questions"]
    assert len(asked) == 2 * (3 + 1)
    vote = "yes" if verdicts[first.id].value else "no"
    assert asked[0] == ["content", details["references"].index("c0/0.png"), 0, "", vote, 0, "", "", ""]
    other = "no" if vote == "yes" else "yes"
    assert asked[1][3:7] == ["test image first", other, 1, "0.30"]
    assert asked[1][7] == (EVIL * 100)[:1000]
    tile = next(t for t in page.of_class("tile") if "order" in (t["class"] or ""))
    assert details["images"][int(tile["data-number"] or "")]["path"] == run.items[0].path
    asked = next(i for i in details["images"] if i["path"] == run.items[-1].path)["questions"]
    assert asked[-1][4:] == ["no answer", 0, "", "Well ...", "it depends"]


def test_the_scores_are_exported_for_latex(tmp_path: Path) -> None:
    items = [replace(i, method={"ours": "50%_&ours", "theirs": "theirs"}[i.method])
             for i in make_items(["ours", "theirs"], 3, 3, 1)]  # fmt: skip
    run = Run(tmp_path, items)
    page = Page(run.write())
    table = (tmp_path / "run/results.tex").read_text(encoding="utf-8")
    assert "\n50\\%\\_\\&ours & \\textbf{" in table
    assert table.count("\\\\\n") == 3
    links = {a["download"]: str(a["href"]) for tag, a in page.tags if tag == "a"}
    for name in ("results.csv", "results.tex"):
        assert base64.b64decode(links[name].partition("base64,")[2]) == (tmp_path / "run" / name).read_bytes()


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
    page = Page(run.write(verdicts=verdicts))
    paths = [image["path"] for image in page.images()]
    classes = {paths[int(t["data-number"] or "")]: (t["class"] or "").split()[1] for t in page.of_class("tile")}
    for item in run.items:
        right = all(run.truth[item.id, axis] for axis in AXES)
        assert classes[item.path] == ("undecided" if item.id == unanswered else "right" if right else "wrong")


def test_the_same_inputs_give_the_same_bytes(run: Run) -> None:
    run.write("one")
    order = random.Random(0)
    verdicts = dict(order.sample(sorted(run.verdicts.items()), len(run.verdicts)))
    shuffled = {name: order.sample(getattr(run, name), len(getattr(run, name))) for name in ("items", "questions")}
    run.write("two", verdicts=verdicts, **shuffled)
    for name in ("report.html", "results.json", "results.csv", "results.tex"):
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
    assert text.count("<script") == 2  # the data and the page's own
    assert "".join(page.text).count(EVIL) > 10  # shown as it is
    assert all(image["prompt"] == EVIL for image in page.images())
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
    shown = " ".join(shown.split())
    assert f"{unanswered} of {len(run.questions) + len(run.cases)} questions have no answer." in shown
    assert f"{unanswered} failed: the server said 503. What to do: the same lorarar judge run asks" in shown
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
    page = Page(run.write(verdicts=verdicts))
    paths = [image["path"] for image in page.images()]
    kinds = {paths[int(t["data-number"] or "")]: (t["class"] or "").split()[2:] for t in page.of_class("tile")}
    assert {path: names for path, names in kinds.items() if names} == {
        run.items[3].path: ["split"], run.items[5].path: ["order"],
    }  # fmt: skip
    options = page.shown()
    assert "references disagree (1) the order changes an answer (1) with unanswered questions (0)" in options


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
    assert page.of_class("tile") == []
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
    assert "images are shown" not in page.shown()
    monkeypatch.setattr(report_page, "Thumbnails", lambda side: Thumbnails(side, left=400_000))
    short = Page(run.write())
    message = re.search(r"(\d+) of 250 images are shown", short.shown())
    assert message is not None
    assert int(message[1]) == sum(tag == "img" for tag, _ in short.tags) < 250
    assert (tmp_path / "run/report.html").stat().st_size < 700_000
