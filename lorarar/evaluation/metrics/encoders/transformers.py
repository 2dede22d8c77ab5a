"""Encoders that transformers loads: CLIP, DINOv2, and the SigLIP tower of a LLaVA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Model,
    LlavaForConditionalGeneration,
)

from lorarar.evaluation.metrics.encoders.protocols import Array
from lorarar.evaluation.metrics.encoders.resizing import Canvas, Resize
from lorarar.evaluation.metrics.encoders.weights import local_folder, weights_hash

_CLIP_NORM = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_IMAGENET_NORM = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_DINO_SIZE = 224  # what its features are commonly computed at; its weights say 518, the size it was trained on last
_DINO_LAYERS = 4  # how many layers' maps are used, evenly spaced
_TEXT_BATCH = 64


@dataclass(frozen=True)
class Tower:
    """The vision tower of a LLaVA: the mean of the tokens that its language model is shown.

    Attributes:
        model: the tower, which gives the hidden states of all layers.
    """

    canvas: Canvas
    model: Any
    sha256: str
    name: str = "tower"

    @property
    def resize(self) -> str:
        """How images are brought to its size."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> Array:
        """Features (n, width)."""
        return self.canvas.run(images, lambda inputs: self._states(inputs)[-1].mean(1))

    def feature_maps(self, images: Sequence[Image.Image]) -> list[Array]:
        """The tokens after each layer as maps (n, width, rows, columns)."""
        return self.canvas.run_maps(
            images,
            lambda inputs: [_as_map(states, inputs, self.canvas.multiple) for states in self._states(inputs)[1:]],
        )

    def _states(self, inputs: Tensor) -> Sequence[Tensor]:
        found: Sequence[Tensor] = self.model(
            inputs, output_hidden_states=True, interpolate_pos_encoding=True
        ).hidden_states
        return found


@dataclass(frozen=True)
class Dinov2:
    """DINOv2: the class token after the last norm; its maps are the patches' tokens after some layers."""

    canvas: Canvas
    model: Any
    sha256: str
    name: str = "dinov2"

    @property
    def resize(self) -> str:
        """How images are brought to its size."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> Array:
        """Features (n, width)."""
        return self.canvas.run(images, lambda inputs: self.model(inputs).pooler_output)

    def feature_maps(self, images: Sequence[Image.Image]) -> list[Array]:
        """The patches' tokens after up to four layers, evenly spaced, as maps (n, width, rows, columns)."""
        return self.canvas.run_maps(images, self._maps)

    def _maps(self, inputs: Tensor) -> list[Tensor]:
        states = self.model(inputs, output_hidden_states=True).hidden_states[1:]
        step = max(1, len(states) // _DINO_LAYERS)
        return [_as_map(tokens[:, 1:], inputs, self.canvas.multiple) for tokens in states[step - 1 :: step]]


@dataclass(frozen=True)
class Clip:
    """CLIP: images and texts in one space."""

    canvas: Canvas
    model: Any
    tokenizer: Any
    sha256: str
    name: str = "clip"

    @property
    def resize(self) -> str:
        """How images are brought to its size."""
        return self.canvas.resize

    def encode_images(self, images: Sequence[Image.Image]) -> Array:
        """Features (n, projection)."""
        return self.canvas.run(
            images,
            lambda inputs: self.model.get_image_features(inputs, interpolate_pos_encoding=True).pooler_output,
        )

    def encode_texts(self, texts: Sequence[str]) -> Array:
        """Features (n, projection); texts beyond the model's length are cut.

        Raises:
            ValueError: no texts.
        """
        if not texts:
            raise ValueError("expected texts, found none")
        limit = self.model.config.text_config.max_position_embeddings
        rows = []
        for start in range(0, len(texts), _TEXT_BATCH):
            batch = self.tokenizer(
                list(texts[start : start + _TEXT_BATCH]),
                padding=True,
                truncation=True,
                max_length=limit,
                return_tensors="pt",
            )
            with torch.inference_mode():
                found = self.model.get_text_features(
                    input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
                )
            rows.append(found.pooler_output.float())
        features: Array = torch.cat(rows).numpy()
        return features


def load_tower(path: Path, resize: Resize) -> Tower:
    """The vision tower of a LLaVA in a folder.

    Raises:
        OSError: there is no model.
        ValueError: it has no safetensors.
    """
    model: Any = LlavaForConditionalGeneration.from_pretrained(path, dtype=torch.float32)
    vision = model.config.vision_config
    canvas = Canvas(vision.image_size, vision.patch_size, resize, *_norm(path, ((0.5,) * 3, (0.5,) * 3)))
    return Tower(canvas, model.model.vision_tower.eval(), weights_hash(path))


def load_dinov2(path: str, resize: Resize) -> Dinov2:
    """DINOv2 from a folder or by its hub id.

    Raises:
        OSError: there is no model.
        ValueError: it has no safetensors.
    """
    folder = local_folder(path)
    model: Any = Dinov2Model.from_pretrained(folder, dtype=torch.float32)
    canvas = Canvas(
        min(_DINO_SIZE, model.config.image_size), model.config.patch_size, resize, *_norm(folder, _IMAGENET_NORM)
    )
    return Dinov2(canvas, model.eval(), weights_hash(folder))


def load_clip(path: str, resize: Resize) -> Clip:
    """CLIP from a folder or by its hub id.

    Raises:
        OSError: there is no model.
        ValueError: it has no safetensors.
    """
    folder = local_folder(path)
    model: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    vision = model.config.vision_config
    canvas = Canvas(vision.image_size, vision.patch_size, resize, *_norm(folder, _CLIP_NORM))
    return Clip(canvas, model.eval(), AutoTokenizer.from_pretrained(folder), weights_hash(folder))


def _norm(folder: Path, usual: tuple[tuple[float, ...], tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    """Mean and deviation of the channels as the folder's processor says, else the usual ones."""
    if not any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")):
        return usual
    found = CLIPImageProcessorPil.get_image_processor_dict(folder)[0]
    return tuple(found.get("image_mean", usual[0])), tuple(found.get("image_std", usual[1]))


def _as_map(tokens: Tensor, inputs: Tensor, patch: int) -> Tensor:
    """Tokens (n, rows x columns, width) of inputs (n, 3, height, width) as (n, width, rows, columns)."""
    rows, columns = (side // patch for side in inputs.shape[2:])
    return tokens.transpose(1, 2).reshape(len(tokens), -1, rows, columns)
