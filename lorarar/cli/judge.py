"""Judge commands: score images by a multimodal model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lorarar.worlds.toy.judge as toy_judge
from lorarar.cli.commands import Resumable, command, new_app
from lorarar.cli.configurations import add_configured
from lorarar.cli.exit_codes import OF_JUDGE
from lorarar.cli.judge_options import (
    QUESTIONS,
    Backend,
    Budget,
    Cache,
    Cases,
    Concurrency,
    Ignore,
    Images,
    Labels,
    Layout,
    Manifest,
    ReferenceFile,
    ReferenceRoot,
    RubricName,
    RunFolder,
    ShardOption,
    Splits,
    Uncalibrated,
    check_listing,
    question_option,
)
from lorarar.cli.options import (
    FLAG,
    IMAGES,
    OUTPUT,
    Address,
    Device,
    EngineName,
    WorkerCount,
    WorkerGpus,
    option,
)
from lorarar.cli.values import number, whole_number

if TYPE_CHECKING:
    from lorarar.evaluation.judge.ask import Setup

ESTIMATE = "Estimate of the cost"
_RUN = """Calibrate the judge, then ask all questions without a reply.

Example: lorarar judge run run --backend tiny
"""
_CALIBRATE = "Ask only the questions of the calibration."


def add(app: typer.Typer) -> None:
    """Add `judge` and its steps."""
    judge = new_app(help="Score images by a multimodal model, with a calibration of the model.")
    command(judge, "plan")(_plan)
    command(judge, "run", Resumable)(_asking(_RUN))
    command(judge, "calibrate", Resumable)(_asking(_CALIBRATE, calibrate_only=True))
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
    add_configured(
        judge,
        "train-describer",
        lambda: toy_judge.DescriberConfig,
        lambda config: print(toy_judge.train_describer(config)),
        "Train the embedded describer, which puts into words what images show.",
    )
    app.add_typer(judge, name="judge", rich_help_panel=IMAGES)


def _plan(
    images: Images,
    references: ReferenceFile,
    output: Annotated[Path, option("-o", "--output", value="RUN", text="Folder of the run.", panel=OUTPUT)],
    layout: Layout = None,
    manifest: Manifest = None,
    ignore: Ignore = None,
    reference_root: ReferenceRoot = None,
    splits: Splits = None,
    rubric: RubricName = "mars2",
    swapped: Annotated[
        bool, option("--swapped", value=FLAG, text="Ask again with the test image shown first.", panel=QUESTIONS)
    ] = False,
    repeats: Annotated[int, question_option("--repeats", "Number of times that each question is asked.")] = 1,
    cases: Cases = 16,
    perturbations: Annotated[
        int,
        question_option(
            "--perturbations",
            "Approximate number of images about which questions are repeated in other words, as JPEG and cropped.",
        ),
    ] = 0,
    backend: Annotated[
        str | None,
        option(
            "--backend",
            value="NAME",
            text="Back end whose tokens are estimated; it is not asked.",
            panel=ESTIMATE,
            default="the judge that answered in RUN before, else tiny",
        ),
    ] = None,
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
    reply_price_per_million: Annotated[
        float | None,
        option(
            "--reply-price-per-million",
            value="X",
            text="Price of a million tokens of replies, thoughts included.",
            panel=ESTIMATE,
            default="that of --price-per-million",
            parser=number,
        ),
    ] = None,
) -> None:
    """List, check and lock the images of a run, and estimate its cost.

    Example: lorarar judge plan images --references concepts.yaml --layout "{method}/{content}+{style}/{seed}.png" -o r
    """
    from lorarar.evaluation.judge import plan_run

    check_listing(layout, manifest)
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
        reply_price=reply_price_per_million,
    )
    print(plan)


def _asking(text: str, *, calibrate_only: bool = False) -> Callable[..., int]:
    """Return a command that asks a judge; `text` is its help."""

    def ask(
        run: RunFolder,
        backend: Backend,
        labels: Labels = None,
        device: Device = "auto",
        concurrency: Concurrency = None,
        cache: Cache = None,
        budget: Budget = None,
        uncalibrated: Uncalibrated = False,
        shard: ShardOption = None,
        engine: EngineName = "local",
        address: Address = "",
        workers: WorkerCount = 2,
        gpus: WorkerGpus = 0.0,
    ) -> int:
        from lorarar.evaluation.judge import judge_by_name
        from lorarar.evaluation.judge.ask import Shard
        from lorarar.storage.units import Workers

        result = judge_by_name(
            run,
            _setup(run),
            backend,
            calibrate_only=calibrate_only,
            labels=labels,
            device=device,
            concurrency=concurrency,
            cache=cache,
            budget=budget,
            uncalibrated=uncalibrated,
            shard=Shard(*shard) if shard else None,
            engine=engine,
            workers=Workers(count=workers, address=address, gpus=gpus),
        )
        print(result.describe())
        return OF_JUDGE[result.status(uncalibrated=uncalibrated, calibrate_only=calibrate_only)]

    ask.__doc__ = text
    return ask


def _rescore(run: RunFolder) -> int:
    """Read the stored replies again, without asking."""
    from lorarar.evaluation.judge import reread

    result = reread(run, _setup(run))
    print(result.describe())
    return OF_JUDGE[result.status()]


def _report(run: RunFolder, uncalibrated: Uncalibrated = False) -> int:
    """Write report.html, results.json, results.csv and results.tex."""
    from lorarar.evaluation.judge import report_run

    reported = report_run(run, _setup(run))
    print(reported.judged.describe())
    print(reported.page)
    return OF_JUDGE[reported.judged.status(uncalibrated=uncalibrated)]


def _rate(
    run: RunFolder,
    output: Annotated[Path, option("-o", "--output", value="DIR", text="Folder for the raters.")],
    key: Annotated[Path, option("--key", value="FILE", text="File that names the images; not for the raters.")],
    sample: Annotated[
        int | None,
        option("--sample", value="N", text="Number of images, drawn at random.", default="all", parser=whole_number),
    ] = None,
    sample_seed: Annotated[
        int, option("--sample-seed", value="N", text="Seed of the draw and of the order.", parser=whole_number)
    ] = 0,
) -> None:
    """Write a blinded page on which people rate the same images; it saves what `import-labels` reads."""
    from lorarar.evaluation.judge.trust import write_sheet

    setup = _setup(run)
    refused = write_sheet(
        output,
        key,
        setup.items,
        setup.concepts(),
        image_root=setup.images,
        reference_root=setup.references.root,
        sample=sample,
        seed=sample_seed,
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
