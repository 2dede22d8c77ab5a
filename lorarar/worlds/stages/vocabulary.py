"""Tokenizer of a base: a CLIP tokenizer with one token for every word of its world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from transformers import CLIPTokenizer


def build_tokenizer(words: Sequence[str], length: int) -> CLIPTokenizer:
    """Return a tokenizer whose byte-pair merges end in whole words; the end token has the highest id.

    Args:
        words: Every word, sorted.
        length: Tokens in a prompt, start and end included.
    """
    merges = _merges(words)
    letters = sorted({part for word in words for part in _letters(word)})
    tokens = dict.fromkeys([*letters, *(a + b for a, b in merges), "<|startoftext|>", "<|endoftext|>"])
    ids = {token: i for i, token in enumerate(tokens)}
    pairs: Any = merges  # transformers takes pairs, but declares strings
    return CLIPTokenizer(vocab=ids, merges=pairs, model_max_length=length)


def _letters(word: str) -> list[str]:
    return [*word[:-1], f"{word[-1]}</w>"]


def _merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return merges of the most frequent pair, again and again until every word is one token.

    The tokenizers library's own trainer breaks ties at random: two processes that train one base together would give
    a word two ids.
    """
    parts = [_letters(word) for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        counts = Counter(pair for word in parts for pair in pairwise(word))
        if not counts:
            return merges
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        parts = [_merged(word, merges[-1]) for word in parts]


def _merged(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged
