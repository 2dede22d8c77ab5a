"""The report of a judging run: results.json, results.csv and one page that needs nothing else.

The same inputs give the same bytes: there are no dates in it, and everything is sorted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import AXES, Axis, Item, ReferenceConcept
from lorarar.evaluation.judge.ask.rubrics.rubric import Rubric
from lorarar.evaluation.judge.compare.aggregation import aggregate_verdicts
from lorarar.evaluation.judge.compare.pairwise import Tournament, hold_tournaments
from lorarar.evaluation.judge.compare.results import Results
from lorarar.evaluation.judge.read.scores import IMAGE_METRICS, ImageScore, in_order
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.judge.report import tables, trust
from lorarar.evaluation.judge.report.gallery import disagreements
from lorarar.evaluation.judge.report.thumbnails import Thumbnails, contact_sheets
from lorarar.evaluation.judge.trust.agreement import Agreement, Ratings, compare_raters, judge_ratings
from lorarar.evaluation.judge.trust.calibration import CalibrationCase
from lorarar.evaluation.judge.trust.gate import CalibrationGate, evaluate_gate
from lorarar.evaluation.report.html import Markup, element, page
from lorarar.evaluation.report.metrics_section import metrics_section
from lorarar.evaluation.report.numbers import table
from lorarar.storage import plain, write_csv, write_json, write_text

_STYLE = Path(__file__).with_name("style.css")
_JUDGE = "this judge"


@dataclass(frozen=True)
class _Found:
    """Everything that was computed."""

    gate: CalibrationGate | None
    results: Results | None
    tournaments: list[Tournament]
    agreement: Agreement | None


def write_report(
    run: Path,
    *,
    rubric: Rubric,
    items: Sequence[Item],
    concepts: Mapping[tuple[Axis, str], ReferenceConcept],
    questions: Sequence[Question],
    verdicts: Mapping[str, Verdict],
    cases: Sequence[CalibrationCase],
    case_verdicts: Mapping[str, Verdict],
    backend_identity: Mapping[str, Any],
    image_root: Path,
    reference_root: Path,
    labels: Ratings | None = None,
) -> Path:
    """Writes results.json, results.csv and report.html into a run's folder.

    Args:
        concepts: by axis and name.
        verdicts: by question id; case_verdicts: by the cases' ids.
        cases: of the calibration; none when it was not made, which the report says in red.
        image_root, reference_root: the items' and references' paths are relative to them.
        labels: people's labels, by rater, see `lorarar.evaluation.judge.trust.agreement.read_labels`.

    Returns:
        The page.

    Raises:
        ValueError: the questions come from several rubrics, or the methods have no pair in common.
    """
    questions, cases = in_order(questions), sorted(cases, key=lambda case: case.id)
    gate = evaluate_gate(cases, case_verdicts) if cases else None
    results = None if rubric.answer == "pairwise" else aggregate_verdicts(items, questions, verdicts, gate)
    ratings = judge_ratings(results.images) if results else {}
    found = _Found(
        gate,
        results,
        hold_tournaments(items, questions, verdicts),
        compare_raters({_JUDGE: ratings}, labels) if labels else None,
    )
    header = _header(rubric, backend_identity, items, concepts)
    thumbnails = Thumbnails()
    body = [header, trust.banner(gate)]
    if results:
        gallery = disagreements(
            results.images,
            questions,
            verdicts,
            image_root=image_root,
            reference_root=reference_root,
            thumbnails=thumbnails,
        )
        body += [tables.completeness(results, verdicts), tables.score_tables(results)]
        body += [tables.heat_maps(results.groups[0]), tables.consistency(results)]
    body += [trust.tournaments(found.tournaments)] if found.tournaments else []
    body += [trust.calibration(gate, cases, case_verdicts), trust.agreement(found.agreement)]
    metrics = metrics_section(run, items)
    body += [metrics] if metrics else []
    body += [gallery, contact_sheets(results.images, image_root, thumbnails)] if results else []
    body.append(trust.limitations())
    about = {
        "rubric": {"id": rubric.id, "version": rubric.version, "sha256": rubric.sha256},
        "backend": backend_identity,
    }
    write_json(run / "results.json", _json(about, found), sort_keys=True)
    write_csv(run / "results.csv", _rows(results.images if results else []))
    write_text(run / "report.html", page("Judging report", body, _STYLE.read_text(encoding="utf-8")))
    return run / "report.html"


def _header(
    rubric: Rubric,
    identity: Mapping[str, Any],
    items: Sequence[Item],
    concepts: Mapping[tuple[Axis, str], ReferenceConcept],
) -> Markup:
    judged = {(axis, getattr(item, axis)) for item in items for axis in AXES}
    used = [concepts[key] for key in sorted(judged) if key in concepts]
    rows = [
        (str(key), value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str))
        for key, value in sorted(identity.items())
    ]
    texts = [element("p", element("strong", f"{axis}: "), rubric.texts[axis]) for axis in AXES]
    references = [(c.name, c.axis, c.phrase, str(len(c.images))) for c in used]
    return element(
        "section",
        element("h1", "Judging report"),
        element("p", f"{len(items)} images, rubric {rubric.key}."),
        element("details", element("summary", "The judge"), table(("setting", "value"), rows)),
        element("details", element("summary", "The questions"), *texts),
        element(
            "details", element("summary", "The references"), table(("name", "axis", "phrase", "images"), references)
        ),
    )


def _json(about: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    data: dict[str, Any] = {
        **about,
        "gate": None,
        "pairwise": plain(found.tournaments),
        "agreement": plain(found.agreement),
    }
    if found.gate:
        data["gate"] = {"passed": found.gate.passed, **plain(found.gate)}
    if found.results:
        data["results"] = {k: v for k, v in plain(found.results).items() if k != "images"}  # those are in results.csv
    return data


def _rows(images: Sequence[ImageScore]) -> Iterator[list[str | int | float | None]]:
    header = ["item", "path", "method", "content", "style", "seed", "prompt_type"]
    header += [f"{axis}_{name}" for axis in AXES for name in ("yes", "decided", "asked")]
    yield [*header, *IMAGE_METRICS]
    for image in images:
        item = image.item
        named: list[str | int] = [
            item.id,
            item.path,
            item.method,
            item.content,
            item.style,
            item.seed,
            item.prompt_type,
        ]
        votes = [(a.yes, a.counts.ok, a.counts.total) for a in (image.axes[axis] for axis in AXES)]
        values = [metric(image).value for metric in IMAGE_METRICS.values()]
        yield [*named, *(n for vote in votes for n in vote), *values]
