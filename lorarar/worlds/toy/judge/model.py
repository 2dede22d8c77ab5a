"""Model of the tiny judge: a LLaVA of one million parameters in the layout of a large one."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

from lorarar.worlds.toy.renderer import SIZE

PATCH = 8  # pixels
IMAGE_TOKENS = (SIZE // PATCH) ** 2
IMAGE, PAD, UNKNOWN, END = "<image>", "[PAD]", "[UNK]", "[END]"
VISION_WIDTH, TEXT_WIDTH = 96, 128
_TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %} {{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %} answer :{% endif %}"
)


def build_processor(texts: Iterable[str]) -> LlavaProcessor:
    """Return a processor whose vocabulary is every word of the texts, in lower case, and the punctuation marks."""
    splitter = pre_tokenizers.Split(Regex(r"[\w<>\[\]]+|[^\w\s]"), "removed", invert=True)
    lower = normalizers.Lowercase()
    words: set[str] = set()
    for text in [*texts, "answer :"]:
        words.update(word for word, _ in splitter.pre_tokenize_str(lower.normalize_str(text)))
    vocabulary = {word: i for i, word in enumerate([PAD, UNKNOWN, IMAGE, END, *sorted(words - {IMAGE})])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = lower, splitter
    return LlavaProcessor(
        SiglipImageProcessorPil(size={"height": SIZE, "width": SIZE}),
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token=PAD,
            unk_token=UNKNOWN,
            eos_token=END,
            additional_special_tokens=[IMAGE],
            model_max_length=512,
        ),
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        chat_template=_TEMPLATE,
        image_token=IMAGE,
    )


def build_model(
    processor: LlavaProcessor, seed: int, width: int = TEXT_WIDTH, layers: int = 3
) -> LlavaForConditionalGeneration:
    """Return a model for the processor, randomly initialised, whose language model has this width and depth."""
    torch.manual_seed(seed)
    tokenizer = processor.tokenizer
    vision = SiglipVisionConfig(
        hidden_size=VISION_WIDTH,
        intermediate_size=2 * VISION_WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=processor.image_token_id,
        image_seq_length=IMAGE_TOKENS,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    return LlavaForConditionalGeneration(config)
