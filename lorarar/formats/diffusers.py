"""The layouts of diffusers, old and current.

    old      [unet.]down_blocks.1.*.attn1.processor.to_q_lora.down.weight      (real files often lack "unet.")
    current  unet.down_blocks.1.*.attn1.to_q.lora.down.weight
             unet.down_blocks.1.*.attn1.to_q.lora_A.weight                     (since peft does the work)
             text_encoder.*.q_proj.lora_linear_layer.down.weight

alpha comes as a tensor beside a layer, or in the header's `lora_adapter_metadata`, or not at all. diffusers refuses a
file that has both, so only the header is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from torch import Tensor

from lorarar.formats.pairing import ROLES, Role, denoiser_prefix, strip_prefix
from lorarar.formats.scaling import HEADER_KEY, config_of
from lorarar.lora import LoRA, is_text_encoder
from lorarar.lowrank import LowRank

_MODELS = r"(?:unet|transformer|text_encoder|text_encoder_2|text_encoder_3)\."
_OLD = re.compile(r"^(?P<attention>.+)\.processor\.(?P<name>\w+)_lora\.(?:(?P<part>down|up)\.weight|(?P<alpha>alpha))$")
_CURRENT = (
    re.compile(r"^(?P<layer>.+)\.lora(?:_linear_layer)?\.(?P<part>down|up)\.weight$"),
    re.compile(rf"^(?P<layer>{_MODELS}.+)\.lora_(?P<part>[AB])\.weight$"),
    re.compile(r"^(?P<layer>.+?)(?:\.lora(?:_linear_layer)?)?\.(?P<part>alpha)$"),
)


def parse(key: str) -> tuple[str, Role] | None:
    """(layer path, role) of a key, or None where the key belongs to another dialect."""
    if key.startswith(("lora_", "diffusion_model.")):
        return None  # kohya and ComfyUI name the layers otherwise
    if old := _OLD.match(key):
        name = "to_out.0" if old["name"] == "to_out" else old["name"]
        return strip_prefix(f"{old['attention']}.{name}"), ROLES[old["part"] or "alpha"]
    for pattern in _CURRENT:
        if found := pattern.match(key):
            return strip_prefix(found["layer"]), ROLES[found["part"]]
    return None


def write(lora: LoRA) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header in the current layout, with every rank and alpha in the header, as diffusers reads them."""
    denoiser = denoiser_prefix(list(lora.layers))
    tensors: dict[str, Tensor] = {}
    models: dict[str, dict[str, LowRank]] = {}
    for layer, factors in lora.layers.items():
        model, _, path = layer.partition(".") if is_text_encoder(layer) else (denoiser, "", layer)
        models.setdefault(model, {})[path] = factors
        tensors[f"{model}.{path}.lora_A.weight"] = factors.A
        tensors[f"{model}.{path}.lora_B.weight"] = factors.B
    return tensors, {HEADER_KEY: json.dumps(_prefixed(models), sort_keys=True)}


def _prefixed(models: Mapping[str, Mapping[str, LowRank]]) -> dict[str, object]:
    return {f"{model}.{key}": value for model, layers in models.items() for key, value in config_of(layers).items()}
