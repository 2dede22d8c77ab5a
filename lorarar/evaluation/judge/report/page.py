"""Report of a judging run: results.json, results.csv and one self-contained page.

Equal inputs give equal bytes: the files hold no dates, and everything is sorted.
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
from lorarar.evaluation.judge.report.gallery import find_disagreements
from lorarar.evaluation.judge.report.tables import score_sections
from lorarar.evaluation.judge.report.thumbnails import Thumbnails, draw_contact_sheets
from lorarar.evaluation.judge.report.trust import LIMITATIONS, agreement_table, calibration_tables, tournament_tables
from lorarar.evaluation.judge.trust.agreement import Agreement, Ratings, compare_raters, judge_ratings
from lorarar.evaluation.judge.trust.calibration import CalibrationCase
from lorarar.evaluation.judge.trust.gate import CalibrationGate, evaluate_gate
from lorarar.evaluation.report.metrics_section import read_metrics_section
from lorarar.evaluation.report.pages import render_page
from lorarar.evaluation.report.tables import ReportTable
from lorarar.storage import plain, write_csv, write_json, write_text

_JUDGE = "this judge"


@dataclass(frozen=True)
class Evidence:
    """All inputs of a report.

    Attributes:
        concepts: By axis and name.
        verdicts: By question id.
        cases: Of the calibration; empty when it was not run, which the report shows in red.
        case_verdicts: By the cases' ids.
        image_root: The items' paths are relative to it.
        reference_root: The references' paths are relative to it.
        labels: People's labels, by rater, see `lorarar.evaluation.judge.trust.agreement.read_human_labels`.
    """

    rubric: Rubric
    items: Sequence[Item]
    concepts: Mapping[tuple[Axis, str], ReferenceConcept]
    questions: Sequence[Question]
    verdicts: Mapping[str, Verdict]
    cases: Sequence[CalibrationCase]
    case_verdicts: Mapping[str, Verdict]
    backend_identity: Mapping[str, Any]
    image_root: Path
    reference_root: Path
    labels: Ratings | None = None


@dataclass(frozen=True)
class Findings:
    """All outputs of a report.

    Attributes:
        gate: None without a calibration.
        results: None with a pairwise rubric, which compares methods by tournaments.
        agreement: None without labels by people.
    """

    gate: CalibrationGate | None
    results: Results | None
    tournaments: list[Tournament]
    agreement: Agreement | None


@dataclass(frozen=True)
class _Header:
    """What was judged, and by which judge."""

    images: int
    rubric: str
    settings: ReportTable
    questions: list[tuple[Axis, str]]
    references: ReportTable


def write_report(run: Path, evidence: Evidence) -> Findings:
    """Write results.json, results.csv and report.html into a run's folder.

    Raises:
        ValueError: The questions come from several rubrics, or the methods have no pair in common.
    """
    questions = in_order(evidence.questions)
    cases = sorted(evidence.cases, key=lambda case: case.id)
    findings = _evaluate(evidence, questions, cases)
    page = _page(run, evidence, findings, questions, cases)
    write_json(run / "results.json", _json(evidence, findings), sort_keys=True)
    write_csv(run / "results.csv", _rows(findings.results.images if findings.results else []))
    write_text(run / "report.html", page)
    return findings


def _evaluate(evidence: Evidence, questions: Sequence[Question], cases: Sequence[CalibrationCase]) -> Findings:
    gate = evaluate_gate(cases, evidence.case_verdicts) if cases else None
    pairwise = evidence.rubric.answer == "pairwise"
    results = None if pairwise else aggregate_verdicts(evidence.items, questions, evidence.verdicts, gate)
    ratings = judge_ratings(results.images) if results else {}
    tournaments = hold_tournaments(evidence.items, questions, evidence.verdicts)
    agreement = compare_raters({_JUDGE: ratings}, evidence.labels) if evidence.labels else None
    return Findings(gate, results, tournaments, agreement)


def _page(
    run: Path,
    evidence: Evidence,
    findings: Findings,
    questions: Sequence[Question],
    cases: Sequence[CalibrationCase],
) -> str:
    values: dict[str, object] = {
        "header": _header(evidence),
        "gate": findings.gate,
        "scores": None,
        "tournaments": [tournament_tables(tournament) for tournament in findings.tournaments],
        "calibration": calibration_tables(findings.gate, cases, evidence.case_verdicts),
        "agreement": agreement_table(findings.agreement),
        "metrics": read_metrics_section(run, evidence.items),
        "limitations": LIMITATIONS,
    }
    if results := findings.results:
        thumbnails = Thumbnails()
        values["scores"] = score_sections(results, evidence.verdicts)
        values["disagreements"] = find_disagreements(
            results.images,
            questions,
            evidence.verdicts,
            image_root=evidence.image_root,
            reference_root=evidence.reference_root,
            thumbnails=thumbnails,
        )
        values["sheets"] = draw_contact_sheets(results.images, evidence.image_root, thumbnails)
    return render_page("report.html.jinja", "lorarar.evaluation.judge.report", **values)


def _header(evidence: Evidence) -> _Header:
    judged = {(axis, getattr(item, axis)) for item in evidence.items for axis in AXES}
    concepts = [evidence.concepts[key] for key in sorted(judged) if key in evidence.concepts]
    settings = [
        (str(key), value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str))
        for key, value in sorted(evidence.backend_identity.items())
    ]
    references = [(c.name, c.axis, c.phrase, str(len(c.images))) for c in concepts]
    return _Header(
        len(evidence.items),
        evidence.rubric.key,
        ReportTable(("setting", "value"), settings),
        [(axis, evidence.rubric.texts[axis]) for axis in AXES],
        ReportTable(("name", "axis", "phrase", "images"), references),
    )


def _json(evidence: Evidence, findings: Findings) -> dict[str, Any]:
    rubric = evidence.rubric
    data: dict[str, Any] = {
        "rubric": {"id": rubric.id, "version": rubric.version, "sha256": rubric.sha256},
        "backend": evidence.backend_identity,
        "gate": None,
        "pairwise": plain(findings.tournaments),
        "agreement": plain(findings.agreement),
    }
    if findings.gate:
        data["gate"] = {"passed": findings.gate.passed, **plain(findings.gate)}
    if findings.results:
        results = plain(findings.results)
        data["results"] = {key: value for key, value in results.items() if key != "images"}  # see results.csv
    return data


def _rows(images: Sequence[ImageScore]) -> Iterator[list[str | int | float | None]]:
    header = ["item", "path", "method", "content", "style", "seed", "prompt_type"]
    header += [f"{axis}_{name}" for axis in AXES for name in ("yes", "decided", "asked")]
    yield [*header, *IMAGE_METRICS]
    for image in images:
        item = image.item
        row: list[str | int | float | None] = [item.id, item.path, item.method, item.content, item.style, item.seed]
        row.append(item.prompt_type)
        for score in (image.axes[axis] for axis in AXES):
            row += [score.yes, score.counts.ok, score.counts.total]
        row += [metric(image).value for metric in IMAGE_METRICS.values()]
        yield row
