"""Encoders from transformers: CLIP, DINOv2, and the SigLIP vision tower of a LLaVA."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Model,
    LlavaForConditionalGeneration,
)

from lorarar.evaluation.metrics.encoders.choice import Resize
from lorarar.evaluation.metrics.encoders.likeness import Likeness
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray
from lorarar.evaluation.metrics.encoders.resizing import Canvas
from lorarar.storage import local_path, sha256

_CLIP_NORM = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_IMAGENET_NORM = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_DINO_SIZE = 224  # the usual size for features; the configuration names 518, the size of the last training phase
_DINO_LAYERS = 4  # number of layers with feature maps, evenly spaced
_TEXT_BATCH = 64
_HUB_FILES = ["*.json", "*.safetensors", "*.txt"]  # configuration, weights, vocabulary


@dataclass(frozen=True)
class Tower:
    """The vision tower of a LLaVA: features are the mean of the tokens that its language model receives.

    Attributes:
        likeness: The images that it knows; None where that was not measured.
    """

    canvas: Canvas
    model: Any
    sha256: str
    name: str = "tower"
    likeness: Likeness | None = None

    @property
    def resize(self) -> str:
        """How images are brought to the size of the encoder."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> FeatureArray:
        """Return features (n, width)."""
        return self.canvas.run(images, lambda inputs: self._states(inputs)[-1].mean(1))

    def feature_maps(self, images: Sequence[Image.Image]) -> list[FeatureArray]:
        """Return the tokens after each layer as maps (n, width, rows, columns)."""
        return self.canvas.run_maps(
            images,
            lambda inputs: [_as_map(states, inputs, self.canvas.multiple) for states in self._states(inputs)[1:]],
        )

    def are_unlike(self, rows: FeatureArray) -> NDArray[np.bool_]:
        """Tell of each row of features (n, width) whether its image is unlike those that the tower knows: (n,)."""
        return np.zeros(len(rows), bool) if self.likeness is None else self.likeness.are_unlike(rows)

    def to(self, device: str) -> Self:
        """Return the encoder on a device."""
        return replace(self, canvas=replace(self.canvas, device=device), model=self.model.to(device))

    def _states(self, inputs: Tensor) -> Sequence[Tensor]:
        output = self.model(inputs, output_hidden_states=True, interpolate_pos_encoding=True)
        states: Sequence[Tensor] = output.hidden_states
        return states


