"""lorarar.evaluation.judge.ask.descriptions: one question about several images, and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lorarar.datasets.records import Axis
from lorarar.evaluation.judge.ask.backends.loading import BackendSettings, open_backend
from lorarar.evaluation.judge.ask.descriptions import DESCRIBE, describe_images
from lorarar.evaluation.judge.records import Question, Reply
from lorarar.storage.locations import EMBEDDED_DESCRIBER
from lorarar.worlds.toy.attributes import Style, Subject
from lorarar.worlds.toy.judge.describer import describe_member
from lorarar.worlds.toy.renderer import render


@dataclass
class Parrot:
    """A back end with one answer."""

    reply: Reply
    asked: list[Question] = field(default_factory=list)
    concurrency: int = 1
    batch: int = 1
    identity: Mapping[str, Any] = field(default_factory=dict)

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        self.asked += questions
        return [self.reply]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    return paths


def test_one_question_shows_all_images(images: list[Path]) -> None:
    parrot = Parrot(Reply(text='<think>Maybe.</think>\n"A red  cat\nwith dots."'))
    assert describe_images(parrot, images, "style", "style_description") == "A red cat with dots"
    (question,) = parrot.asked
    assert (question.text, question.answer, len(set(question.pixels))) == (DESCRIBE["style"], "text", 4)
    assert question.images == tuple(str(path.resolve()) for path in images)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(failure="HTTP 500"), "found HTTP 500"),
        (Reply(text="a red", finish_reason="length"), "a reply that was cut off"),
        (Reply(text="<think>hm"), "an empty reply"),
    ],
)
def test_no_answer_is_an_error(images: list[Path], reply: Reply, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{reason}: give `style_description`"):
        describe_images(Parrot(reply), images, "content", "style_description")


@pytest.mark.skipif(not EMBEDDED_DESCRIBER.exists(), reason="the embedded describer is not made yet")
def test_the_embedded_describer_reads_renders(tmp_path: Path) -> None:
    """Renders of subjects and styles that it was not trained on are described without a mistake."""
    backend = open_backend(f"transformers:{EMBEDDED_DESCRIBER}", BackendSettings(answer="text", device="cpu"))
    subject, style = Subject(0, 3, 2, 0), Style(1, 5, 2, 0)  # of the first validation content and a validation style
    looks: dict[Axis, list[tuple[Subject, Style]]] = {
        "content": [(subject, Style(0, tone, 0, 0)) for tone in (0, 3, 6, 9)],
        "style": [(Subject(category, category, 1, 0), style) for category in (0, 2, 3, 5)],
    }
    for axis, members in looks.items():
        paths = [tmp_path / f"{axis}{i}.png" for i in range(4)]
        for i, (path, member) in enumerate(zip(paths, members, strict=True)):
            Image.fromarray(render(*member, seed=i)).save(path)
        found = describe_images(backend, paths, axis, f"{axis}_description")
        assert found == describe_member(axis, astuple(members[0][axis == "style"]))
