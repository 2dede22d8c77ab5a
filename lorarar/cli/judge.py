"""Judge commands: score images by a multimodal model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lorarar.cli.configurations import Commands, add_configured
from lorarar.cli.options import add_device

if TYPE_CHECKING:
    from lorarar.evaluation.judge.ask import Setup

_USAGE = 2
_UNREACHABLE = 3


def add(commands: Commands) -> None:
    """Add `judge` and its steps."""
    judge = commands.add_parser("judge", help="score images by a multimodal model, with a calibration of the model")
    steps = judge.add_subparsers(required=True, metavar="STEP")
    _add_plan(steps)
    _add_run(steps, "run", "calibrate the judge, then ask all questions without a reply", calibrate_only=False)
    _add_run(steps, "calibrate", "ask only the questions of the calibration", calibrate_only=True)
    _add_step(steps, "rescore", _rescore, "read the stored replies again, without asking")
    report = _add_step(steps, "report", _report, "write report.html, results.json and results.csv")
    report.add_argument(
        "--uncalibrated", action="store_true", help="exit with 0 even if the judge failed its calibration"
    )
    rate = _add_step(steps, "rate", _rate, "write a blinded sheet on which people rate the same images")
    rate.add_argument("-o", "--output", type=Path, required=True, help="folder for the raters")
    rate.add_argument("--key", type=Path, required=True, help="file that names the images; not for the raters")
    labels = _add_step(
        steps, "import-labels", _import_labels, "add labels of people to a run; the report compares the judge with them"
    )
    labels.add_argument("file", type=Path, help="CSV file with the columns item, axis, label, rater")
    labels.add_argument("--key", type=Path, help="key of a blinded sheet; default: none")
    compare = steps.add_parser("compare", help="measure how far the judges of several runs agree on the same images")
    compare.add_argument("run_folders", type=Path, nargs="+", metavar="RUN", help="run folders about the same images")
    compare.set_defaults(run=_checked(_compare))
    add_configured(steps, "train-tiny", _train_tiny, "train the embedded judge")


def _add_plan(steps: Commands) -> None:
    plan = steps.add_parser("plan", help="list, check and lock the images of a run, and estimate its cost")
    plan.add_argument("images", type=Path, help="folder of the images")
    source = plan.add_mutually_exclusive_group(required=True)
    source.add_argument("--layout", help='pattern of the paths, such as "{method}/{content}+{style}/{seed}.png"')
    source.add_argument("--manifest", type=Path, help="JSON Lines file that lists the images, in place of a layout")
    plan.add_argument(
        "--ignore", action="append", default=[], metavar="GLOB", help="images to leave out, repeatable; default: none"
    )
    plan.add_argument("--references", type=Path, required=True, help="YAML file of concepts and their images")
    plan.add_argument(
        "--reference-root", type=Path, help="folder of the references; default: that of the YAML file, or images/ in it"
    )
    plan.add_argument("--splits", help="splits in that file whose training part must not be judged; default: none")
    plan.add_argument("--rubric", default="mars2", help="rubric: an id or a YAML file")
    plan.add_argument("--swapped", action="store_true", help="ask again with the test image shown first")
    plan.add_argument("--repeats", type=int, default=1, help="number of times that each question is asked")
    plan.add_argument("--cases", type=int, default=16, help="calibration cases of each kind and axis")
    perturbations = (
        "approximate number of images about which questions are repeated in other words, with the image as JPEG, and "
        "with the image slightly cropped"
    )
    plan.add_argument("--perturbations", type=int, default=0, metavar="COUNT", help=perturbations)
    plan.add_argument("--backend", default="tiny", help="back end whose image tokens are estimated")
    plan.add_argument("--rate", type=float, default=2.0, help="assumed calls per second")
    plan.add_argument(
        "--price-per-million", type=float, help="price of a million tokens; default: the cost is not estimated"
    )
    plan.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    plan.set_defaults(run=_checked(_plan))


def _add_run(steps: Commands, name: str, text: str, *, calibrate_only: bool) -> None:
    run = _add_step(steps, name, _run, text)
    run.add_argument("--backend", required=True, help="judge: tiny, transformers:PATH, openai:MODEL@URL or a mock")
    run.add_argument("--labels", type=Path, help="correct labels, for mock:truth and mock:noisy; default: none")
    add_device(run)
    run.add_argument(
        "--concurrency", type=int, help="concurrent calls to an openai server; default: that of the back end"
    )
    run.add_argument("--cache", type=Path, help="folder of replies that several runs share; default: none")
    run.add_argument(
        "--budget-calls", type=int, help="number of calls after which the run stops with exit code 5; default: no limit"
    )
    run.add_argument("--uncalibrated", action="store_true", help="continue even if the judge failed its calibration")
    run.set_defaults(calibrate_only=calibrate_only)


def _add_step(
    steps: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    step: argparse.ArgumentParser = steps.add_parser(name, help=text)
    step.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a planned run")
    step.set_defaults(run=_checked(run))
    return step


def _checked(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Return the command with exit codes of its own: 2 for a user's mistake, 3 for a server that does not answer."""

    def checked(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except (ValueError, OSError) as error:
            print(f"lorarar: {error}", file=sys.stderr)
            return _UNREACHABLE if isinstance(error, ConnectionError) else _USAGE

    return checked


def _plan(arguments: argparse.Namespace) -> int:
    from lorarar.evaluation.judge import plan_run

    print(
        plan_run(
            arguments.output,
            arguments.images,
            arguments.references,
            layout=arguments.layout,
            manifest=arguments.manifest,
            ignore=arguments.ignore,
            reference_root=arguments.reference_root,
            splits=arguments.splits,
            rubric=arguments.rubric,
            swapped=arguments.swapped,
            repeats=arguments.repeats,
            cases=arguments.cases,
            perturbations=arguments.perturbations,
            backend=arguments.backend,
            rate=arguments.rate,
            price=arguments.price_per_million,
        )
    )
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from lorarar.evaluation.judge import judge_by_name

    result = judge_by_name(
        arguments.run_folder,
        _setup(arguments),
        arguments.backend,
        labels=arguments.labels,
        device=arguments.device,
        concurrency=arguments.concurrency,
        cache=arguments.cache,
        budget=arguments.budget_calls,
        uncalibrated=arguments.uncalibrated,
        calibrate_only=arguments.calibrate_only,
    )
    print(result.describe())
    return result.code(uncalibrated=arguments.uncalibrated, calibrate_only=arguments.calibrate_only)


def _rescore(arguments: argparse.Namespace) -> int:
    from lorarar.evaluation.judge import reread

    result = reread(arguments.run_folder, _setup(arguments))
    print(result.describe())
    return result.code()


def _report(arguments: argparse.Namespace) -> int:
    from lorarar.evaluation.judge import report_run

    reported = report_run(arguments.run_folder, _setup(arguments))
    print(reported.judged.describe())
    print(reported.page)
    return reported.judged.code(uncalibrated=arguments.uncalibrated)


def _rate(arguments: argparse.Namespace) -> int:
    from lorarar.evaluation.judge.trust import write_sheet

    setup = _setup(arguments)
    refused = write_sheet(
        arguments.output,
        arguments.key,
        setup.items,
        setup.concepts(),
        image_root=setup.images,
        reference_root=setup.references.root,
    )
    for item, reason in refused.items():
        print(f"left out {item}: {reason}")
    print(arguments.output / "index.html")
    return 0


def _import_labels(arguments: argparse.Namespace) -> int:
    from lorarar.evaluation.judge.trust import import_labels

    count = import_labels(arguments.run_folder, _setup(arguments), arguments.file, key=arguments.key)
    print(f"added {count} labels")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from lorarar.evaluation.judge import compare_judges, describe_agreement

    print(describe_agreement(compare_judges(arguments.run_folders)))
    return 0


def _train_tiny(arguments: argparse.Namespace) -> None:
    from lorarar.storage import load_config
    from lorarar.worlds.toy.judge import TinyJudgeConfig, train_tiny

    print(train_tiny(load_config(TinyJudgeConfig, arguments.config, arguments.overrides)))


def _setup(arguments: argparse.Namespace) -> Setup:
    from lorarar.evaluation.judge.ask import read_setup

    return read_setup(arguments.run_folder)
