"""Sets of prompts in four types: as trained, trigger words alone, the content changed, the style changed."""

from __future__ import annotations

import itertools
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

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
        kind: what LoRA it is for: of a "content", of a "style", or of a "pair" that was merged.
        fields: the words that the templates need, by name.
        templates: for each type one or more, with fields in braces.

    Reference: Yeh et al., "Navigating Text-To-Image Customization", arXiv 2309.14859, for the four types.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    templates: Mapping[PromptType, tuple[str, ...]]

    def fill(self, words: Mapping[str, Sequence[str]]) -> list[Prompt]:
        """The prompts of all types, each once, in the order of the file.

        Args:
            words: for each field its text; a field of several texts makes a prompt for each.

        Raises:
            ValueError: a field is missing, unknown or empty.
        """
        given = {name for name, texts in words.items() if texts and all(text.strip() for text in texts)}
        if missing := sorted(set(self.fields) - given):
            raise ValueError(
                f"prompt set {self.name!r}: expected words for {list(self.fields)}, found none for {missing}: "
                f"add --word {missing[0]}=TEXT"
            )
        if unknown := sorted(words.keys() - set(self.fields)):
            raise ValueError(f"prompt set {self.name!r}: expected words for {list(self.fields)} only, found {unknown}")
        filled = [
            Prompt(kind, text)
            for kind, templates in self.templates.items()
            for template in templates
            for text in _filled(template, words)
        ]
        return list(dict.fromkeys(filled))


def load_prompt_set(path: Path) -> PromptSet:
    """Reads a set.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no prompt set; the message names the fault.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a prompt set at {path}, found none: see data/prompts/ for those that come along"
        )
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML, could not read it: {' '.join(str(error).split())}") from error
    if not isinstance(read, Mapping) or read.keys() != _KEYS:
        found = sorted(map(str, read)) if isinstance(read, Mapping) else type(read).__name__
        raise ValueError(f"{path}: expected the keys {sorted(_KEYS)}, found {found}")
    if read["kind"] not in PROMPT_SET_KINDS:
        raise ValueError(f"{path}: expected a kind of {list(PROMPT_SET_KINDS)}, found {read['kind']!r}")
    templates, fields = _templates(read["types"], path), tuple(read["fields"] or ())
    _check_fields(fields, templates, path)
    return PromptSet(str(read["name"]), read["kind"], fields, templates)


def _templates(read: Any, path: Path) -> dict[PromptType, tuple[str, ...]]:
    if not isinstance(read, Mapping) or list(read) != list(TYPES):
        raise ValueError(f"{path}: expected the types {list(TYPES)} in this order, found {read!r:.80}")
    for kind, templates in read.items():
        if not isinstance(templates, list) or not templates or not all(isinstance(t, str) and t for t in templates):
            raise ValueError(f"{path}: expected a list of templates for {kind}, found {templates!r:.80}")
    return {cast(PromptType, kind): tuple(templates) for kind, templates in read.items()}


def _check_fields(fields: tuple[str, ...], templates: Mapping[PromptType, tuple[str, ...]], path: Path) -> None:
    """The declared fields must be known ones and exactly those that the templates use."""
    used = {name for some in templates.values() for template in some for name in _fields(template, path)}
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


def _filled(template: str, words: Mapping[str, Sequence[str]]) -> list[str]:
    """The template with every combination of its fields' texts."""
    names = list(dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(template) if name is not None))
    combinations = itertools.product(*(words[name] for name in names))
    return [template.format(**dict(zip(names, texts, strict=True))) for texts in combinations]
