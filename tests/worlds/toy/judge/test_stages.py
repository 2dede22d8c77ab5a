"""The shipped judge: its card, held-out renders, and its calibration gate, which an untrained judge fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lorarar.datasets.records import AXES
from lorarar.datasets.references import References, load_references
from lorarar.evaluation.judge.ask.backends.loading import open_backend
from lorarar.evaluation.judge.ask.planning import Asking, Gallery
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Backend
from lorarar.evaluation.judge.trust.calibration import make_cases, plan_cases
from lorarar.evaluation.judge.trust.gate import CalibrationGate, evaluate_gate
from lorarar.storage.cards import checked, read_card
from lorarar.storage.locations import EMBEDDED, EMBEDDED_JUDGE
from lorarar.worlds.toy.judge.data import TRAINING_SETS, render_pairs, scale_pixels
from lorarar.worlds.toy.judge.model import build_model
from lorarar.worlds.toy.judge.scores import measure_judge
from lorarar.worlds.toy.judge.stages import save_judge
from lorarar.worlds.toy.judge.texts import questioned_concept
from lorarar.worlds.toy.judge.training import PromptTokens

pytestmark = pytest.mark.skipif(not EMBEDDED_JUDGE.exists(), reason="the embedded judge is not made yet")


@pytest.fixture(scope="module")
def references() -> References:
    """The test split's alone."""
    found = load_references(EMBEDDED / "concepts.yaml", root=EMBEDDED / "images")
    return References(found.root, {key: c for key, c in found.concepts.items() if c.name.startswith("test_")})


def gate(backend: Backend, references: References, folder: Path) -> CalibrationGate:
    """The calibration, as a judging run makes it."""
    calibration = make_cases(references, folder, limit=12)
    asking = Asking(load_rubric("mars2"), backend.identity, False, 1)
    plan = plan_cases(calibration, references, asking, Gallery())
    replies = backend.ask(plan.questions)
    verdicts = {q.item: parse_reply(reply, q) for q, reply in zip(plan.questions, replies, strict=True)}
    return evaluate_gate(calibration.cases, verdicts)


def test_it_is_what_its_card_says() -> None:
    checked(EMBEDDED_JUDGE)
    card = read_card(EMBEDDED_JUDGE)
    assert sum(path.stat().st_size for path in EMBEDDED_JUDGE.iterdir()) < 4e6
    for rates in card["validation_renders"]["mars2"].values():
        assert min(rates["sensitivity"], rates["specificity"]) >= 0.8
        assert rates["degenerate_accepts"] <= 0.05


def test_it_passes_its_gate(references: References, tmp_path: Path) -> None:
    found = gate(open_backend("tiny"), references, tmp_path)
    assert found.reasons == ()
    assert min(found.axes[axis].auc for axis in AXES) > 0.9


@pytest.mark.slow
def test_an_untrained_judge_fails_the_gate(references: References, tmp_path: Path) -> None:
    processor = LlavaProcessor.from_pretrained(EMBEDDED_JUDGE)
    for seed in range(3):
        save_judge(build_model(processor, seed), processor, tmp_path / "model")
        assert not gate(open_backend(f"transformers:{tmp_path / 'model'}"), references, tmp_path / "cases").passed


def test_it_ends_its_answer() -> None:
    model = LlavaForConditionalGeneration.from_pretrained(EMBEDDED_JUDGE, dtype=torch.float32)
    processor = LlavaProcessor.from_pretrained(EMBEDDED_JUDGE)
    pairs = render_pairs(16, 4, ("test",), (*TRAINING_SETS, "test"))
    rubric, random, prompts = load_rubric("mars2"), np.random.default_rng(0), PromptTokens(processor)
    yes_or_no = {prompts.token("yes"), prompts.token("no")}
    for axis in AXES:
        text = rubric.ask(axis, questioned_concept(axis, 0, random), swapped=False)
        inputs = prompts.encode([text] * 16) | {"pixel_values": scale_pixels(pairs.images.flatten(0, 1))}
        written = model.generate(**inputs, do_sample=False, max_new_tokens=4)[:, inputs["input_ids"].shape[1] :]
        assert written.shape == (16, 2)  # nothing follows the end
        assert set(written[:, 0].tolist()) <= yes_or_no
        assert set(written[:, 1].tolist()) == {processor.tokenizer.eos_token_id}


def test_it_tells_held_out_renders_apart() -> None:
    model = LlavaForConditionalGeneration.from_pretrained(EMBEDDED_JUDGE, dtype=torch.float32)
    pairs = render_pairs(200, 3, ("test",), (*TRAINING_SETS, "test"))
    found = measure_judge(model, LlavaProcessor.from_pretrained(EMBEDDED_JUDGE), pairs, load_rubric("mars2"))
    assert min(found[axis]["auc"] for axis in AXES) > 0.9
