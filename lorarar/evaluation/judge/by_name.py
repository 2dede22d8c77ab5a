"""Judge by name: the back end is opened, and asks in this process or in the workers of an engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

from lorarar.evaluation.judge.ask.backends.loading import BackendSettings, open_backend
from lorarar.evaluation.judge.ask.backends.mocks import read_right_answers
from lorarar.evaluation.judge.ask.reply_log import Shard
from lorarar.evaluation.judge.ask.run_folder import Setup, read_backend, read_setup
from lorarar.evaluation.judge.plan import case_labels
from lorarar.evaluation.judge.records import Backend
from lorarar.evaluation.judge.run import Judged, reread, run_judge
from lorarar.storage.units import Engine, UnitWork, Workers, run_units

_SHARES = 4  # of the questions for each worker of an engine: one that dies loses little, and a slow one takes fewer


class AskOptions(TypedDict, total=False):
    """How a judge is opened and asked.

    Attributes:
        labels: A file of right answers for the mocks.
        device: Of a model that runs in this process.
        concurrency: Simultaneous calls to a server; None is the back end's default.
        cache: A folder of replies that several runs share.
        budget: The largest number of calls.
        uncalibrated: Ask the rest even if the calibration fails.
        shard: The share of the questions about the images that this client asks, once the calibration is finished;
            None for all, and for the calibration.
        engine, workers: Where the questions are asked, see `lorarar.storage.units.run_units`.
    """

    labels: Path | None
    device: str
    concurrency: int | None
    cache: Path | None
    budget: int | None
    uncalibrated: bool
    shard: Shard | None
    engine: Engine
    workers: Workers


def judge_by_name(
    run: Path, setup: Setup, name: str, *, calibrate_only: bool = False, **options: Unpack[AskOptions]
) -> Judged:
    """Open a back end and judge, see `run_judge`.

    Args:
        name: The back end, see `lorarar.evaluation.judge.ask.backends.loading.open_backend`.
        calibrate_only: Ask the calibration alone.
        options: See `AskOptions`.

    Raises:
        ValueError: See `run_judge`; or a budget is given, which the workers of an engine do not share.
    """
    if options.get("engine", "local") != "local":
        return _judge_on_engine(run, setup, name, calibrate_only=calibrate_only, options=options)
    return run_judge(
        run,
        setup,
        _open(run, setup, name, options),
        name,
        cache=options.get("cache"),
        budget=options.get("budget"),
        uncalibrated=options.get("uncalibrated", False),
        calibrate_only=calibrate_only,
        shard=options.get("shard"),
    )


def _judge_on_engine(run: Path, setup: Setup, name: str, *, calibrate_only: bool, options: AskOptions) -> Judged:
    """Judge by the workers of an engine: the calibration as one unit, then shares of the questions."""
    if options.get("budget") is not None or options.get("shard") is not None:
        raise ValueError("expected no `budget` and no `shard` with an engine, found one: drop it, or the engine")
    engine, workers = options.get("engine", "local"), options.get("workers") or Workers()
    uncalibrated, alone = options.get("uncalibrated", False), AskOptions(**{**options, "engine": "local"})
    work = UnitWork("ask the judge", "shares", partial(_open_shares, run, name, alone))
    shares = [Shard(number, _SHARES * workers.count) for number in range(_SHARES * workers.count)]
    units = {f"share {shard.number + 1} of {shard.count}": shard for shard in shares}
    for part in ({"calibration": None},) if calibrate_only else ({"calibration": None}, units):
        for result in run_units(work, part, engine=engine, workers=workers):
            if result.error is not None:
                raise result.error
        judged = reread(run, setup)
        if judged.status(uncalibrated=uncalibrated, calibrate_only=True) != "complete":
            break
    return judged


def _open_shares(run: Path, name: str, options: AskOptions) -> Callable[[Shard | None], None]:
    """Open a back end; return the function that asks a share of the questions, or, for None, the calibration."""
    setup = read_setup(run)
    backend = _open(run, setup, name, options)

    def ask(shard: Shard | None) -> None:
        uncalibrated, cache = options.get("uncalibrated", False), options.get("cache")
        run_judge(
            run,
            setup,
            backend,
            name,
            cache=cache,
            uncalibrated=uncalibrated,
            calibrate_only=shard is None,
            shard=shard,
        )

    return ask


def _open(run: Path, setup: Setup, name: str, options: AskOptions) -> Backend:
    """Open a back end."""
    answers, labels = {}, options.get("labels")
    if name.startswith("mock:"):
        answers = case_labels(run, setup) | (read_right_answers(labels) if labels else {})
    settings = BackendSettings(
        labels=answers,
        answer=setup.rubric.answer,
        concurrency=options.get("concurrency"),
        recorded=(read_backend(run) or {}).get("identity"),
        device=options.get("device", "auto"),
    )
    return open_backend(name, settings)
