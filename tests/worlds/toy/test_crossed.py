"""lorarar.worlds.toy.crossed: images of known truth, and what mock judges of known quality find in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorarar.datasets.records import AXES
from lorarar.datasets.references import References, load_references
from lorarar.evaluation.judge.ask.backends.mocks import NoisyMock
from lorarar.evaluation.judge.ask.planning import Asking, Gallery
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.by_name import judge_by_name
from lorarar.evaluation.judge.compare.aggregation import aggregate_verdicts
from lorarar.evaluation.judge.compare.results import MethodScores
from lorarar.evaluation.judge.plan import plan_run
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.trust.calibration import make_cases, plan_cases
from lorarar.evaluation.judge.trust.gate import CalibrationGate, evaluate_gate
from lorarar.evaluation.statistics.proportions import wilson
from lorarar.worlds.toy.crossed import write_crossed_renders
from tests import ROOT

DATA = ROOT / "data" / "embedded"
LAYOUT = "{method}/{content}+{style}/{seed}.png"
MEMBERS, SEEDS = 5, 2
# Which content and style each method's images really show, counted from the pair's own; half: right at even seeds.
METHODS = {"right": (0, 0), "other_content": (1, 0), "other_style": (0, 1), "half": (0, 0)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planned folder with labels.jsonl beside it."""
    folder = tmp_path_factory.mktemp("crossed")
    renders = write_crossed_renders(folder / "renders", members=MEMBERS, seeds=SEEDS)
    contents = sorted(path.name for path in renders.iterdir())
    styles = sorted(path.name for path in (renders / contents[0]).iterdir())
    labels = []
    for method, shift in METHODS.items():
        for c, s, seed in ((c, s, k) for c in range(MEMBERS) for s in range(MEMBERS) for k in range(SEEDS)):
            by = (seed % 2, seed % 2) if method == "half" else shift
            shown = renders / contents[(c + by[0]) % MEMBERS] / styles[(s + by[1]) % MEMBERS] / f"{seed}.png"
            image = folder / "images" / method / f"{contents[c]}+{styles[s]}" / f"{seed}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(shown.read_bytes())
            name = f"{method}/{contents[c]}+{styles[s]}/{seed}"
            labels.append({"item": name, "content": int(by[0] == 0), "style": int(by[1] == 0)})
    (folder / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))
    return folder


def judged(folder: Path, backend: str) -> tuple[CalibrationGate, dict[str, MethodScores]]:
    """A judge's calibration, and what it finds of each method."""
    run = folder / backend.replace(":", "_")
    plan_run(run, folder / "images", DATA / "concepts.yaml", layout=LAYOUT, reference_root=DATA / "images")
    setup = read_setup(run)
    found = judge_by_name(run, setup, backend, labels=folder / "labels.jsonl", uncalibrated=True)
    assert found.gate is not None
    (group,) = aggregate_verdicts(setup.items, found.planned.main.questions, found.verdicts, found.gate).groups
    assert len(group.methods) == len(METHODS)
    return found.gate, {method.method: method for method in group.methods}


def test_the_truth_mock_gives_the_truth(run: Path) -> None:
    gate, methods = judged(run, "mock:truth")
    assert gate.passed
    truth = {"right": (1, 1, 1), "other_content": (0, 1, 0), "other_style": (1, 0, 0), "half": (0.5, 0.5, 0.5)}
    for method, rates in truth.items():
        for metric, true in zip(("content", "style", "mars2"), rates, strict=True):
            score = methods[method].scores[metric]
            assert score.estimate is not None
            assert score.estimate.mean == score.low == score.high == true
            assert score.decided == score.total == MEMBERS**2 * SEEDS


def test_a_noisy_mocks_rates_are_recovered(run: Path) -> None:
    _, methods = judged(run, "mock:noisy?sensitivity=0.9&specificity=0.85&seed=1")
    for axis in AXES:
        apparent, corrected = methods["half"].scores[f"{axis}_share"].estimate, methods["half"].corrected[axis]
        assert apparent is not None
        assert corrected.low <= 0.5 <= corrected.high
        assert corrected.high - corrected.low > apparent.high - apparent.low


def test_a_noisy_mocks_rates_lie_in_the_calibrations_intervals(tmp_path: Path) -> None:
    """Of 40 intervals of 95 %, as many as chance allows: less than 34 would be one case in 500."""
    loaded = load_references(DATA / "concepts.yaml", root=DATA / "images")
    held_out = {key: concept for key, concept in loaded.concepts.items() if concept.name.startswith("validation")}
    references, gallery = References(loaded.root, held_out), Gallery()
    calibration = make_cases(references, tmp_path, gallery, limit=64)
    labels = {(case.id, case.axis): case.label for case in calibration.cases}
    hits = 0
    for seed in range(10):
        mock = NoisyMock(labels, sensitivity=0.9, specificity=0.85, seed=seed)
        asking = Asking(load_rubric("mars2"), mock.identity)
        questions = plan_cases(calibration, references, asking, gallery).questions
        replies = mock.ask(questions)
        gate = evaluate_gate(
            calibration.cases, {q.item: parse_reply(r, q) for q, r in zip(questions, replies, strict=True)}
        )
        for axis in AXES:
            for rate, true in ((gate.axes[axis].sensitivity, 0.9), (gate.axes[axis].specificity, 0.85)):
                interval = wilson(rate)
                hits += interval.low <= true <= interval.high
    assert 34 <= hits <= 40
