"""lorarar.worlds.toy.classifier: scores by hand, and the shipped classifier on renders and on noise."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from lorarar.datasets.concepts import Concept, Pair
from lorarar.datasets.contact_sheets import tile_images
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.sampling import sample_loras
from lorarar.diffusion.settings import Sampling
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.mergers.methods.average import average
from lorarar.worlds.stages.classifier import load_classifier
from lorarar.worlds.stages.scoring import PairScorer, score_images, truth_of
from lorarar.worlds.stages.world import to_tensor
from lorarar.worlds.toy.attributes import ATTRIBUTES, all_styles, all_subjects, truth
from lorarar.worlds.toy.classifier import AttributeClassifier, chance, score
from lorarar.worlds.toy.definition import TOY
from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.world import style_of, subject_of, toy_world
from tests import ROOT

SHIPPED = ROOT / "data" / "embedded" / "classifier.safetensors"
needs_classifier = pytest.mark.skipif(not SHIPPED.exists(), reason="the embedded classifier is not made yet")


def test_scores_by_hand() -> None:
    true = torch.tensor([[0, 1, 2, 1, 3, 7, 2, 1]] * 4)
    read = true.clone()
    read[1, 0] = 5  # one content attribute: the category
    read[2, [1, 4, 5]] = 5  # one of content, two of style
    read[3] = 9
    found = {name: values.tolist() for name, values in score(read, true).items()}
    assert found["content"] == [1, 0.75, 0.75, 0]
    assert found["style"] == [1, 1, 0.5, 0]
    assert found["joint"] == [1, 0.75, 0.5, 0]
    assert found["strict"] == [1, 0, 0, 0]
    assert found["content_without_category"] == pytest.approx([1, 1, 2 / 3, 0])


def means(scores: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in scores.items()}


def test_wrong_truths_score_at_chance() -> None:
    random = torch.Generator().manual_seed(0)
    subjects, styles = all_subjects(), all_styles()

    def sample(count: int) -> Tensor:
        pairs = zip(
            torch.randint(len(subjects), (count,), generator=random).tolist(),
            torch.randint(len(styles), (count,), generator=random).tolist(),
            strict=True,
        )
        return torch.tensor([truth(subjects[c], styles[s]) for c, s in pairs])

    found = means(score(sample(20_000), sample(20_000)))
    assert chance()["content"] == pytest.approx((1 / 8 + 1 / 6 + 1 / 5 + 1 / 3) / 4)
    assert found["content"] == pytest.approx(chance()["content"], abs=0.01)
    assert found["style"] == pytest.approx(chance()["style"], abs=0.01)
    assert found["strict"] < 0.001


def test_logits_split_by_attribute() -> None:
    logits = AttributeClassifier().eval()(torch.zeros(2, 3, 32, 32))
    assert [part.shape[1] for part in logits] == list(ATTRIBUTES.values())


@needs_classifier
def test_the_shipped_classifier_recognises_test_renders_and_nothing_in_noise() -> None:
    classifier = load_classifier(SHIPPED)
    pairs = [(subject, style) for subject in toy_world().subjects["test"] for style in toy_world().styles["test"]]
    true = torch.tensor([truth(*pair) for pair in pairs])
    images = to_tensor([render(*pair, 1000 + i) for i, pair in enumerate(pairs)])
    assert means(score(classifier.read(images), true))["joint"] >= 0.98
    noise = torch.rand(256, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = means(score(classifier.read(noise), true.repeat(4, 1)))
    assert abs(found["content"] - chance()["content"]) < 0.12
    assert abs(found["style"] - chance()["style"]) < 0.12
    assert found["strict"] == 0


@needs_classifier
def test_images_are_scored_against_their_own_truths() -> None:
    pairs = [
        (subject, style) for subject in toy_world().subjects["test"][:3] for style in toy_world().styles["test"][:2]
    ]
    images = torch.stack([to_tensor([render(*pair, seed) for seed in range(2)]) for pair in pairs]) / 2 + 0.5
    truths = [truth(*pair) for pair in pairs]
    found = score_images(load_classifier(SHIPPED), images, truths)
    assert found["joint"].shape == (6, 2)
    assert found["joint"].mean() > 0.95
    assert score_images(load_classifier(SHIPPED), images, truths[1:] + truths[:1])["strict"].max() == 0


def test_a_pair_scorer_scores_the_images_of_merges(
    backbone: Backbone, concepts: dict[str, Concept], loras: dict[str, LoRA]
) -> None:
    pairs = [Pair(concepts[f"train_content_0{i}"], concepts[f"train_style_0{i}"]) for i in range(2)]
    assert truth_of(TOY, pairs[1]) == truth(toy_world().subjects["train"][1], toy_world().styles["train"][1])
    assert (subject_of("test_content_03"), style_of("test_style_03")) == (
        toy_world().subjects["test"][3],
        toy_world().styles["test"][3],
    )
    torch.manual_seed(0)
    classifier, sampling = AttributeClassifier().eval(), Sampling(2, 2.5)
    metrics, grid = PairScorer(backbone, classifier, pairs, loras, [0, 1], sampling)(average)
    merged = []
    for pair in pairs:
        both = [loras[pair.content.name], loras[pair.style.name]]
        merged.append(merge_exactly(both, average(both)))
    images = sample_loras(backbone, merged, [pair.prompt for pair in pairs], [0, 1], sampling)
    expected = score_images(classifier, images, [truth_of(TOY, pair) for pair in pairs])
    assert metrics == pytest.approx(means(expected))
    assert torch.allclose(grid, tile_images(images[:, 0], columns=8), atol=1e-4)
