"""Keys: the model, the layer and the part of the layer to which a tensor belongs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lorarar.lora import TEXT_ENCODERS


@dataclass(frozen=True)
class Key:
    """Meaning of one key in a LoRA file.

    Attributes:
        dialect: Dialect of the key.
        model: "" for the denoiser, else "text_encoder", "text_encoder_2" or "text_encoder_3".
        path: Dotted path of the layer in this model, with the file's names.
        role: Part of the layer's delta, as named in `lorarar.formats.algorithms.roles`.
    """

    dialect: str
    model: str
    path: str
    role: str


_MODEL_PREFIX = re.compile(r"^(?:base_model\.model\.|model\.(?=diffusion_model)|unet\.|transformer\.)+")


def locate(path: str) -> tuple[str, str]:
    """Return (model, path in the model) for a dotted path, without "unet.", "transformer." and "base_model.model.".

    These prefixes are removed even if they are repeated. A peft adapter for a text encoder does not name the encoder;
    it is assigned to the first.

    >>> locate("base_model.model.unet.mid_block.attentions.0.proj_in")
    ('', 'mid_block.attentions.0.proj_in')
    """
    path = _MODEL_PREFIX.sub("", path)
    model, _, rest = path.partition(".")
    if model == "text_model":
        return "text_encoder", path
    return (model, text_path(rest)) if model in TEXT_ENCODERS and rest else ("", path)


def text_path(path: str) -> str:
    """Return a text encoder's path with "text_model.", which transformers 5 omits.

    >>> text_path("encoder.layers.0.self_attn.q_proj")
    'text_model.encoder.layers.0.self_attn.q_proj'
    """
    bare = path.startswith(("encoder.layers.", "embeddings.", "final_layer_norm"))
    return f"text_model.{path}" if bare else path


def layer_path(model: str, path: str) -> str:
    """Return the path of a layer in a `LoRA`."""
    return f"{model}.{path}" if model else path
