"""VGG-19: its sixteen convolutions, for Gram matrices. The user provides the weights.

Reference: Simonyan and Zisserman, "Very Deep Convolutional Networks", arXiv 1409.1556, configuration E.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lorarar.evaluation.metrics.encoders.choice import Resize
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray
from lorarar.evaluation.metrics.encoders.resizing import Canvas
from lorarar.storage import sha256

STAGES = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
_SIZE = 224
_LEAST = 16  # pixels, because four poolings halve the sides
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Vgg19(nn.Module):
    """A network from inputs (n, 3, height, width) to the maps of conv1_1, conv2_1, .., conv5_1 after their ReLU.

    The layers have the names of torchvision's file: ``features.0.weight`` belongs to conv1_1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict()
        self.first: list[int] = []
        index, channels = 0, 3
        for stage in STAGES:
            self.first.append(index)
            for width in stage:
                self.features[str(index)] = nn.Conv2d(channels, width, 3, padding=1)
                index, channels = index + 2, width  # a ReLU follows
            index += 1  # a pooling follows each stage

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Return the five maps (n, 64, h, w), (n, 128, h/2, w/2), .., (n, 512, h/16, w/16)."""
        maps, x = [], inputs
        last = self.first[-1]
        for name, layer in self.features.items():
            index = int(name)
            if index in self.first[1:]:
                x = nn.functional.max_pool2d(x, 2)
            x = nn.functional.relu(layer(x))
            if index in self.first:
                maps.append(x)
            if index == last:
                break
        return maps


@dataclass(frozen=True)
class Vgg19Encoder:
    """VGG-19 as an encoder: features are the means of the 1472 channels of the five maps."""

    canvas: Canvas
    model: Vgg19
    sha256: str
    name: str = "vgg19"

    @property
    def resize(self) -> str:
        """How images are brought to 224 pixels."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> FeatureArray:
        """Return features (n, 1472)."""
        return self.canvas.run(
            images, lambda inputs: torch.cat([maps.mean((2, 3)) for maps in self.model(inputs)], dim=1)
        )

    def feature_maps(self, images: Sequence[Image.Image]) -> list[FeatureArray]:
        """Return the five maps, see `Vgg19.forward`."""
        return self.canvas.run_maps(images, self.model)

    def to(self, device: str) -> Self:
        """Return the encoder on a device."""
        return replace(self, canvas=replace(self.canvas, device=device), model=self.model.to(device))


def load_vgg19(path: Path, resize: Resize, *, size: int = _SIZE) -> Vgg19Encoder:
    """Load VGG-19 with the weights of a safetensors file.

    Args:
        path: A file with torchvision's names. The weights of the classifier are ignored.
        resize: See `lorarar.evaluation.metrics.encoders.resizing.Canvas`.
        size: Length of the shorter side, in pixels.

    Raises:
        ValueError: The file does not exist, lacks a layer or has a layer of another shape.
    """
    if size < _LEAST:
        raise ValueError(f"expected a size of at least {_LEAST} pixels, found {size}: choose a larger size")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"expected VGG-19's weights as a safetensors file at {path}, could not read one ({error}): save the state "
            "dict of torchvision's vgg19 with safetensors"
        ) from error
    model = Vgg19()
    expected = model.state_dict()
    wrong = [name for name, value in expected.items() if name not in tensors or tensors[name].shape != value.shape]
    if wrong:
        raise ValueError(
            f"{path}: expected the layers of VGG-19 under torchvision's names, found no {wrong[:3]} of the right "
            "shape: save the state dict of torchvision's vgg19"
        )
    model.load_state_dict({name: tensors[name].float() for name in expected})
    return Vgg19Encoder(Canvas(size, 1, resize, _MEAN, _STD), model.eval(), sha256(path))
