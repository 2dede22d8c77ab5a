"""lorarar.worlds.art.classifier and .definition: reading by prototypes, and what training may see."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from lorarar.worlds.art.catalogue import Drawing
from lorarar.worlds.art.classifier import PrototypeClassifier, images_of_nothing
from lorarar.worlds.art.definition import ART, class_names, drawing_index, style_index
from lorarar.worlds.art.styles import ArtStyle, plain_grounds
from lorarar.worlds.art.world import art_world
from lorarar.worlds.stages.classifier import load_classifier
from lorarar.worlds.stages.renders import draw
from lorarar.worlds.stages.world import from_bytes
from tests import ROOT

SHIPPED = ROOT / "data" / "art" / "classifier.safetensors"


@pytest.fixture(scope="module")
def classifier() -> PrototypeClassifier:
    """An untrained classifier with a drawing and a style at each of its first axes."""
    torch.manual_seed(0)
    classifier = PrototypeClassifier().eval()
    for prototypes in (classifier.drawings, classifier.styles):
        prototypes.zero_()
        prototypes[range(100), range(100)] = 1
    classifier.nothing.zero_()
    classifier.nothing[:, :, 127] = 1
    return classifier


def embedding(axis: int, cosine: float) -> Tensor:
    vector = torch.zeros(128)
    vector[axis], vector[127] = cosine, (1 - cosine**2) ** 0.5
    return vector


def show(monkeypatch: pytest.MonkeyPatch, *rows: tuple[int, float, int, float]) -> Tensor:
    """Let the network embed images near drawings and styles at given cosines."""
    drawings = torch.stack([embedding(drawing, cosine) for drawing, cosine, _, _ in rows])
    styles = torch.stack([embedding(style, cosine) for _, _, style, cosine in rows])
    monkeypatch.setattr(PrototypeClassifier, "forward", lambda *_: (drawings, styles))
    return torch.zeros(len(rows), 3, 64, 64)


def test_the_nearest_prototype_is_read_unless_nothing_is_nearer(
    classifier: PrototypeClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = show(monkeypatch, (3, 0.9, 5, 0.9), (4, 0.75, 6, 0.65), (4, 0.5, 6, 0.8))
    numbers = [int(classifier.classes[drawing]) for drawing in (3, 4)]
    expected = [[numbers[0], 3, 5], [numbers[1], 4, -1], [-1, -1, 6]]
    assert classifier.read(images).tolist() == expected


def test_scores_by_hand(classifier: PrototypeClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawing_index()[next(iter(drawing_index()))]
    same = [i for i, number in enumerate(classifier.classes.tolist()) if number == int(classifier.classes[first])]
    other = next(i for i in range(100) if i not in same)
    true = torch.tensor([[int(classifier.classes[first]), first, 5]] * 4)
    images = show(monkeypatch, (first, 0.9, 5, 0.9), (same[1], 0.9, 5, 0.9), (first, 0.9, 6, 0.9), (other, 0.9, 7, 0.9))
    found = {name: values.tolist() for name, values in classifier.score(images, true).items()}
    assert found["content"] == [1, 0, 1, 0]
    assert found["style"] == [1, 1, 0, 0]
    assert found["joint"] == found["strict"] == [1, 0, 0, 0]
    assert found["content_without_category"] == [1, 0, 1, 0]


def test_the_loss_leaves_out_what_is_held_out(classifier: PrototypeClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing, style = art_world().drawings["train"][0], art_world().styles["train"][0]
    true = torch.tensor([ART.truth(drawing, style)])
    directions = [torch.nn.functional.normalize(each.detach(), dim=1) for each in classifier.directions]
    monkeypatch.setattr(PrototypeClassifier, "forward", lambda *_: (directions[0][:1], directions[1][:1]))
    expected = 0.0
    for axis, (index, margin, weight) in enumerate(((drawing_index(), 0.2, 1.0), (style_index(), 0.1, 0.7))):
        kept = sorted({i for member, i in index.items() if member.split in ("base", "train")})
        logits = 20 * (directions[axis][:1] @ directions[axis].T)
        right = int(true[0, axis + 1])
        logits[0, right] -= 20 * margin
        expected += weight * (logits[0, kept].logsumexp(0) - logits[0, right])
    assert_close(classifier.loss(torch.zeros(1, 3, 64, 64), true), expected)


def test_each_part_of_the_training_sees_its_own_sets_alone() -> None:
    for part, splits in (("base", {"base"}), ("known", {"base", "train"})):
        plan = ART.plan(part, 1500, 0)
        assert {render.content.split for render in plan} == splits
        assert {render.style.split for render in plan if render.style not in plain_grounds()} == splits
        assert set(plain_grounds()) <= {render.style for render in plan}
    sets = art_world().drawings["test"], art_world().styles["test"]
    tested = ART.plan("test", 300, 0)
    assert {(render.content, render.style) for render in tested[:256]} == {(d, s) for d in sets[0] for s in sets[1]}
    assert [render.seed for render in tested] == [0] * 256 + [1] * 44


def test_a_truth_is_class_drawing_and_style() -> None:
    drawing, (white, other, *_) = art_world().drawings["test"][2], plain_grounds()
    number, index, style = ART.truth(drawing, white)
    assert class_names()[number] == drawing.class_name
    assert list(drawing_index())[index] == drawing
    assert style == ART.truth(drawing, other)[2] == max(style_index().values())
    assert ART.full_caption(drawing, white) == f"a {drawing.artist} {drawing.class_name} on {white.variant}"
    pencil = ArtStyle("grey", "pencil", "base")
    assert ART.full_caption(Drawing("lion", "glossy", "base"), pencil) == "a glossy lion in grey pencil style"


def test_every_caption_is_in_the_vocabulary() -> None:
    words = set(ART.vocabulary())
    for content, style, _ in ART.plan("base", 300, 0) + ART.plan("test", 256, 0):
        assert set(ART.full_caption(content, style).split()) <= words
        assert len(ART.full_caption(content, style).split()) + 2 <= ART.prompt_length


@pytest.mark.skipif(not SHIPPED.exists(), reason="the classifier of the art world is not made yet")
def test_the_shipped_classifier_reads_test_renders_and_nothing_in_noise() -> None:
    classifier = load_classifier(SHIPPED)
    plan = [render for i, render in enumerate(ART.plan("test", 256, 0)) if i % 4 == i // 4 % 4]  # of the gates' 256
    images, true = from_bytes(draw(ART, plan)), torch.tensor([ART.truth(*render[:2]) for render in plan])
    scores = {name: float(values.mean()) for name, values in classifier.score(images, true).items()}
    assert min(scores["content"], scores["style"]) >= 0.9
    assert (classifier.read(images_of_nothing(140, seed=1)) == -1).float().mean() > 0.9
