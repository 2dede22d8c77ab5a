"""Encoders from transformers give what their models give; random weights, no downloads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BitImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import LimitedTextEncoder, MapEncoder, MovableEncoder, TextEncoder
from lorarar.evaluation.metrics.encoders.transformers import weights_hash
from lorarar.storage.locations import EMBEDDED_JUDGE
from tests.evaluation.metrics.encoders.samples import SQUARES, is_near, noise


def test_dinov2_gives_what_its_model_gives(dinov2: Path) -> None:
    encoder = load_encoder("dinov2", path=dinov2)
    model, processor = Dinov2Model.from_pretrained(dinov2).eval(), BitImageProcessorPil.from_pretrained(dinov2)
    with torch.inference_mode():
        output = model(**processor(SQUARES, return_tensors="pt"), output_hidden_states=True)
    assert is_near(encoder.encode_images(SQUARES), output.last_hidden_state[:, 0])
    assert isinstance(encoder, MapEncoder)
    maps = encoder.feature_maps(SQUARES)
    assert [m.shape for m in maps] == [(3, 24, 2, 2)] * 5  # five layers are too few to leave any out
    assert is_near(maps[2][0, :, 1, 0], output.hidden_states[3][0, 1 + 2])  # row by row after the class token
    assert not isinstance(encoder, TextEncoder)


def test_clip_gives_what_its_model_gives(clip: Path) -> None:
    encoder = load_encoder("clip", path=clip)
    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPImageProcessorPil.from_pretrained(clip)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(clip)
    texts = ["a red cat", "a cat in ink style", "red " * 30]
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=8, return_tensors="pt")
    with torch.inference_mode():
        images = model.get_image_features(**processor(SQUARES, return_tensors="pt")).pooler_output
        expected = model.get_text_features(tokens["input_ids"], attention_mask=tokens["attention_mask"]).pooler_output
    assert is_near(encoder.encode_images(SQUARES), images)
    assert isinstance(encoder, TextEncoder)
    assert is_near(encoder.encode_texts(texts), expected)
    assert not isinstance(encoder, MapEncoder)
    assert isinstance(encoder, LimitedTextEncoder)
    assert encoder.longest_text == 8
    assert encoder.are_cut([*texts, "red red red red red red"]) == [False, False, True, False]
    with pytest.raises(ValueError, match="expected texts"):
        encoder.encode_texts([])


def test_the_tower_gives_what_the_embedded_judge_gives() -> None:
    encoder = load_encoder("tower")
    model = LlavaForConditionalGeneration.from_pretrained(EMBEDDED_JUDGE, dtype=torch.float32).eval()
    processor = LlavaProcessor.from_pretrained(EMBEDDED_JUDGE)
    images = [noise((32, 32), seed) for seed in range(3)]
    inputs = processor.image_processor(images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        states = model.model.vision_tower(inputs, output_hidden_states=True).hidden_states
    assert is_near(encoder.encode_images(images), states[-1].mean(1))
    assert isinstance(encoder, MapEncoder)
    maps = encoder.feature_maps(images)
    assert [m.shape for m in maps] == [(3, 96, 4, 4)] * 4
    assert is_near(maps[0][1, :, 2, 3], states[1][1, 2 * 4 + 3])
    assert encoder.sha256 == hashlib.sha256((EMBEDDED_JUDGE / "model.safetensors").read_bytes()).hexdigest()


def test_a_hash_follows_the_weights(dinov2: Path, tmp_path: Path) -> None:
    one = load_encoder("dinov2", path=dinov2)
    torch.manual_seed(1)
    Dinov2Model(Dinov2Config.from_pretrained(dinov2)).save_pretrained(tmp_path)
    other = load_encoder("dinov2", path=tmp_path)
    assert len({one.sha256, other.sha256, load_encoder("pixels").sha256}) == 3
    assert one.sha256 == load_encoder("dinov2", path=str(dinov2), resize="crop").sha256
    assert not np.allclose(one.encode_images(SQUARES), other.encode_images(SQUARES), atol=1e-2)


def test_pickled_weights_are_refused(dinov2: Path, tmp_path: Path) -> None:

    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\*.safetensors"):
        weights_hash(tmp_path)
    for number in range(2):
        (tmp_path / f"model-{number}.safetensors").write_bytes(bytes([number]))
    assert weights_hash(tmp_path) != weights_hash(dinov2)


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_an_encoder_computes_on_its_device(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    encoder = load_encoder(name, path=path, device="cpu")
    assert isinstance(encoder, MovableEncoder)
    moved = encoder.to("meta")  # has no numbers: the model and the inputs are there, or torch refuses
    assert next(moved.model.parameters()).device.type == "meta"  # type: ignore[attr-defined]
    inputs = [batch for _, batch in moved.canvas.batches(SQUARES)]  # type: ignore[attr-defined]
    assert {batch.device.type for batch in inputs} == {"meta"}
