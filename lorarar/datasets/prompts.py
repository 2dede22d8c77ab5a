"""Prompt sets: templates of prompts in four types (as trained, trigger words alone, changed content, changed style)."""

from __future__ import annotations

import itertools
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from lorarar.storage import missing_path

PromptType = Literal["train", "trigger", "alter", "style"]
TYPES: tuple[PromptType, ...] = ("train", "trigger", "alter", "style")
PROMPT_SET_KINDS = ("content", "style", "pair")
PROMPT_FIELDS = ("phrase", "caption", "content", "style", "token", "class_word")
_KEYS = {"name", "kind", "fields", "types"}


@dataclass(frozen=True)
class Prompt:
    """A prompt and its type."""

    type: PromptType
    text: str


@dataclass(frozen=True)
class PromptSet:
    """Templates of prompts, a file of data/prompts.

    Attributes:
        kind: The LoRA that it is for: of a "content", of a "style", or of a merged "pair".
        fields: The names of the fields that the templates hold.
        templates: For each type one or more, with fields in braces.

    Reference: Yeh et al., "Navigating Text-To-Image Customization", arXiv 2309.14859, for the four types.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    templates: Mapping[PromptType, tuple[str, ...]]

    def fill(self, words: Mapping[str, Sequence[str]]) -> list[Prompt]:
        """Return the prompts of all types without repetitions, in the order of the file.

        Args:
            words: The texts of each field; a field with several texts gives a prompt for each.

        Raises:
            ValueError: A field is missing, unknown or empty.
        """
        filled = {name for name, texts in words.items() if texts and all(text.strip() for text in texts)}
        if missing := sorted(set(self.fields) - filled):
            raise ValueError(
                f"prompt set {self.name!r}: expected words for {list(self.fields)}, found none for {missing}: "
                f"give its text in `words`"
            )
        if unknown := sorted(words.keys() - set(self.fields)):
            raise ValueError(f"prompt set {self.name!r}: expected words for {list(self.fields)} only, found {unknown}")
        prompts = []
        for kind, templates in self.templates.items():
            for template in templates:
                prompts += [Prompt(kind, text) for text in _fill(template, words)]
        return list(dict.fromkeys(prompts))


def load_prompt_set(path: Path) -> PromptSet:
    """Read a prompt set.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is not a prompt set; the message names the fault.
    """
    if not path.is_file():
        raise FileNotFoundError(missing_path("a prompt set", path))
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML, could not read it: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping) or content.keys() != _KEYS:
        keys = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{path}: expected the keys {sorted(_KEYS)}, found {keys}")
    if content["kind"] not in PROMPT_SET_KINDS:
        raise ValueError(f"{path}: expected a kind of {list(PROMPT_SET_KINDS)}, found {content['kind']!r}")
    templates, fields = _read_templates(content["types"], path), tuple(content["fields"] or ())
    _check_fields(fields, templates, path)
    return PromptSet(str(content["name"]), content["kind"], fields, templates)


def _read_templates(types: Any, path: Path) -> dict[PromptType, tuple[str, ...]]:
    if not isinstance(types, Mapping) or list(types) != list(TYPES):
        raise ValueError(f"{path}: expected the types {list(TYPES)} in this order, found {types!r:.80}")
    for kind, templates in types.items():
        if not isinstance(templates, list) or not templates or not all(isinstance(t, str) and t for t in templates):
            raise ValueError(f"{path}: expected a list of templates for {kind}, found {templates!r:.80}")
    return {cast(PromptType, kind): tuple(templates) for kind, templates in types.items()}


def _check_fields(fields: tuple[str, ...], templates: Mapping[PromptType, tuple[str, ...]], path: Path) -> None:
    """Raise ValueError unless the declared fields exist and are exactly those that the templates use."""
    used = {name for group in templates.values() for template in group for name in _fields(template, path)}
    if unknown := sorted(used - set(PROMPT_FIELDS)):
        raise ValueError(f"{path}: expected fields of {list(PROMPT_FIELDS)} in braces, found {unknown}")
    if used != set(fields):
        raise ValueError(
            f"{path}: expected `fields` to name those that templates use, {sorted(used)}, found {list(fields)}"
        )


def _fields(template: str, path: Path) -> list[str]:
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{path}: expected fields in braces, found {template!r}: {error}") from error
    if any(specification or conversion for _, _, specification, conversion in parsed):
        raise ValueError(f"{path}: expected names alone in braces, found {template!r}")
    return [name for _, name, _, _ in parsed if name is not None]


def _fill(template: str, words: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the template with every combination of its fields' texts."""
    names = list(dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(template) if name is not None))
    combinations = itertools.product(*(words[name] for name in names))
    return [template.format(**dict(zip(names, texts, strict=True))) for texts in combinations]
