"""diffusers and peft dialects, old and current: dotted layer names.

    old      [unet.]down_blocks.1.*.attn1.processor.to_q_lora.down.weight      (real files often lack "unet.")
    current  unet.down_blocks.1.*.attn1.to_q.lora.down.weight
             unet.down_blocks.1.*.attn1.to_q.lora_A.weight                     (since diffusers uses peft)
             text_encoder.*.q_proj.lora_linear_layer.down.weight
    peft     base_model.model.<path>.lora_A[.default].weight, or bare <path>.lora_A.weight

alpha is a tensor beside a layer, an entry in the header's `lora_adapter_metadata`, an entry in peft's
`adapter_config.json`, or absent. diffusers rejects a file with both tensors and header; ComfyUI does not read the
header. A UNet's file is therefore written with the header. A transformer's file, which ComfyUI reads with these names,
is written with the scale inside the factors, and with a header that says so (alpha = rank) if its ranks differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lorarar.formats.algorithms.roles import split_key
from lorarar.formats.naming.keys import Key, locate
from lorarar.formats.scaling import ADAPTER_METADATA_KEY, config_of
from lorarar.lora import LoRA, LowRank, is_text_encoder
from lorarar.storage import FormatError

_OLD = re.compile(
    r"(?P<module>.+?)(?P<processor>\.processor|(?<=\.self_attn))\.to_(?P<name>\w+)_lora\."
    r"(?:(?P<part>down|up)\.weight|(?P<alpha>alpha))"
)
_ADAPTER = re.compile(r"\.default(?=\.|$)")  # peft's default name of an adapter
_BEFORE_ALPHA = re.compile(r"\.lora(?:_linear_layer)?(?=\.alpha$)")
_OTHER_DIALECTS = ("diffusion_model.", "model.diffusion_model.", "text_encoders.", "lora_")
# diffusers loads no LoRA of T5. ComfyUI knows the encoder by this name alone.
_T5, _IN_T5 = "text_encoders.t5xxl.transformer", ("encoder.block.", "encoder.final_layer_norm", "shared")
# Layers outside the blocks.
_TOP = ("conv_in", "conv_out", "x_embedder", "context_embedder", "proj_out", "img_in", "txt_in", "txt_norm")


def parse(key: str) -> Key | None:
    """Parse a key; return None for a key of another dialect."""
    if old := _OLD.fullmatch(key):
        return _parse_old(old)
    parts = split_key(_BEFORE_ALPHA.sub("", _ADAPTER.sub("", key)))
    if parts is None or parts[0].startswith(_OTHER_DIALECTS):
        return None
    stem, role = parts
    model, path = locate(stem)
    if "." not in stem and path not in _TOP:
        return None  # a path without dots belongs to a dialect that joins names with underscores
    return Key(_dialect(key, stem, path), model, path, role)


def write(lora: LoRA, denoiser: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the header in the current dialect.

    Args:
        lora: The LoRA to write, with low-rank layers only.
        denoiser: "unet" (ranks and alphas go into the header) or "transformer" (scales go into the factors A, and
            ranks that differ into the header).

    Raises:
        FormatError: A layer is dense.
    """
    tensors: dict[str, Tensor] = {}
    models: dict[str, dict[str, LowRank]] = {}
    in_header = denoiser == "unet"
    for layer, factors in low_rank_layers(lora).items():
        model, _, path = layer.partition(".") if is_text_encoder(layer) else (denoiser, "", layer)
        down, up = stored_factors(factors)
        if in_header:
            models.setdefault(model, {})[path] = factors
        else:
            down = _scaled(down, factors.scale)
            models.setdefault(model, {})[path] = replace(factors, scale=1.0)
        stem = f"{_T5 if model != denoiser and path.startswith(_IN_T5) else model}.{path}"
        tensors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
    # Without the ranks in the header, diffusers before 0.42 scales each layer of a file of mixed ranks by the first
    # layer's rank over its own.
    ranks = {factors.rank for layers in models.values() for factors in layers.values()}
    if not in_header and len(ranks) < 2:
        return tensors, {}
    return tensors, {ADAPTER_METADATA_KEY: json.dumps(_prefixed(models), sort_keys=True)}


def low_rank_layers(lora: LoRA) -> dict[str, LowRank]:
    """Return the LoRA's layers after a check that all are low-rank.

    Raises:
        FormatError: A layer is dense.
    """
    layers = {path: layer for path, layer in lora.layers.items() if isinstance(layer, LowRank)}
    dense = [path for path in lora.layers if path not in layers]
    if dense:
        raise FormatError(
            f"the diffusers and peft dialects hold low-rank layers only, and {len(dense)} of {len(lora.layers)} "
            f'layers are dense, first {dense[:3]}: write with `format="kohya"`, or make them low-rank with `rank` '
            "or `energy` (norms and biases have no factors)"
        )
    return layers


def stored_factors(layer: LowRank) -> tuple[Tensor, Tensor]:
    """Return A and B in the shapes of a file: 4-D for a convolution."""
    if not layer.kernel:
        return layer.A, layer.B
    return layer.A.reshape(layer.rank, -1, *layer.kernel), layer.B.reshape(*layer.B.shape, 1, 1)


def _parse_old(old: re.Match[str]) -> Key:
    model, path = locate(old["module"])
    if old["processor"]:
        name = "to_out.0" if old["name"] == "out" else f"to_{old['name']}"
    else:
        name = f"{old['name']}_proj"  # the module is q_proj, but the key says to_q
    return Key("diffusers (old)", model, f"{path}.{name}", old["part"] or old["alpha"])


def _dialect(key: str, stem: str, path: str) -> str:
    if key.startswith(("base_model.", path)) or ".default" in key[len(stem) :]:
        return "peft"
    return "diffusers"


def factor_tensors(stem: str, layer: LowRank) -> dict[str, Tensor]:
    """Return the tensors of a layer, with the scale inside the factor A."""
    down, up = stored_factors(layer)
    return {f"{stem}.lora_A.weight": _scaled(down, layer.scale), f"{stem}.lora_B.weight": up}


def _scaled(down: Tensor, scale: float) -> Tensor:
    """Return A times the scale, which is exact for a power of two."""
    return down if scale == 1 else down.to(torch.promote_types(down.dtype, torch.float32)) * scale


def _prefixed(models: Mapping[str, Mapping[str, LowRank]]) -> dict[str, object]:
    return {f"{model}.{key}": value for model, layers in models.items() for key, value in config_of(layers).items()}
