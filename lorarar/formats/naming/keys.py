"""What a key of a file means: a layer of a model, and the part of it that the tensor is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lorarar.lora import TEXT_ENCODERS


@dataclass(frozen=True)
class Key:
    """One key of a LoRA file.

    Args:
        dialect: The dialect that the key is written in.
        model: "" for the denoiser, else "text_encoder", "text_encoder_2" or "text_encoder_3".
        path: The layer's dotted path in that model, in the file's own names.
        role: The part of the layer's delta, as `lorarar.formats.algorithms` names it.
    """

    dialect: str
    model: str
    path: str
    role: str


_NO_LAYER = re.compile(r"^(?:base_model\.model\.|model\.(?=diffusion_model)|unet\.|transformer\.)+")


def locate(path: str) -> tuple[str, str]:
    """(model, path in it) of a dotted path: without "unet.", "transformer.", "base_model.model.", also when repeated.

    peft's adapter of a text encoder does not say which one it is for: it is taken for the first.

    >>> locate("base_model.model.unet.mid_block.attentions.0.proj_in")
    ('', 'mid_block.attentions.0.proj_in')
    """
    path = _NO_LAYER.sub("", path)
    model, _, rest = path.partition(".")
    if model == "text_model":
        return "text_encoder", path
    return (model, text_path(rest)) if model in TEXT_ENCODERS and rest else ("", path)


def text_path(path: str) -> str:
    """A text encoder's path with "text_model.", which transformers 5 leaves out.

    >>> text_path("encoder.layers.0.self_attn.q_proj")
    'text_model.encoder.layers.0.self_attn.q_proj'
    """
    bare = path.startswith(("encoder.layers.", "embeddings.", "final_layer_norm"))
    return f"text_model.{path}" if bare else path


def layer_path(model: str, path: str) -> str:
    """The path under which a LoRA holds the layer."""
    return f"{model}.{path}" if model else path
