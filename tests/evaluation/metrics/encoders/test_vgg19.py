"""VGG-19 gives what torchvision's layers give, and other weights are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoders.vgg19 import STAGES, Vgg19, load_vgg19
from lorarar.evaluation.metrics.measures import gram
from tests.evaluation.metrics.encoders.samples import is_near, noise


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
                assert is_near(maps[(1, 6, 11, 20, 29).index(index)], x)
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
