"""Layers that are trained: the linear layers and convolutions of a base that a recipe names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from lorarar.diffusion import Backbone, encoder_prefix
from lorarar.training.settings import Preset, Recipe

_ATTENTION = r"(.+\.)?(to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out)"
_BLOCKS = r"(.+\.)?(attentions|transformer_blocks|single_transformer_blocks)\..+"
_ALL = rf"{_BLOCKS}|(.+\.)?(resnets|downsamplers|upsamplers)\..+|conv_in|conv_out|time_embedding\.linear_[12]"
# Paths of the denoiser's layers in LyCORIS' presets.
_DENOISER: dict[Preset, str] = {"attn-only": _ATTENTION, "attn-mlp": _BLOCKS, "full": _ALL}
_ENCODER_ATTENTION = r".+\.self_attn\.(q_proj|k_proj|v_proj|out_proj)"


@dataclass(frozen=True, eq=False)
class TrainedLayer:
    """A layer that is trained.

    Attributes:
        path: Path as in `lorarar.lora.LoRA.layers`.
        module: The base's module.
        model: Name of its text encoder in the pipeline; "" for the denoiser.
        place: Path in that model.
    """

    path: str
    module: nn.Linear | nn.Conv2d
    model: str
    place: str

    @property
    def out(self) -> int:
        """Return the rows of the weight."""
        return self.module.weight.shape[0]

    @property
    def channels(self) -> int:
        """Return the input channels."""
        return self.module.weight.shape[1]

    @property
    def kernel(self) -> tuple[int, ...]:
        """Return (height, width) of a convolution's kernel; () for a linear layer."""
        return tuple(self.module.weight.shape[2:])

    @property
    def is_wide(self) -> bool:
        """Tell whether the layer is a convolution larger than 1 x 1."""
        return math.prod(self.kernel) > 1

    def weight(self) -> Tensor:
        """Return the base's weight, (out, in) flattened, in float32."""
        return self.module.weight.detach().flatten(1).float()


def trained_layers(backbone: Backbone, recipe: Recipe) -> list[TrainedLayer]:
    """Return the layers that a recipe trains, those of the denoiser first.

    Raises:
        ValueError: The base has no such layer.
    """
    layers = denoiser_layers(backbone.denoiser, recipe)
    return layers + (list(_encoder_layers(backbone, recipe)) if recipe.text_encoders else [])


def denoiser_layers(denoiser: nn.Module, recipe: Recipe) -> list[TrainedLayer]:
    """Return the layers of a denoiser that a recipe trains; the weights may be on the meta device.

    Raises:
        ValueError: There is no such layer.
    """
    layers = [TrainedLayer(path, module, "", path) for path, module in _modules(denoiser, _pattern(recipe))]
    if recipe.preset == "attn-mlp":
        layers = [layer for layer in layers if not layer.is_wide]
    if not layers:
        raise ValueError(
            f"expected layers named {list(recipe.targets)} in the base, found none: check recipe.targets"
            if recipe.preset is None
            else f"expected a base with layers of the preset {recipe.preset}, found none: name them in recipe.targets"
        )
    return layers


def _pattern(recipe: Recipe) -> str:
    if recipe.preset is not None:
        return _DENOISER[recipe.preset]
    return rf".+\.({'|'.join(map(re.escape, recipe.targets))})"


def _encoder_layers(backbone: Backbone, recipe: Recipe) -> Iterator[TrainedLayer]:
    wide = recipe.preset in ("attn-mlp", "full")
    pattern = rf"{_ENCODER_ATTENTION}|.+\.mlp\.fc[12]" if wide else _ENCODER_ATTENTION
    for name, encoder in backbone.encoders.items():
        for place, module in _modules(encoder, pattern):
            yield TrainedLayer(encoder_prefix(name, encoder) + place, module, name, place)


def _modules(model: nn.Module, pattern: str) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """Yield the linear layers and the convolutions of one group whose paths match."""
    for path, module in model.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d) or not re.fullmatch(pattern, path):
            continue
        if isinstance(module, nn.Linear) or (module.groups == 1 and module.padding_mode == "zeros"):
            yield path, module
