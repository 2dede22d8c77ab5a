"""Tiny models of four families with random weights, saved as a checkpoint of the real size would be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as t
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

# Both spaces' marks, cases and punctuation: variants that a vocabulary may hold.
YES_NO = ["yes", "no", "Yes", "NO", "\u2581yes", "\u0120no", "no."]
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 4096,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def tokenizer(special: Sequence[str], words: Sequence[str] = YES_NO) -> t.PreTrainedTokenizerFast:
    vocabulary = ["[PAD]", "[UNK]", "[END]", *words, *"abcdefgh01234{}?", *special]
    model = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return t.PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="[END]",
        additional_special_tokens=list(special),
    )


def template(image: str) -> str:
    return (
        "{% for m in messages %}{% for p in m['content'] %}"
        f"{{% if p['type'] == 'image' %}}{image}{{% else %}} {{{{ p['text'] }}}}{{% endif %}}"
        "{% endfor %}{% endfor %} ?"
    )


def llava(words: Sequence[str] = YES_NO) -> tuple[Any, Any]:
    tokens = tokenizer(["<image>"], words)
    processor = t.LlavaProcessor(
        t.SiglipImageProcessorPil(size={"height": 32, "width": 32}),
        tokens,
        patch_size=8,
        vision_feature_select_strategy="full",
        chat_template=template("<image>"),
        image_token="<image>",
    )
    config = t.LlavaConfig(
        vision_config=t.SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=t.LlamaConfig(**TEXT),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    return processor, t.LlavaForConditionalGeneration(config)


def idefics3() -> tuple[Any, Any]:
    tiles = [f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)]
    tokens = tokenizer(["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *tiles])
    processor = t.Idefics3Processor(
        t.Idefics3ImageProcessorPil(
            size={"longest_edge": 32}, max_image_size={"longest_edge": 32}, do_image_splitting=False
        ),
        tokens,
        image_seq_len=4,
        chat_template=template("<image>"),
    )
    config = t.Idefics3Config(
        vision_config=VISION,
        text_config=t.LlamaConfig(**TEXT),
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    return processor, t.Idefics3ForConditionalGeneration(config)


def llava_onevision_model() -> Any:
    text = t.Qwen2Config(**TEXT)
    vision = t.SiglipVisionConfig(**VISION, vision_use_head=False)
    config = t.LlavaOnevisionConfig(
        vision_config=vision, text_config=text, image_token_index=20, image_grid_pinpoints=[[32, 32]]
    )
    return t.LlavaOnevisionForConditionalGeneration(config)


def qwen2_vl_model() -> Any:
    text = TEXT | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}}
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 8, "mlp_ratio": 2}
    config = t.Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=20,
        video_token_id=21,
        vision_start_token_id=22,
        vision_end_token_id=23,
    )
    return t.Qwen2VLForConditionalGeneration(config)


def save(processor: Any, model: Any, folder: Path) -> Path:
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # answers far from even, so that a wrong mask shows
    processor.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def save_without_processor(model: Any, processor: str, image_processor: str, folder: Path) -> Path:
    """A checkpoint whose processor cannot even be built here: its files are written by hand."""
    model.save_pretrained(folder)
    tokenizer(["<image>", "<video>"]).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template("<image>"))
    (folder / "preprocessor_config.json").write_text(
        f'{{"image_processor_type": "{image_processor}", "processor_class": "{processor}"}}'
    )
    return folder
