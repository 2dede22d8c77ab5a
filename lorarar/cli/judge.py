"""Judge commands: score images by a multimodal model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lorarar.worlds.toy.judge as toy_judge
from lorarar.cli.commands import Resumable, command, new_app
from lorarar.cli.configurations import add_configured
from lorarar.cli.options import FLAG, IMAGES, OUTPUT, Device, option
from lorarar.cli.values import number, whole_number

if TYPE_CHECKING:
    from lorarar.evaluation.judge.ask import Setup

INPUTS, QUESTIONS, ESTIMATE = "Images and references", "Questions", "Estimate of the cost"
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a planned run.")]
Uncalibrated = Annotated[
    bool, option("--uncalibrated", value=FLAG, text="Go on even if the judge failed its calibration.")
]


def add(app: typer.Typer) -> None:
    """Add `judge` and its steps."""
    judge = new_app(help="Score images by a multimodal model, with a calibration of the model.")
    command(judge, "plan")(_plan)
    command(judge, "run", Resumable)(_run)
    command(judge, "calibrate", Resumable)(_calibrate)
    command(judge, "rescore")(_rescore)
    command(judge, "report")(_report)
    command(judge, "rate")(_rate)
    command(judge, "import-labels")(_import_labels)
    command(judge, "compare")(_compare)
    add_configured(
        judge,
        "train-tiny",
        lambda: toy_judge.TinyJudgeConfig,
        lambda config: print(toy_judge.train_tiny(config)),
        "Train the embedded judge.",
    )
    app.add_typer(judge, name="judge", rich_help_panel=IMAGES)


def _image(name: str, value: str, text: str, **more: Any) -> Any:
    return option(name, value=value, text=text, panel=INPUTS, **more)


def _question(name: str, text: str, value: str = "N", **more: Any) -> Any:
    return option(name, value=value, text=text, panel=QUESTIONS, parser=whole_number, **more)


def _plan(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of the images.")],
    references: Annotated[Path, _image("--references", "FILE", "YAML file of concepts and their images.")],
    output: Annotated[Path, option("-o", "--output", value="RUN", text="Folder of the run.", panel=OUTPUT)],
    layout: Annotated[
        str | None,
        _image("--layout", "PATTERN", "Pattern of the paths: {method}/{content}+{style}/{seed}.png.", default="none"),
    ] = None,
    manifest: Annotated[
        Path | None,
        _image("--manifest", "FILE", "JSON Lines file that lists the images, in place of --layout.", default="none"),
    ] = None,
    ignore: Annotated[
        list[str] | None, _image("--ignore", "GLOB", "Images to leave out; repeatable.", default="none")
    ] = None,
    reference_root: Annotated[
        Path | None,
        _image(
            "--reference-root", "DIR", "Folder of the references.", default="that of the YAML file, or images/ in it"
        ),
    ] = None,
    splits: Annotated[
        str | None,
        _image("--splits", "NAME", "Splits in that file whose training part must not be judged.", default="none"),
    ] = None,
    rubric: Annotated[
        str, option("--rubric", value="ID", text="Rubric: an id or a YAML file.", panel=QUESTIONS)
    ] = "mars2",
    swapped: Annotated[
        bool, option("--swapped", value=FLAG, text="Ask again with the test image shown first.", panel=QUESTIONS)
    ] = False,
    repeats: Annotated[int, _question("--repeats", "Number of times that each question is asked.")] = 1,
    cases: Annotated[int, _question("--cases", "Calibration cases of each kind and axis.")] = 16,
    perturbations: Annotated[
        int,
        _question(
            "--perturbations",
            "Approximate number of images about which questions are repeated in other words, as JPEG and cropped.",
        ),
    ] = 0,
    backend: Annotated[
        str, option("--backend", value="NAME", text="Back end whose image tokens are estimated.", panel=ESTIMATE)
    ] = "tiny",
    rate: Annotated[
        float, option("--rate", value="X", text="Assumed calls per second.", panel=ESTIMATE, parser=number)
    ] = 2.0,
    price_per_million: Annotated[
        float | None,
        option(
            "--price-per-million",
            value="X",
            text="Price of a million tokens.",
            panel=ESTIMATE,
            default="the cost is not estimated",
            parser=number,
        ),
    ] = None,
) -> None:
    """List, check and lock the images of a run, and estimate its cost.

    Example: lorarar judge plan images --references concepts.yaml --layout "{method}/{content}+{style}/{seed}.png" -o r
    """
    from lorarar.evaluation.judge import plan_run

    if (layout is None) == (manifest is None):
        found = "neither" if layout is None else "both"
        raise typer.BadParameter(f"expected --layout PATTERN or --manifest FILE, found {found}: give one")
    plan = plan_run(
        output,
        images,
        references,
        layout=layout,
        manifest=manifest,
        ignore=ignore or (),
        reference_root=reference_root,
        splits=splits,
        rubric=rubric,
        swapped=swapped,
        repeats=repeats,
        cases=cases,
        perturbations=perturbations,
        backend=backend,
        rate=rate,
        price=price_per_million,
    )
    print(plan)


Backend = Annotated[
    str, option("--backend", value="NAME", text="Judge: tiny, transformers:PATH, openai:MODEL@URL or a mock.")
]
Labels = Annotated[
    Path | None,
    option("--labels", value="FILE", text="Correct labels, for mock:truth and mock:noisy.", default="none"),
]
Concurrency = Annotated[
    int | None,
    option(
        "--concurrency",
        value="N",
        text="Concurrent calls to an openai server.",
        default="that of the back end",
        parser=whole_number,
    ),
]
Cache = Annotated[
    Path | None, option("--cache", value="DIR", text="Folder of replies that several runs share.", default="none")
]
Budget = Annotated[
    int | None,
    option(
        "--budget-calls",
        value="N",
        text="Number of calls after which the run stops with exit code 5.",
        default="no limit",
        parser=whole_number,
    ),
]


def _run(
    run: RunFolder,
    backend: Backend,
    labels: Labels = None,
    device: Device = "auto",
    concurrency: Concurrency = None,
    cache: Cache = None,
    budget: Budget = None,
    uncalibrated: Uncalibrated = False,
) -> int:
    """Calibrate the judge, then ask all questions without a reply.

    Example: lorarar judge run run --backend tiny
    """
    return _judge(run, backend, labels, device, concurrency, cache, budget, uncalibrated)


def _calibrate(
    run: RunFolder,
    backend: Backend,
    labels: Labels = None,
    device: Device = "auto",
    concurrency: Concurrency = None,
    cache: Cache = None,
    budget: Budget = None,
    uncalibrated: Uncalibrated = False,
) -> int:
    """Ask only the questions of the calibration."""
    return _judge(run, backend, labels, device, concurrency, cache, budget, uncalibrated, calibrate_only=True)


def _judge(
    run: Path,
    backend: str,
    labels: Path | None,
    device: str,
    concurrency: int | None,
    cache: Path | None,
    budget: int | None,
    uncalibrated: bool,
    calibrate_only: bool = False,
) -> int:
    from lorarar.evaluation.judge import judge_by_name

    result = judge_by_name(
        run,
        _setup(run),
        backend,
        labels=labels,
        device=device,
        concurrency=concurrency,
        cache=cache,
        budget=budget,
        uncalibrated=uncalibrated,
        calibrate_only=calibrate_only,
    )
    print(result.describe())
    return result.code(uncalibrated=uncalibrated, calibrate_only=calibrate_only)


def _rescore(run: RunFolder) -> int:
    """Read the stored replies again, without asking."""
    from lorarar.evaluation.judge import reread

    result = reread(run, _setup(run))
    print(result.describe())
    return result.code()


def _report(run: RunFolder, uncalibrated: Uncalibrated = False) -> int:
    """Write report.html, results.json and results.csv."""
    from lorarar.evaluation.judge import report_run

    reported = report_run(run, _setup(run))
    print(reported.judged.describe())
    print(reported.page)
    return reported.judged.code(uncalibrated=uncalibrated)


def _rate(
    run: RunFolder,
    output: Annotated[Path, option("-o", "--output", value="DIR", text="Folder for the raters.")],
    key: Annotated[Path, option("--key", value="FILE", text="File that names the images; not for the raters.")],
) -> None:
    """Write a blinded sheet on which people rate the same images."""
    from lorarar.evaluation.judge.trust import write_sheet

    setup = _setup(run)
    refused = write_sheet(
        output, key, setup.items, setup.concepts(), image_root=setup.images, reference_root=setup.references.root
    )
    for item, reason in refused.items():
        print(f"left out {item}: {reason}")
    print(output / "index.html")


def _import_labels(
    run: RunFolder,
    file: Annotated[Path, typer.Argument(metavar="LABELS", help="CSV file with the columns item, axis, label, rater.")],
    key: Annotated[Path | None, option("--key", value="FILE", text="Key of a blinded sheet.", default="none")] = None,
) -> None:
    """Add labels of people to a run; the report compares the judge with them."""
    from lorarar.evaluation.judge.trust import import_labels

    print(f"added {import_labels(run, _setup(run), file, key=key)} labels")


def _compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders about the same images.")],
) -> None:
    """Measure how far the judges of several runs agree on the same images."""
    from lorarar.evaluation.judge import compare_judges, describe_agreement

    print(describe_agreement(compare_judges(runs)))


def _setup(run: Path) -> Setup:
    from lorarar.evaluation.judge.ask import read_setup

    return read_setup(run)
