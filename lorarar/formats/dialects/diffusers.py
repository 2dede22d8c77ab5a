"""The layouts of diffusers and peft, old and current; all name layers with dots.

    old      [unet.]down_blocks.1.*.attn1.processor.to_q_lora.down.weight      (real files often lack "unet.")
    current  unet.down_blocks.1.*.attn1.to_q.lora.down.weight
             unet.down_blocks.1.*.attn1.to_q.lora_A.weight                     (since peft does the work)
             text_encoder.*.q_proj.lora_linear_layer.down.weight
    peft     base_model.model.<path>.lora_A[.default].weight, or bare <path>.lora_A.weight

alpha comes as a tensor beside a layer, or in the header's `lora_adapter_metadata`, or in peft's `adapter_config.json`,
or not at all. diffusers refuses a file that has both tensors and header; ComfyUI does not read the header. So a UNet's
file is written with the header, and a transformer's, which ComfyUI reads in these names, with the scale inside the
factors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from lorarar.formats.algorithms.roles import split
from lorarar.formats.naming.keys import Key, locate
from lorarar.formats.scaling import HEADER_KEY, config_of
from lorarar.lora import LoRA, LowRank, is_text_encoder
from lorarar.storage import FormatError

_OLD = re.compile(
    r"(?P<module>.+?)(?P<processor>\.processor|(?<=\.self_attn))\.to_(?P<name>\w+)_lora\."
    r"(?:(?P<part>down|up)\.weight|(?P<alpha>alpha))"
)
_ADAPTER = re.compile(r"\.default(?=\.|$)")  # the name that peft gives an adapter
_BEFORE_ALPHA = re.compile(r"\.lora(?:_linear_layer)?(?=\.alpha$)")
_OTHERS = ("diffusion_model.", "model.diffusion_model.", "text_encoders.", "lora_")
# Layers that lie in no block.
_TOP = ("conv_in", "conv_out", "x_embedder", "context_embedder", "proj_out", "img_in", "txt_in", "txt_norm")


def parse(key: str) -> Key | None:
    """What a key means, or None where it belongs to another dialect."""
    if old := _OLD.fullmatch(key):
        return _parse_old(old)
    divided = split(_BEFORE_ALPHA.sub("", _ADAPTER.sub("", key)))
    if divided is None or divided[0].startswith(_OTHERS):
        return None
    stem, role = divided
    model, path = locate(stem)
    if "." not in stem and path not in _TOP:
        return None  # one name alone is another dialect's, joined with underscores
    return Key(_dialect(key, stem, path), model, path, role)


def write(lora: LoRA, denoiser: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header in the current layout.

    Args:
        lora: What to write, of low-rank layers.
        denoiser: "unet" (ranks and alphas go into the header) or "transformer" (scales go into the factors A).
    """
    tensors: dict[str, Tensor] = {}
    models: dict[str, dict[str, LowRank]] = {}
    for layer, factors in low_rank_layers(lora).items():
        model, _, path = layer.partition(".") if is_text_encoder(layer) else (denoiser, "", layer)
        models.setdefault(model, {})[path] = factors
        down, up = shaped(factors)
        tensors[f"{model}.{path}.lora_A.weight"] = down if denoiser == "unet" else _scaled(down, factors.scale)
        tensors[f"{model}.{path}.lora_B.weight"] = up
    return tensors, ({HEADER_KEY: json.dumps(_prefixed(models), sort_keys=True)} if denoiser == "unet" else {})


def low_rank_layers(lora: LoRA) -> dict[str, LowRank]:
    """The LoRA's layers, all of which these layouts can hold.

    Raises:
        FormatError: Some are dense.
    """
    layers = {path: layer for path, layer in lora.layers.items() if isinstance(layer, LowRank)}
    dense = [path for path in lora.layers if path not in layers]
    if dense:
        raise FormatError(
            f"the layouts of diffusers and peft hold low-rank layers only, and {len(dense)} of {len(lora.layers)} "
            f"layers are dense, first {dense[:3]}: write with --format kohya, or make them low-rank with --rank N "
            f"or --energy (norms and biases have no factors)"
        )
    return layers


def shaped(layer: LowRank) -> tuple[Tensor, Tensor]:
    """A and B as files store them: 4-D for a convolution."""
    if not layer.kernel:
        return layer.A, layer.B
    return layer.A.reshape(layer.rank, -1, *layer.kernel), layer.B.reshape(*layer.B.shape, 1, 1)


def _parse_old(old: re.Match[str]) -> Key:
    model, path = locate(old["module"])
    if old["processor"]:
        name = "to_out.0" if old["name"] == "out" else f"to_{old['name']}"
    else:
        name = f"{old['name']}_proj"  # text encoders had q_proj, but the file says to_q
    return Key("diffusers (old)", model, f"{path}.{name}", old["part"] or old["alpha"])


def _dialect(key: str, stem: str, path: str) -> str:
    if key.startswith(("base_model.", path)) or ".default" in key[len(stem) :]:
        return "peft"
    return "diffusers"


def _scaled(down: Tensor, scale: float) -> Tensor:
    """A times the scale, exact where the scale is a power of two."""
    return down if scale == 1 else down.to(torch.promote_types(down.dtype, torch.float32)) * scale


def _prefixed(models: Mapping[str, Mapping[str, LowRank]]) -> dict[str, object]:
    return {f"{model}.{key}": value for model, layers in models.items() for key, value in config_of(layers).items()}
