"""Report of a judging run: results.json, results.csv, results.tex and one self-contained page.

Equal inputs give equal bytes: the files hold no dates, and everything is sorted. The page shows the time of the calls,
as the replies have it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorarar.datasets import AXES, Axis, Item, ReferenceConcept
from lorarar.evaluation.judge.ask.rubrics.rubric import Rubric
from lorarar.evaluation.judge.compare.aggregation import aggregate_verdicts
from lorarar.evaluation.judge.compare.pairwise import Tournament, hold_tournaments
from lorarar.evaluation.judge.compare.results import Results
from lorarar.evaluation.judge.read.reasons import group_reasons
from lorarar.evaluation.judge.read.scores import ImageScore, in_order
from lorarar.evaluation.judge.records import Question, Reply, Verdict
from lorarar.evaluation.judge.report.export import image_rows, latex_table
from lorarar.evaluation.judge.report.image_grid import KINDS, ImageGrid, build_image_grid
from lorarar.evaluation.judge.report.summary import describe_trust, run_facts, summarise_results
from lorarar.evaluation.judge.report.tables import score_sections
from lorarar.evaluation.judge.report.thumbnails import Thumbnails, fitting_side
from lorarar.evaluation.judge.report.trust import LIMITATIONS, agreement_table, calibration_tables, tournament_tables
from lorarar.evaluation.judge.trust.agreement import Agreement, Ratings, compare_raters, judge_ratings
from lorarar.evaluation.judge.trust.calibration import CalibrationCase
from lorarar.evaluation.judge.trust.gate import CalibrationGate, describe_limits, evaluate_gate
from lorarar.evaluation.report.metrics_section import read_metrics_section
from lorarar.evaluation.report.pages import render_page
from lorarar.evaluation.report.tables import ReportTable
from lorarar.storage import lorarar_version, plain, write_csv, write_json, write_text

CSV, LATEX = "results.csv", "results.tex"
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
        replies: To the questions and to the calibration's, by question id.
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
    replies: Mapping[str, Reply] = field(default_factory=dict)
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


def write_report(run: Path, evidence: Evidence) -> Findings:
    """Write results.json, results.csv, results.tex and report.html into a run's folder.

    Raises:
        ValueError: The questions come from several rubrics, or the methods have no pair in common.
    """
    questions = in_order(evidence.questions)
    findings = _evaluate(evidence, questions)
    write_json(run / "results.json", _json(evidence, findings), sort_keys=True)
    write_csv(run / CSV, image_rows(findings.results.images if findings.results else []))
    if findings.results:
        write_text(run / LATEX, latex_table(findings.results))
    write_text(run / "report.html", _page(run, evidence, findings, questions))
    return findings


def _evaluate(evidence: Evidence, questions: Sequence[Question]) -> Findings:
    cases = sorted(evidence.cases, key=lambda case: case.id)
    gate = evaluate_gate(cases, evidence.case_verdicts) if cases else None
    pairwise = evidence.rubric.answer == "pairwise"
    results = None if pairwise else aggregate_verdicts(evidence.items, questions, evidence.verdicts, gate)
    ratings = judge_ratings(results.images) if results else {}
    tournaments = hold_tournaments(evidence.items, questions, evidence.verdicts)
    agreement = compare_raters({_JUDGE: ratings}, evidence.labels) if evidence.labels else None
    return Findings(gate, results, tournaments, agreement)


def _page(run: Path, evidence: Evidence, findings: Findings, questions: Sequence[Question]) -> str:
    cases = sorted(evidence.cases, key=lambda case: case.id)
    gate, results = findings.gate, findings.results
    answers = [*(evidence.verdicts.get(q.id) or Verdict(q.id, "not_run") for q in questions)]
    answers += [evidence.case_verdicts.get(case.id) or Verdict(case.id, "not_run") for case in cases]
    replies = [reply for _, reply in sorted(evidence.replies.items())]
    values: dict[str, object] = {
        "facts": run_facts(
            len(evidence.items),
            evidence.rubric.key,
            evidence.backend_identity,
            lorarar_version(),
            replies,
        ),
        "gate": gate,
        "trust": describe_trust(gate) if gate else "",
        "limits": describe_limits(cases) if gate else [],
        "reasons": group_reasons(answers),
        "asked": len(answers),
        "downloads": [(name, _data_uri(run / name)) for name in (CSV, LATEX) if results],
        "summary": summarise_results(results) if results else None,
        "scores": score_sections(results) if results else None,
        "grid": _grid(evidence, results.images, questions) if results else None,
        "kinds": KINDS,
        "tournaments": [tournament_tables(tournament) for tournament in findings.tournaments],
        "calibration": calibration_tables(gate, cases, evidence.case_verdicts),
        "agreement": agreement_table(findings.agreement),
        "metrics": read_metrics_section(run, evidence.items),
        "settings": ReportTable(("setting", "value"), _settings(evidence.backend_identity)),
        "questions": [(axis, evidence.rubric.texts[axis]) for axis in AXES],
        "references": _references(evidence),
        "limitations": LIMITATIONS,
    }
    return render_page("report.html.jinja", "lorarar.evaluation.judge.report", script="report.js", **values)


def _references(evidence: Evidence) -> ReportTable:
    judged = {(axis, getattr(item, axis)) for item in evidence.items for axis in AXES}
    concepts = [evidence.concepts[key] for key in sorted(judged) if key in evidence.concepts]
    rows = [(c.name, c.axis, c.phrase, str(len(c.images))) for c in concepts]
    return ReportTable(("name", "axis", "phrase", "images"), rows)


def _grid(evidence: Evidence, images: Sequence[ImageScore], questions: Sequence[Question]) -> ImageGrid:
    references = {question.reference for question in questions}
    return build_image_grid(
        images,
        questions,
        evidence.verdicts,
        evidence.replies,
        image_root=evidence.image_root,
        reference_root=evidence.reference_root,
        thumbnails=Thumbnails(fitting_side(len(images) + len(references))),
    )


def _settings(identity: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (str(key), value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str))
        for key, value in sorted(identity.items())
    ]


def _data_uri(path: Path) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


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
