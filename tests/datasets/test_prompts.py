"""Prompt sets: the shipped sets are valid, fields are filled in, wrong files are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.datasets.prompts import PROMPT_FIELDS, TYPES, Prompt, load_prompt_set
from lorarar.worlds.stages.vocabulary import build_tokenizer
from lorarar.worlds.toy.vocabulary import LENGTH, vocabulary_words
from tests import ROOT

FOLDER = ROOT / "data" / "prompts"
FILES = sorted(FOLDER.glob("*.yaml"))
WORDS = {
    "phrase": ["a sks cat"],
    "caption": ["a red car in szn style", "a blue mug in szn style"],
    "content": ["a sks cat"],
    "style": ["szn style"],
    "token": ["sks"],
    "class_word": ["cat"],
}
GOOD = """
name: mine
kind: content
fields: [phrase]
types:
  train: ["{phrase}"]
  trigger: ["{phrase}"]
  alter: ["{phrase} in snow", "{phrase} in rain"]
  style: ["a drawing of {phrase}"]
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_set_that_comes_along_is_sound(path: Path) -> None:
    prompt_set = load_prompt_set(path)
    assert prompt_set.name == path.stem
    assert set(prompt_set.fields) <= set(PROMPT_FIELDS)
    prompts = prompt_set.fill({name: WORDS[name] for name in prompt_set.fields})
    assert {prompt.type for prompt in prompts} == set(TYPES)
    assert len(prompts) == len(set(prompts)) >= 8
    assert not any("{" in prompt.text for prompt in prompts)
    altered = [p.text for p in prompts if p.type in ("alter", "style")]
    assert len(set(altered)) == len(altered)


def test_there_are_sets_for_every_kind() -> None:
    assert {load_prompt_set(path).kind for path in FILES} == {"content", "style", "pair"}
    assert {"characters", "toys", "scenes", "styles", "toyworld_pair"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("toyworld*.yaml")), ids=lambda path: path.stem)
def test_the_toy_worlds_prompts_use_its_words_and_fit(path: Path) -> None:
    prompt_set = load_prompt_set(path)
    style = {"phrase": ["szn style"]} if prompt_set.kind == "style" else {}
    prompts = [p.text for p in prompt_set.fill({name: (WORDS | style)[name] for name in prompt_set.fields})]
    assert {word for text in prompts for word in text.split()} <= set(vocabulary_words())
    tokenizer = build_tokenizer(vocabulary_words(), LENGTH)
    assert max(len(tokenizer(text).input_ids) for text in prompts) <= tokenizer.model_max_length


def test_a_field_of_several_texts_makes_a_prompt_for_each(tmp_path: Path) -> None:
    prompt_set = load_prompt_set(FOLDER / "toyworld_style.yaml")
    prompts = prompt_set.fill({"phrase": ["szn style"], "caption": WORDS["caption"]})
    assert [p.text for p in prompts if p.type == "train"] == WORDS["caption"]
    assert Prompt("trigger", "szn style") in prompts
    assert sum(p.type == "alter" for p in prompts) == 4
    path = tmp_path / "two.yaml"
    path.write_text(GOOD.replace("{phrase} in rain", "{phrase} on {token}").replace("[phrase]", "[phrase, token]"))
    prompt_sets = load_prompt_set(path).fill({"phrase": ["a", "b"], "token": ["x", "y"]})
    assert [p.text for p in prompt_sets if " on " in p.text] == ["a on x", "a on y", "b on x", "b on y"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"expected words for \['phrase'\], found none for \['phrase'\]: give its text in `words`"),
        ({"phrase": []}, "found none for"),
        ({"phrase": [" "]}, "found none for"),
        ({"phrase": ["a cat"], "tokn": ["sks"]}, r"found \['tokn'\]"),
    ],
)
def test_wrong_words_are_refused(tmp_path: Path, given: dict[str, list[str]], message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    with pytest.raises(ValueError, match=message):
        load_prompt_set(path).fill(given)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: mine", "title: mine", "expected the keys"),
        ("kind: content", "kind: subject", "expected a kind of"),
        ("  trigger:", "  triggers:", "expected the types"),
        ('["{phrase} in snow", "{phrase} in rain"]', "[]", "expected a list of templates for alter"),
        ('["{phrase} in snow", "{phrase} in rain"]', "[3]", "expected a list of templates for alter"),
        ("in snow", "in {place}", r"in braces, found \['place'\]"),
        ("in snow", "with {token}", "expected `fields` to name those that templates use"),
        ("in snow", "in {", "expected fields in braces"),
        ("in snow", "in {phrase!r}", "expected names alone in braces"),
        ("name: mine", "name: [", "expected YAML"),
        (GOOD, "- a\n- b\n", "expected the keys"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        load_prompt_set(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a prompt set at .*none\.yaml, found nothing there: check the path"):
        load_prompt_set(tmp_path / "none.yaml")
