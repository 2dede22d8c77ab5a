"""The toy base's tokenizer: a CLIP tokenizer in which every word of the world is one token."""

from __future__ import annotations

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from lorarar.toyworld.attributes import CATEGORIES, all_styles, all_subjects
from lorarar.toyworld.world import CONTENT_TOKEN, STYLE_TOKEN, world

LENGTH = 16  # tokens in a prompt, start and end included


def words() -> list[str]:
    """Every word that occurs in a caption or a prompt, sorted."""
    found = {"a", "in", "style", CONTENT_TOKEN, STYLE_TOKEN, *CATEGORIES}
    for member in [*all_subjects(), *all_styles()]:
        found.update(member.words().split())
    return sorted(found | set(world().subject_names.values()) | set(world().style_names.values()))


def build_tokenizer() -> CLIPTokenizer:
    """Byte-pair merges that end in whole words. The end token has the highest id."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=10_000, end_of_word_suffix="</w>", show_progress=False)
    trained.train_from_iterator(words(), trainer)
    model = trained.to_str()
    vocabulary, merges = _parts(model)
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def _parts(model: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    parts = json.loads(model)["model"]
    return dict(parts["vocab"]), [tuple(merge) for merge in parts["merges"]]
