"""The toy base's tokenizer: a CLIP tokenizer in which every word of the world is one token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from transformers import CLIPTokenizer

from lorarar.worlds.toy.attributes import CATEGORIES, all_styles, all_subjects
from lorarar.worlds.toy.world import CONTENT_TOKEN, STYLE_TOKEN, toy_world

LENGTH = 16  # tokens in a prompt, start and end included


def vocabulary_words() -> list[str]:
    """Every word that occurs in a caption or a prompt, sorted."""
    found = {"a", "in", "style", CONTENT_TOKEN, STYLE_TOKEN, *CATEGORIES}
    for member in [*all_subjects(), *all_styles()]:
        found.update(member.words().split())
    return sorted(found | set(toy_world().subject_names.values()) | set(toy_world().style_names.values()))


def build_tokenizer() -> CLIPTokenizer:
    """Byte-pair merges that end in whole words. The end token has the highest id."""
    merges = _merges(vocabulary_words())
    letters = sorted({part for word in vocabulary_words() for part in _letters(word)})
    tokens = dict.fromkeys([*letters, *(a + b for a, b in merges), "<|startoftext|>", "<|endoftext|>"])
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, model_max_length=LENGTH)


def _letters(word: str) -> list[str]:
    return [*word[:-1], f"{word[-1]}</w>"]


def _merges(known: Sequence[str]) -> list[tuple[str, str]]:
    """The most frequent pair again and again until every word is one token.

    The tokenizers library's own trainer breaks ties at random: two processes that train one base together would give
    a word two ids.
    """
    parts, merges = [_letters(word) for word in known], []
    while counts := Counter(pair for word in parts for pair in pairwise(word)):
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        parts = [_merged(word, merges[-1]) for word in parts]
    return merges


def _merged(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged
