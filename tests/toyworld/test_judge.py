"""The shipped judge: what its card says, held-out renders, its own gate, which an untrained judge fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.cards import checked, read_card
from lorarar.judge.backends import TINY, open_backend
from lorarar.judge.calibration import make_cases, plan_cases
from lorarar.judge.gate import Gate, evaluate
from lorarar.judge.parsing import parse
from lorarar.judge.planning import Asking, Gallery
from lorarar.judge.records import AXES, Backend
from lorarar.judge.references import References, load_references
from lorarar.judge.rubrics import load_rubric
from lorarar.toyworld.judge import save_judge
from lorarar.toyworld.judge_data import LEARNT, draw_pairs
from lorarar.toyworld.judge_model import build_model
from lorarar.toyworld.judge_scores import measure

DATA = TINY.parent
pytestmark = pytest.mark.skipif(not TINY.exists(), reason="the embedded judge is not made yet")


@pytest.fixture(scope="module")
def references() -> References:
    """The test split's alone."""
    found = load_references(DATA / "concepts.yaml", root=DATA / "images")
    return References(found.root, {key: c for key, c in found.concepts.items() if c.name.startswith("test_")})


def gate(backend: Backend, references: References, folder: Path) -> Gate:
    """The calibration, as a judging run makes it."""
    calibration = make_cases(references, folder, limit=12)
    asking = Asking(load_rubric("mars2"), backend.identity, False, 1)
    plan = plan_cases(calibration, references, asking, Gallery())
    replies = backend.ask(plan.questions)
    verdicts = {q.item: parse(reply, q) for q, reply in zip(plan.questions, replies, strict=True)}
    return evaluate(calibration.cases, verdicts)


def test_it_is_what_its_card_says() -> None:
    checked(TINY)
    card = read_card(TINY)
    assert sum(path.stat().st_size for path in TINY.iterdir()) < 4e6
    for rates in card["validation_renders"]["mars2"].values():
        assert min(rates["sensitivity"], rates["specificity"]) >= 0.8
        assert rates["degenerate_accepts"] <= 0.05


def test_it_passes_its_gate(references: References, tmp_path: Path) -> None:
    found = gate(open_backend("tiny"), references, tmp_path)
    assert found.reasons == ()
    assert min(found.axes[axis].auc for axis in AXES) > 0.9


def test_an_untrained_judge_fails_the_gate(references: References, tmp_path: Path) -> None:
    processor = LlavaProcessor.from_pretrained(TINY)
    for seed in range(3):
        save_judge(build_model(processor, seed), processor, tmp_path / "model")
        assert not gate(open_backend(f"transformers:{tmp_path / 'model'}"), references, tmp_path / "cases").passed


def test_it_tells_held_out_renders_apart() -> None:
    model = LlavaForConditionalGeneration.from_pretrained(TINY, dtype=torch.float32)
    pairs = draw_pairs(200, 3, ("test",), (*LEARNT, "test"))
    found = measure(model, LlavaProcessor.from_pretrained(TINY), pairs, load_rubric("mars2"))
    assert min(found[axis]["auc"] for axis in AXES) > 0.9