@dataclass(frozen=True)
class Dinov2:
    """DINOv2: features are the class token after the last norm, maps are the patch tokens after some layers."""

    canvas: Canvas
    model: Any
    sha256: str
    name: str = "dinov2"

    @property
    def resize(self) -> str:
        """How images are brought to the size of the encoder."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> FeatureArray:
        """Return features (n, width)."""
        return self.canvas.run(images, lambda inputs: self.model(inputs).pooler_output)

    def feature_maps(self, images: Sequence[Image.Image]) -> list[FeatureArray]:
        """Return the patch tokens after up to four layers, evenly spaced, as maps (n, width, rows, columns)."""
        return self.canvas.run_maps(images, self._maps)

    def to(self, device: str) -> Self:
        """Return the encoder on a device."""
        return replace(self, canvas=replace(self.canvas, device=device), model=self.model.to(device))

    def _maps(self, inputs: Tensor) -> list[Tensor]:
        states = self.model(inputs, output_hidden_states=True).hidden_states[1:]
        step = max(1, len(states) // _DINO_LAYERS)
        return [_as_map(tokens[:, 1:], inputs, self.canvas.multiple) for tokens in states[step - 1 :: step]]


@dataclass(frozen=True)
class Clip:
    """CLIP: an encoder of images and texts in one space."""

    canvas: Canvas
    model: Any
    tokenizer: Any
    sha256: str
    name: str = "clip"

    @property
    def resize(self) -> str:
        """How images are brought to the size of the encoder."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> FeatureArray:
        """Return features (n, projection)."""
        return self.canvas.run(
            images,
            lambda inputs: self.model.get_image_features(inputs, interpolate_pos_encoding=True).pooler_output,
        )

    def encode_texts(self, texts: Sequence[str]) -> FeatureArray:
        """Return features (n, projection); longer texts than the model takes are cut.

        Raises:
            ValueError: There are no texts.
        """
        if not texts:
            raise ValueError("expected texts, found none")
        rows = []
        for start in range(0, len(texts), _TEXT_BATCH):
            batch = self.tokenizer(
                list(texts[start : start + _TEXT_BATCH]),
                padding=True,
                truncation=True,
                max_length=self.longest_text,
                return_tensors="pt",
            )
            with torch.inference_mode():
                output = self.model.get_text_features(
                    input_ids=batch["input_ids"].to(self.canvas.device),
                    attention_mask=batch["attention_mask"].to(self.canvas.device),
                )
            rows.append(output.pooler_output.float().cpu())
        features: FeatureArray = torch.cat(rows).numpy()
        return features

    @property
    def longest_text(self) -> int:
        """Tokens that a text may have, its first and last token included: 77 for the published models."""
        return int(self.model.config.text_config.max_position_embeddings)

    def are_cut(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether it is longer than that."""
        # Truncation that is far off keeps the tokeniser from warning about long texts.
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.longest_text + 1)["input_ids"]
        return [len(row) > self.longest_text for row in tokens]

    def to(self, device: str) -> Self:
        """Return the encoder on a device."""
        return replace(self, canvas=replace(self.canvas, device=device), model=self.model.to(device))


def load_tower(path: str | Path, resize: Resize, likeness: Likeness | None = None) -> Tower:
    """Load the vision tower of a LLaVA from a folder or by its hub id.

    Args:
        path: The folder or hub id.
        resize: How images are brought to its size.
        likeness: The images that it knows.

    Raises:
        OSError: There is no model.
        ValueError: The model has no safetensors.
    """
    folder = local_path(path, _HUB_FILES)
    model: Any = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    vision = model.config.vision_config
    canvas = Canvas(vision.image_size, vision.patch_size, resize, *_normalisation(folder, ((0.5,) * 3, (0.5,) * 3)))
    return Tower(canvas, model.model.vision_tower.eval(), weights_hash(folder), likeness=likeness)


def load_dinov2(path: str | Path, resize: Resize) -> Dinov2:
    """Load DINOv2 from a folder or by its hub id.

    Raises:
        OSError: There is no model.
        ValueError: The model has no safetensors.
    """
    folder = local_path(path, _HUB_FILES)
    model: Any = Dinov2Model.from_pretrained(folder, dtype=torch.float32)
    size = min(_DINO_SIZE, model.config.image_size)
    canvas = Canvas(size, model.config.patch_size, resize, *_normalisation(folder, _IMAGENET_NORM))
    return Dinov2(canvas, model.eval(), weights_hash(folder))


def load_clip(path: str | Path, resize: Resize) -> Clip:
    """Load CLIP from a folder or by its hub id.

    Raises:
        OSError: There is no model.
        ValueError: The model has no safetensors.
    """
    folder = local_path(path, _HUB_FILES)
    model: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    vision = model.config.vision_config
    canvas = Canvas(vision.image_size, vision.patch_size, resize, *_normalisation(folder, _CLIP_NORM))
    return Clip(canvas, model.eval(), AutoTokenizer.from_pretrained(folder), weights_hash(folder))


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 of the safetensors file of a folder; of the joined hashes where there are several files.

    Raises:
        ValueError: There are no safetensors. Pickled weights are not read, because they could run code.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"expected weights as *.safetensors in {folder}, found none: save or download them as such")
    hashes = [sha256(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _normalisation(
    folder: Path, default: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of the channels from the processor of the folder, else the default."""
    if not any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")):
        return default
    settings = CLIPImageProcessorPil.get_image_processor_dict(folder)[0]
    return tuple(settings.get("image_mean", default[0])), tuple(settings.get("image_std", default[1]))


def _as_map(tokens: Tensor, inputs: Tensor, patch: int) -> Tensor:
    """Reshape tokens (n, rows x columns, width) of inputs (n, 3, height, width) to (n, width, rows, columns)."""
    rows, columns = (side // patch for side in inputs.shape[2:])
    return tokens.transpose(1, 2).reshape(len(tokens), -1, rows, columns)
