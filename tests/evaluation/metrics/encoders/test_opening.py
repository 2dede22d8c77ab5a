"""Encoders give what their models give; random weights, no downloads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from transformers import (
    BitImageProcessorPil,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.protocols import ImageEncoder, MapEncoder, TextEncoder
from lorarar.evaluation.metrics.encoders.vgg19 import STAGES, Vgg19, load_vgg19
from lorarar.evaluation.metrics.measures import gram
from lorarar.storage.locations import EMBEDDED_JUDGE
from lorarar.worlds.toy.judge.model import build_processor


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


SQUARES = [noise((28, 28), seed) for seed in range(3)]


def near(found: NDArray[np.float32], expected: torch.Tensor) -> bool:
    return bool(np.allclose(found, expected.detach().numpy(), atol=1e-5))


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=24, num_hidden_layers=5, num_attention_heads=2, image_size=28, patch_size=14)
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_mean=[0.4] * 3, image_std=[0.2] * 3
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    tokenizer: PreTrainedTokenizerFast = build_processor(["a red cat in ink style"]).tokenizer
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 8, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config=sizes | words, vision_config=sizes | {"image_size": 28, "patch_size": 7}, projection_dim=12
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder


def test_dinov2_gives_what_its_model_gives(dinov2: Path) -> None:
    encoder = load_encoder("dinov2", path=dinov2)
    model, processor = Dinov2Model.from_pretrained(dinov2).eval(), BitImageProcessorPil.from_pretrained(dinov2)
    with torch.inference_mode():
        found = model(**processor(SQUARES, return_tensors="pt"), output_hidden_states=True)
    assert near(encoder.encode_images(SQUARES), found.last_hidden_state[:, 0])
    assert isinstance(encoder, MapEncoder)
    maps = encoder.feature_maps(SQUARES)
    assert [m.shape for m in maps] == [(3, 24, 2, 2)] * 5  # five layers are too few to leave any out
    assert near(maps[2][0, :, 1, 0], found.hidden_states[3][0, 1 + 2])  # row by row after the class token
    assert not isinstance(encoder, TextEncoder)


def test_clip_gives_what_its_model_gives(clip: Path) -> None:
    encoder = load_encoder("clip", path=clip)
    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPImageProcessorPil.from_pretrained(clip)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(clip)
    texts = ["a red cat", "a cat in ink style", "red " * 30]
    words = tokenizer(texts, padding=True, truncation=True, max_length=8, return_tensors="pt")
    with torch.inference_mode():
        images = model.get_image_features(**processor(SQUARES, return_tensors="pt")).pooler_output
        expected = model.get_text_features(words["input_ids"], attention_mask=words["attention_mask"]).pooler_output
    assert near(encoder.encode_images(SQUARES), images)
    assert isinstance(encoder, TextEncoder)
    assert near(encoder.encode_texts(texts), expected)
    assert not isinstance(encoder, MapEncoder)
    with pytest.raises(ValueError, match="expected texts"):
        encoder.encode_texts([])


def test_the_tower_is_what_the_embedded_judge_sees_with() -> None:
    encoder = load_encoder("tower")
    model = LlavaForConditionalGeneration.from_pretrained(EMBEDDED_JUDGE, dtype=torch.float32).eval()
    processor = LlavaProcessor.from_pretrained(EMBEDDED_JUDGE)
    images = [noise((32, 32), seed) for seed in range(3)]
    inputs = processor.image_processor(images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        states = model.model.vision_tower(inputs, output_hidden_states=True).hidden_states
    assert near(encoder.encode_images(images), states[-1].mean(1))
    assert isinstance(encoder, MapEncoder)
    maps = encoder.feature_maps(images)
    assert [m.shape for m in maps] == [(3, 96, 4, 4)] * 4
    assert near(maps[0][1, :, 2, 3], states[1][1, 2 * 4 + 3])
    assert encoder.sha256 == hashlib.sha256((EMBEDDED_JUDGE / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["tower", "dinov2", "clip", "pixels"])
def test_oblong_images_are_seen_whole_and_in_order(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name) if name in ("dinov2", "clip") else None
    encoder = load_encoder(name, path=path)
    images = [noise(size, 3) for size in ((32, 32), (64, 32), (32, 32))] + [noise((64, 32), 4)]
    together = encoder.encode_images(images)
    assert np.allclose(together, np.concatenate([encoder.encode_images([image]) for image in images]), atol=1e-5)
    cropped = load_encoder(name, path=path, resize="crop")
    assert np.allclose(together[0], cropped.encode_images(images[:1])[0], atol=1e-5)
    assert not np.allclose(together[1], cropped.encode_images(images[1:2])[0], atol=1e-2)


def test_pixels_see_colours_and_nothing_else() -> None:
    encoder = load_encoder("pixels")
    image = np.asarray(noise((32, 32), 0))
    mixed = np.random.default_rng(1).permutation(image.reshape(-1, 3)).reshape(image.shape)
    black, white = (Image.new("RGB", (32, 32), colour) for colour in ("black", "white"))
    found = encoder.encode_images([Image.fromarray(image), Image.fromarray(mixed), black, white])
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.allclose(found[0], found[1])
    assert found[2] @ found[3] == 0
    assert isinstance(encoder, MapEncoder)
    assert encoder.feature_maps([black, white])[0].shape == (2, 9, 32, 32)


def torchvision_layout() -> nn.Sequential:
    """VGG-19's features as torchvision lays them out: convolution, ReLU, .., pooling."""
    layers: list[nn.Module] = []
    channels = 3
    for stage in STAGES:
        for width in stage:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def test_vgg19_reads_torchvisions_names_and_gives_the_first_map_of_each_stage(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = torchvision_layout()
    weights = {f"features.{name}": value for name, value in reference.state_dict().items()}
    assert len(weights) == 32  # sixteen convolutions
    assert list(weights)[-1] == "features.34.bias"
    save_file(weights | {"classifier.0.bias": torch.zeros(3)}, tmp_path / "vgg19.safetensors")
    encoder = load_vgg19(tmp_path / "vgg19.safetensors", "scale", size=32)
    images = [noise((32, 32), seed) for seed in range(2)]
    maps = encoder.feature_maps(images)
    assert [m.shape for m in maps] == [
        (2, 64, 32, 32),
        (2, 128, 16, 16),
        (2, 256, 8, 8),
        (2, 512, 4, 4),
        (2, 512, 2, 2),
    ]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        for index, layer in enumerate(reference):
            x = layer(x)
            if index in (1, 6, 11, 20, 29):  # conv1_1, 2_1, 3_1, 4_1, 5_1, rectified
                assert near(maps[(1, 6, 11, 20, 29).index(index)], x)
    assert encoder.encode_images(images).shape == (2, 1472)
    assert gram(maps[4]).shape == (2, 512, 512)


def test_vgg19_refuses_other_weights(tmp_path: Path) -> None:
    wrong = Vgg19().state_dict() | {"features.34.bias": torch.zeros(4)}
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(ValueError, match=r"found no \['features.34.bias'\]"):
        load_encoder("vgg19", path=tmp_path / "wrong.safetensors")
    (tmp_path / "none.safetensors").write_bytes(b"no weights")
    for name in ("none.safetensors", "missing.safetensors"):
        with pytest.raises(ValueError, match="VGG-19's weights as a safetensors file"):
            load_encoder("vgg19", path=tmp_path / name)
    with pytest.raises(ValueError, match="at least 16"):
        load_vgg19(tmp_path / "wrong.safetensors", "scale", size=8)


def test_a_hash_follows_the_weights(dinov2: Path, tmp_path: Path) -> None:
    one = load_encoder("dinov2", path=dinov2)
    torch.manual_seed(1)
    Dinov2Model(Dinov2Config.from_pretrained(dinov2)).save_pretrained(tmp_path)
    other = load_encoder("dinov2", path=tmp_path)
    assert len({one.sha256, other.sha256, load_encoder("pixels").sha256}) == 3
    assert one.sha256 == load_encoder("dinov2", path=str(dinov2), resize="crop").sha256
    assert not np.allclose(one.encode_images(SQUARES), other.encode_images(SQUARES), atol=1e-2)


def test_pickled_weights_are_not_hashed_as_if_they_were_safe(dinov2: Path, tmp_path: Path) -> None:
    from lorarar.evaluation.metrics.encoders.weights import weights_hash

    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\*.safetensors"):
        weights_hash(tmp_path)
    for number in range(2):
        (tmp_path / f"model-{number}.safetensors").write_bytes(bytes([number]))
    assert weights_hash(tmp_path) != weights_hash(dinov2)


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("dino", None, r"expected an encoder of \['tower', 'pixels', 'dinov2', 'clip', 'vgg19'\], found 'dino'"),
        ("clip", None, "openai/clip"),
        ("dinov2", None, "facebook/dinov2"),
        ("vgg19", None, "torchvision"),
        ("pixels", "x", "no path for pixels"),
    ],
)
def test_a_wrong_choice_is_named(name: str, path: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_encoder(name, path=path)


def test_all_are_encoders(clip: Path) -> None:
    for encoder in (load_encoder("pixels", resize="crop"), load_encoder("clip", path=clip, resize="crop")):
        assert isinstance(encoder, ImageEncoder)
        assert encoder.resize == "crop"
