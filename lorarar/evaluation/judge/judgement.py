"""Judgement: plan, ask and report in one call, with the scores of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from lorarar.evaluation.judge.ask.reply_log import read_replies
from lorarar.evaluation.judge.ask.run_folder import LOG, Setup, read_backend, read_setup
from lorarar.evaluation.judge.by_name import AskOptions, judge_by_name
from lorarar.evaluation.judge.compare.results import Results, Score
from lorarar.evaluation.judge.plan import Planned, plan_run
from lorarar.evaluation.judge.records import Reply
from lorarar.evaluation.judge.run import Judged, reread
from lorarar.evaluation.judge.trust.labels import read_imported
from lorarar.evaluation.report.tables import show_estimate

_SHOWN = ("mars2", "content", "style", "best")


@dataclass(frozen=True, repr=False)
class Judgement:
    """Judged run with its report.

    Attributes:
        judged: Questions, verdicts and the calibration.
        results: All results, such as those by type of prompt and the comparisons; None with a pairwise rubric, which
            compares methods by tournaments on the page.
        page: The report, beside results.json, results.csv and results.tex.
    """

    judged: Judged
    results: Results | None
    page: Path

    @property
    def scores(self) -> Mapping[str, Mapping[str, Score]]:
        """Method -> metric -> score; `.estimate` has the mean, 0 to 1, and its 95 % interval as low and high.

        The metrics: "content" and "style" are the shares of images right on one axis, "mars2" on both, "best" is the
        share of pairs with a right image.
        """
        groups = self.results.groups if self.results else []
        return {scores.method: scores.scores for scores in groups[0].methods} if groups else {}

    @property
    def calibrated(self) -> bool | None:
        """Whether the judge passed its calibration; None for a rubric without one."""
        return None if self.judged.gate is None else self.judged.gate.passed

    @property
    def complete(self) -> bool:
        """Whether every question has a verdict."""
        return all(verdict.state == "ok" for verdict in self.judged.verdicts.values())

    def __repr__(self) -> str:
        lines = [self.judged.describe()]
        if self.scores:
            width = max(map(len, self.scores))
            lines.append(" " * width + "".join(f"  {metric:22}" for metric in _SHOWN).rstrip())
        for method, metrics in self.scores.items():
            cells = [f"  {show_estimate(metrics[metric].estimate):22}" for metric in _SHOWN]
            lines.append(f"{method:{width}}" + "".join(cells).rstrip())
        return "\n".join([*lines, f"report: {self.page}"])


def judge(
    images: str | Path,
    references: str | Path,
    *,
    output: str | Path,
    layout: str | None = None,
    manifest: str | Path | None = None,
    backend: str = "tiny",
    rubric: str = "mars2",
    ignore: Sequence[str] = (),
    reference_root: str | Path | None = None,
    splits: str | None = None,
    swapped: bool = False,
    repeats: int = 1,
    cases: int = 16,
    perturbations: int = 0,
    labels: str | Path | None = None,
    device: str = "auto",
    concurrency: int | None = None,
    cache: str | Path | None = None,
    budget: int | None = None,
    uncalibrated: bool = False,
) -> Judgement:
    """Score a folder of images by a multimodal model: plan, calibrate, ask and report.

    The folder `output` keeps every reply. The same call goes on where an earlier one stopped, and asks nothing twice.
    A judge that fails its calibration is not asked about the images.

    Args:
        images: Folder of the images.
        references: YAML file of the concepts and their reference images.
        output: Folder of the run.
        layout: Pattern of the images' paths, such as "{method}/{content}+{style}/{seed}.png".
        manifest: JSON Lines file that lists the images, in place of a layout.
        backend: "tiny" (the embedded judge, for the embedded world), "transformers:PATH", "openai:MODEL@URL" or a mock.
        rubric: A rubric's id or YAML file.
        ignore: Shell patterns of images to leave out, with a layout.
        reference_root: Folder of the references; None is that of the YAML file, or images/ in it.
        splits: Splits in that file whose training part must not be judged.
        swapped: Whether to ask again with the test image first.
        repeats: Number of times that each question is asked.
        cases: Calibration cases of each kind and axis.
        perturbations: Approximate number of images that are asked about again in perturbed form.
        labels: File of right answers, for the mocks.
        device: Where a model in this process computes: "cpu", "cuda", "mps", or "auto" for the best that is present.
        concurrency: Simultaneous calls to a server; None is the back end's default.
        cache: Folder of replies that several runs share.
        budget: Largest number of calls; None has no limit.
        uncalibrated: Whether to go on if the judge fails its calibration.

    Returns:
        Scores of each method with intervals, the path of the page, and all verdicts.

    Raises:
        FileNotFoundError: A folder or file is missing.
        ValueError: There is not exactly one of `layout` and `manifest`, an image, a reference or a number is wrong, or
            the folder holds replies to another plan or of another judge.
        ConnectionError: A server does not answer.

    Examples:
        >>> found = judge(  # doctest: +SKIP
        ...     "images", "concepts.yaml", layout="{method}/{content}+{style}/{seed}.png", output="runs/judge"
        ... )
        >>> found.scores["direct"]["mars2"].estimate  # doctest: +SKIP
        Estimate(mean=0.62, low=0.48, high=0.75)
    """
    if (layout is None) == (manifest is None):
        found = "neither" if layout is None else "both"
        raise ValueError(f"expected either `layout` or `manifest`, found {found}: give one of them")
    run = Path(output)
    plan_run(
        run,
        Path(images),
        Path(references),
        layout=layout,
        manifest=_path(manifest),
        ignore=ignore,
        reference_root=_path(reference_root),
        splits=splits,
        rubric=rubric,
        swapped=swapped,
        repeats=repeats,
        cases=cases,
        perturbations=perturbations,
        backend=backend,
    )
    return judge_folder(
        run,
        backend,
        labels=_path(labels),
        device=device,
        concurrency=concurrency,
        cache=_path(cache),
        budget=budget,
        uncalibrated=uncalibrated,
    )


def judge_folder(run: Path, backend: str, **options: Unpack[AskOptions]) -> Judgement:
    """Calibrate, ask and report a planned run, see `judge`.

    Args:
        run: The run folder.
        backend: As `judge` takes it.
        options: See `AskOptions`.
    """
    setup = read_setup(run)
    judged = judge_by_name(run, setup, backend, **options)
    return replace(report_run(run, setup), judged=judged)


def report_run(run: Path, setup: Setup) -> Judgement:
    """Parse the replies of a folder again and write its report: results.json, .csv, .tex and report.html."""
    from lorarar.evaluation.judge.report.page import Evidence, write_report  # here, since asking needs no templates

    judged, backend = reread(run, setup), read_backend(run)
    findings = write_report(
        run,
        Evidence(
            rubric=setup.rubric,
            items=setup.items,
            concepts=setup.concepts(),
            questions=judged.planned.main.questions,
            verdicts=judged.verdicts,
            cases=judged.planned.cases if judged.gate else (),
            case_verdicts=judged.case_verdicts,
            backend_identity=backend["identity"] if backend else {},
            image_root=setup.images,
            reference_root=setup.references.root,
            replies=_select(read_replies(run / LOG), judged.planned),
            labels=read_imported(run, setup),
        ),
    )
    return Judgement(judged, findings.results, run / "report.html")


def _select(replies: Mapping[str, Reply], planned: Planned) -> dict[str, Reply]:
    """Return the replies to the questions of a plan, without others of the same log."""
    questions = (*planned.calibration.questions, *planned.main.questions)
    return {question.id: replies[question.id] for question in questions if question.id in replies}


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
