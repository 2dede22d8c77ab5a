"""lorarar.worlds.toy.judge: vocabulary, tokens, questions with their answers, and a whole tiny training."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaProcessor

from lorarar.datasets.images import pixel_hash
from lorarar.datasets.records import AXES, ReferenceConcept
from lorarar.evaluation.judge.ask.backends.loading import open_backend
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.records import Question
from lorarar.storage.cards import checked, read_card
from lorarar.storage.config import load_config
from lorarar.storage.run_folder import ConfigError
from lorarar.worlds.stages.autoencoder import build_autoencoder
from lorarar.worlds.toy.attributes import ATTRIBUTES
from lorarar.worlds.toy.judge.data import ImagePairs, render_pairs
from lorarar.worlds.toy.judge.model import UNKNOWN, build_model, build_processor
from lorarar.worlds.toy.judge.recipes import TinyJudgeConfig, TrainStage
from lorarar.worlds.toy.judge.scores import axis_rates, measure_judge
from lorarar.worlds.toy.judge.stages import train_tiny
from lorarar.worlds.toy.judge.texts import (
    NOTHING,
    RUBRICS,
    VALUE_WORDS,
    questioned_concept,
    training_rubrics,
    vocabulary_texts,
)
from lorarar.worlds.toy.judge.training import CURRICULUM, JudgeTraining, PromptTokens, TowerTraining
from tests import ROOT

CONFIG = ROOT / "configs" / "judge" / "tiny.yaml"


@pytest.fixture(scope="module")
def processor() -> LlavaProcessor:
    return build_processor(vocabulary_texts(training_rubrics()))


@pytest.fixture(scope="module")
def pairs() -> ImagePairs:
    return render_pairs(40, seed=5)


def training(processor: LlavaProcessor, pairs: ImagePairs, at: float) -> JudgeTraining:
    """The judge's training after a share of its steps."""
    module = JudgeTraining(
        build_model(processor, 0), processor, pairs, training_rubrics(), CURRICULUM, TrainStage(100, 8, 1e-3), seed=0
    )
    type(module).global_step = property(lambda self: round(at * 100))  # Lightning's asks a trainer
    return module


@pytest.fixture(autouse=True)
def _restored() -> object:
    original = JudgeTraining.__dict__.get("global_step")
    yield
    if original is None and "global_step" in JudgeTraining.__dict__:
        del JudgeTraining.global_step


def test_every_word_of_the_rubrics_is_in_the_vocabulary(processor: LlavaProcessor) -> None:
    for name in RUBRICS:
        for axis, phrase in (("content", "cat"), ("content", "sks mug"), ("style", "szn")):
            for swapped in (False, True):
                text = load_rubric(name).ask(axis, ReferenceConcept("x", axis, phrase, ()), swapped=swapped)
                assert UNKNOWN not in processor.tokenizer.tokenize(text)
    assert processor.tokenizer.tokenize("zebra") == [UNKNOWN]
    words = [word for values in VALUE_WORDS.values() for word in values]
    assert len(set(words)) == len(words)  # one answer means one value
    for word in ("yes", "no", NOTHING, *words):
        assert processor.tokenizer.tokenize(word) == [word]


