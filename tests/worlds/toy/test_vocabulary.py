"""lorarar.worlds.toy.vocabulary: every word one token, every prompt whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from lorarar.worlds.stages.vocabulary import build_tokenizer
from lorarar.worlds.toy.attributes import all_styles, all_subjects
from lorarar.worlds.toy.captions import pair_prompt, style_prompt
from lorarar.worlds.toy.vocabulary import LENGTH, vocabulary_words


def test_every_word_is_one_token_of_its_own() -> None:
    tokenizer = build_tokenizer(vocabulary_words(), LENGTH)
    ids = [tokenizer(word).input_ids for word in vocabulary_words()]
    assert {len(found) for found in ids} == {3}  # start, the word, end
    assert len({found[1] for found in ids}) == len(vocabulary_words())
    assert {found[0] for found in ids} == {tokenizer.bos_token_id}
    assert {"sks", "szn", "cat", "magenta", "style"} <= set(vocabulary_words())
    assert tokenizer.eos_token_id == max(tokenizer.get_vocab().values()) == len(tokenizer) - 1  # CLIP pools there


@pytest.mark.slow
def test_every_process_gives_a_word_the_same_id() -> None:
    code = "from lorarar.worlds.stages.vocabulary import build_tokenizer; "
    code += "from lorarar.worlds.toy.vocabulary import LENGTH, vocabulary_words; "
    code += "print(sorted(build_tokenizer(vocabulary_words(), LENGTH).get_vocab().items()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(sorted(build_tokenizer(vocabulary_words(), LENGTH).get_vocab().items()))


def test_the_longest_prompts_are_whole() -> None:
    tokenizer = build_tokenizer(vocabulary_words(), LENGTH)
    caption = f"a {all_subjects()[0].words()} in {all_styles()[0].words()} style"
    prompts = [caption, *map(style_prompt, all_subjects()), *map(pair_prompt, all_subjects())]
    longest = max(len(tokenizer(prompt).input_ids) for prompt in prompts)
    assert longest == len(caption.split()) + 2
    assert longest <= LENGTH == tokenizer.model_max_length == 16


def test_the_saved_tokenizer_is_the_same(base: Path) -> None:
    prompt = "a red cat with white stripes in light blue grid inked flat style"
    saved = CLIPTokenizer.from_pretrained(base / "tokenizer")
    assert saved(prompt).input_ids == build_tokenizer(vocabulary_words(), LENGTH)(prompt).input_ids
    assert saved.decode(saved(prompt).input_ids, skip_special_tokens=True).split() == prompt.split()
