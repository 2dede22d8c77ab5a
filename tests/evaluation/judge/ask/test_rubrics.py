"""lorarar.evaluation.judge.ask.rubrics: versions are kept, fields are filled, other files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lorarar.datasets.records import AXES, ReferenceConcept
from lorarar.evaluation.judge.ask.rubrics.rubric import FOLDER, load_rubric, locked_versions, shipped_rubrics

CAT = ReferenceConcept("cat_2", "content", "cat", ("cat_2/0.png",))
INK = ReferenceConcept("ink", "style", "ink drawing", ("ink/0.png",))


def test_the_shipped_rubrics() -> None:
    assert shipped_rubrics() == ["flags", "mars2", "mars2_color", "mars2_nameless", "pairwise", "scale"]
    answers = {name: load_rubric(name).answer for name in shipped_rubrics()}
    assert {answers[name] for name in ("mars2", "mars2_color", "mars2_nameless")} == {"yes_no"}
    assert (answers["scale"], answers["flags"], answers["pairwise"]) == ("scale", "json", "pairwise")


@pytest.mark.parametrize("name", shipped_rubrics())
def test_a_changed_text_needs_a_new_version(name: str) -> None:
    rubric = load_rubric(name)
    assert locked_versions()[rubric.id].get(str(rubric.version)) == rubric.sha256, (
        f"the text of {name} changed: raise its version and add its hash to versions.json"
    )
    assert rubric.version == max(map(int, locked_versions()[rubric.id]))


def test_any_change_changes_the_identity(tmp_path: Path) -> None:
    read = yaml.safe_load((FOLDER / "mars2.yaml").read_text())
    texts = {load_rubric("mars2").sha256}
    reworded = {"content": "Same {phrase}?", "style": "?"}
    for change in ({"id": "x"}, {"version": 9}, {"answer": "scale"}, *({k: v} for k, v in reworded.items()),
                   {"reworded": reworded}):  # fmt: skip
        (tmp_path / "x.yaml").write_text(yaml.safe_dump({**read, **change}))
        texts.add(load_rubric(str(tmp_path / "x.yaml")).sha256)
    assert len(texts) == 7


def test_a_question_names_what_is_shown_where() -> None:
    rubric = load_rubric("mars2")
    straight, swapped = rubric.ask("content", CAT), rubric.ask("content", CAT, swapped=True)
    assert straight.startswith("The first image shows one particular cat. Look at the second image.")
    assert swapped.startswith("The second image shows one particular cat. Look at the first image.")
    assert "ink drawing style" in rubric.ask("style", INK)


def test_the_nameless_style_question_has_no_name() -> None:
    named, nameless = load_rubric("mars2"), load_rubric("mars2_nameless")
    assert "ink" not in nameless.ask("style", INK)
    assert nameless.ask("content", CAT) == named.ask("content", CAT)


def test_other_words_are_other_words() -> None:
    rubric = load_rubric("mars2")
    for axis, concept in (("content", CAT), ("style", INK)):
        plain, other = rubric.ask(axis, concept), rubric.ask(axis, concept, reworded=True)
        assert other != plain
        assert "the second image" in other
        assert "the first image" in rubric.ask(axis, concept, swapped=True, reworded=True)
    assert load_rubric("scale").reworded == {}


def test_every_text_can_be_filled() -> None:
    for name in shipped_rubrics():
        for axis in AXES:
            for swapped in (False, True):
                assert "{" not in load_rubric(name).ask(
                    axis, ReferenceConcept("a", axis, "{b}", ()), swapped=swapped
                ).replace("{b}", "")


@pytest.mark.parametrize("name", ["mars3", "../rubrics/mars2", "versions", "/etc/passwd", ""])
def test_unknown_rubrics_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        load_rubric(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": "{phrase.__class__}"}, r"found \['phrase.__class__'\]"),
        ({"style": "{0}"}, r"found \['0'\]"),
        ({"answer": "essay"}, "found 2 and 'essay'"),
        ({"version": "1"}, "found '1' and"),
        ({"extra": 1}, "optionally reworded, found .*'extra'"),
        ({"reworded": {"content": "?"}}, "expected reworded to hold content and style"),
        ({"reworded": {"content": "?", "style": "{0}"}}, r"found \['0'\]"),
    ],
)
def test_own_rubrics_that_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    read = yaml.safe_load((FOLDER / "mars2.yaml").read_text())
    (tmp_path / "x.yaml").write_text(yaml.safe_dump({**read, **change}))
    with pytest.raises(ValueError, match=message):
        load_rubric(str(tmp_path / "x.yaml"))