def test_training_sees_the_tokens_that_the_processor_makes(processor: LlavaProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    random = np.random.default_rng(0)
    texts = [load_rubric("mars2").ask(axis, questioned_concept(axis, 3, random)) for axis in AXES]
    turn = [{"type": "image"}, {"type": "image"}]
    prompts = [
        loaded.apply_chat_template(
            [{"role": "user", "content": [*turn, {"type": "text", "text": text}]}],
            add_generation_prompt=True,
            tokenize=False,
        )
        for text in texts
    ]
    pixels = random.integers(256, size=(4, 32, 32, 3), dtype=np.uint8)
    pictures = [[Image.fromarray(p) for p in pixels[i : i + 2]] for i in (0, 2)]
    expected = loaded(images=pictures, text=prompts, padding=True, padding_side="right", return_tensors="pt")
    found = PromptTokens(processor).encode(texts)
    assert torch.equal(found["input_ids"], expected["input_ids"])
    assert torch.equal(found["attention_mask"], expected["attention_mask"])
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.allclose(expected["pixel_values"], scaled, atol=1e-6)


def test_answers_are_right(processor: LlavaProcessor, pairs: ImagePairs) -> None:
    module = training(processor, pairs, at=0.7)
    random, kinds = np.random.default_rng(0), Counter()
    meaning = {word: (name, i) for name, words in VALUE_WORDS.items() for i, word in enumerate(words)}
    for _ in range(300):
        pair = int(random.integers(40))
        rubric = training_rubrics()[int(random.integers(6))]
        question = module._ask(pair, int(random.integers(3)), rubric, random)
        text, answer, swapped = question.text, question.answer, question.swapped
        shown = pairs.attributes[pair].flip(0) if swapped else pairs.attributes[pair]
        if text.startswith("name the "):
            attribute, image = text.removeprefix("name the ").split(" of the ")
            value = int(shown[int("second" in image), list(VALUE_WORDS).index(attribute)])
            assert (answer == NOTHING) if value < 0 else (meaning[answer] == (attribute, value))
            kinds["name"] += 1
        elif text.startswith("do both"):
            column = shown[:, list(VALUE_WORDS).index(text.split()[-1])]
            assert answer == ("yes" if column[0] == column[1] else "no")
            kinds["same"] += 1
        else:
            axes = [a for a in AXES if any(text == rubric.ask(a, c, swapped=swapped) for c in concepts(a))]
            assert len(axes) == 1
            own = slice(0, 4) if axes[0] == "content" else slice(4, 8)
            agreed = bool((shown[0, own] == shown[1, own]).all() and (shown >= 0).all())
            assert answer == ("yes" if agreed else "no")
            kinds["whole"] += 1
    assert min(kinds[kind] for kind in ("name", "same", "whole")) > 50


def concepts(axis: str) -> list[ReferenceConcept]:
    phrases = {
        "content": [t + w for t in ("", "sks ") for w in VALUE_WORDS["category"]],
        "style": ["szn", "szn style", "rendered"],
    }
    return [ReferenceConcept("", axis, phrase, ()) for phrase in phrases[axis]]


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")  # no trainer here
@pytest.mark.parametrize("at", [0.0, 0.7, 0.9])
def test_a_step_is_a_function_of_seed_and_step(processor: LlavaProcessor, pairs: ImagePairs, at: float) -> None:
    losses = [training(processor, pairs, at).training_step(0, 0) for _ in range(2)]
    assert losses[0] == losses[1]
    assert torch.isfinite(losses[0])
    # The parts of an untrained model's loss: an attribute's values alike, eight bits that are even, all words alike.
    untrained = np.log(list(ATTRIBUTES.values())).mean() + np.log(2)
    assert float(losses[0].detach()) == pytest.approx(
        untrained if at == 0 else untrained + np.log(len(processor.tokenizer)), abs=0.5
    )


def test_attributes_are_in_the_order_of_the_question(processor: LlavaProcessor, pairs: ImagePairs) -> None:
    module = training(processor, pairs, at=0.0)
    chosen = np.array([3, 7])
    shown = pairs.attributes[chosen].clone()
    assert (shown >= 0).all()
    assert not torch.equal(shown[1, 0], shown[1, 1])
    shown[1] = shown[1].flip(0)
    one_hot = [torch.nn.functional.one_hot(shown[..., i], n) for i, n in enumerate(ATTRIBUTES.values())]
    module.attribute_heads = torch.nn.Identity()
    states = 20.0 * torch.cat(one_hot, -1).flatten(1)[:, None].expand(-1, 32, -1)
    assert float(module._attribute_error(states, chosen, [False, True])) < 1e-3
    assert float(module._attribute_error(states, chosen, [False, False])) > 1


def test_images_are_in_the_order_of_the_question(processor: LlavaProcessor, pairs: ImagePairs) -> None:
    module = training(processor, pairs, at=0.9)
    chosen = np.array([3, 7])
    shown = module._images(chosen, [False, True], np.random.default_rng(0)).unflatten(0, (2, 2))
    expected = pairs.images[chosen].float() / 127.5 - 1
    distance = lambda a, b: float((a - b).abs().mean())  # noqa: E731 - half of the images are disturbed
    assert distance(shown[0, 0], expected[0, 0]) < distance(shown[0, 0], expected[0, 1])
    assert distance(shown[1, 0], expected[1, 1]) < distance(shown[1, 0], expected[1, 0])


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")  # no trainer here
def test_the_tower_learns_to_predict_attributes(processor: LlavaProcessor, pairs: ImagePairs) -> None:
    tower = TowerTraining(build_model(processor, 0), pairs, TrainStage(30, 16, 2e-3), seed=0)
    optimiser = torch.optim.AdamW(tower.parameters(), 2e-3)
    losses = []
    for _ in range(30):
        loss = tower.training_step(0, 0)  # without a trainer always the same batch
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_rates_by_hand() -> None:
    own, near, far = [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]
    attributes = torch.tensor([[own, own], [own, own], [own, near], [own, far], [own, [-1] * 8], [own, [-1] * 8]])
    pairs = ImagePairs(torch.zeros(6, 2, 3, 32, 32, dtype=torch.uint8), attributes)
    margins = torch.tensor([2.0, -1.0, 1.0, -1.0, 3.0, -3.0])
    found = axis_rates(margins, pairs, "content")
    assert found == {
        "sensitivity": 0.5,
        "specificity": 0.5,
        "near_specificity": 0.0,
        "auc": 0.625,  # 2 beats 1 and -1, -1 ties with -1: 2.5 of 4
        "degenerate_accepts": 0.5,
    }


def test_the_whole_training_makes_a_judge_that_the_back_end_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "base").mkdir()
    build_autoencoder().save_pretrained(tmp_path / "base" / "vae")
    config = load_config(TinyJudgeConfig, CONFIG)
    assert (config.output, config.base) == (Path("runs/judge_tiny/judge"), Path("data/embedded/base"))
    small = replace(
        config,
        output=tmp_path / "judge",
        base=tmp_path / "base",
        runs=tmp_path / "runs",
        pairs=24,
        held_out_pairs=24,
        tower=TrainStage(2, 4, 1e-3),
        judge=TrainStage(8, 4, 1e-3),
    )
    folder = train_tiny(small)
    card = read_card(checked(folder))
    assert card["recipe"]["judge"] == {"steps": 8, "batch": 4, "learning_rate": 1e-3}
    assert set(card["validation_renders"]) == set(RUBRICS)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6
    assert not (tmp_path / "judge.part").exists()
    picture = Image.new("RGB", (32, 32), "red")
    picture.save(tmp_path / "red.png")
    paths, pixels = (str(tmp_path / "red.png"),) * 2, (pixel_hash(picture),) * 2
    text = load_rubric("mars2").ask("content", ReferenceConcept("", "content", "cat", ()))
    question = Question("q", "i", "content", paths[0], "mars2", paths, pixels, text)
    (reply,) = open_backend(f"transformers:{folder}").ask([question])
    assert {token for token, _ in reply.top} >= {"yes", "no"}
    assert reply.failure == ""
    with pytest.raises(ConfigError, match="seed: 0 there, 1 here"):
        train_tiny(replace(small, seed=1))


def test_an_untrained_judge_knows_nothing(processor: LlavaProcessor) -> None:
    found = measure_judge(
        build_model(processor, 1), processor, render_pairs(100, 0, ("validation",)), load_rubric("mars2")
    )
    for axis in AXES:
        assert min(found[axis]["sensitivity"], found[axis]["specificity"]) < 0.8
        assert abs(found[axis]["auc"] - 0.5) < 0.2
