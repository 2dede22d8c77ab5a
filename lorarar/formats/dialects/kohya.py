"""kohya dialect, the most common: `lora_unet_<path with underscores>.lora_down.weight`.

    lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q       SDXL, sgm block names
    lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_...    SD 1 and 2, diffusers block names
    lora_te_text_model_..., lora_te1_text_model_..., lora_te2_...    text encoders
    lora_transformer_..., lycoris_..., oft_unet_...                  OneTrainer, SimpleTuner, kohya's OFT

FLUX, SD3 and Z-Image are written with the authors' names (double_blocks, joint_blocks, attention.qkv), which kohya's
trainer and ComfyUI use. Each layer has a tensor alpha, which is the same in all layers. The keys `.diff`, `.diff_b`,
`.w_norm` and `.b_norm` of LyCORIS hold dense deltas.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lorarar.formats.algorithms.roles import split_key, suffix_of
from lorarar.formats.dialects.diffusers import stored_factors
from lorarar.formats.naming import blocks
from lorarar.formats.naming.fusing import fuse_layers
from lorarar.formats.naming.keys import Key
from lorarar.formats.naming.originals import kohya_scheme
from lorarar.formats.naming.vocabulary import dotted_path
from lorarar.formats.scaling import alpha_of
from lorarar.lora import Dense, Layer, LoRA, LowRank, is_text_encoder
from lorarar.lora.families import Family, UNetShape
from lorarar.storage import FormatError

_PREFIX = re.compile(r"(?P<name>lora_unet|lora_transformer|lora_te[123]?|oft_unet|lycoris)[_.](?P<path>.+)")
_MODELS = {"lora_te": "text_encoder", "lora_te1": "text_encoder", "lora_te2": "text_encoder_2"}
_MODELS |= {"lora_te3": "text_encoder_3"}
_DIALECTS = {"lora_transformer": "OneTrainer", "lycoris": "SimpleTuner"}
# Some files have diffusers keys in which underscores replace all dots but the last.
_MALFORMED = re.compile(r"lora_unet_unet_(?P<path>.+?)(?:_lora)?(?:_(?P<part>down|up)\.weight|\.(?P<alpha>alpha))")


def parse(key: str) -> Key | None:
    """Parse a key; return None for a key of another dialect."""
    if malformed := _MALFORMED.fullmatch(key):
        path = dotted_path(re.sub(r"to_out$", "to_out_0", malformed["path"].replace("processor_", "")))
        return Key("malformed kohya", "", path, malformed["part"] or malformed["alpha"]) if path else None
    parts = split_key(key)
    fields = _PREFIX.fullmatch(parts[0]) if parts else None
    if parts is None or fields is None:
        return None
    path = dotted_path(fields["path"].replace(".", "_"))
    if path is None:
        return None
    return Key(_DIALECTS.get(fields["name"], "kohya"), _MODELS.get(fields["name"], ""), path, parts[1])


def write(lora: LoRA, family: Family | None) -> dict[str, Tensor]:
    """Return the tensors of a file: sgm block names for SDXL, the authors' names for FLUX and SD3.

    Raises:
        FormatError: The dialect has no name for a layer.
    """
    return tensors_of(_named(lora.layers, family), lambda module: _stem(module, family))


def tensors_of(named: Mapping[str, Layer], name: Callable[[str], str]) -> dict[str, Tensor]:
    """Return the tensors of layers, with the endings of this dialect and one alpha.

    Args:
        named: Path -> layer; the path of a bias ends in ".bias".
        name: Returns the part of the keys that names a layer.
    """
    tensors: dict[str, Tensor] = {}
    alpha = _common_alpha(named.values())
    for path, layer in named.items():
        stem = name(path.removesuffix(".bias"))
        if isinstance(layer, LowRank):
            tensors |= _low_rank(stem, _with_alpha(layer, alpha))
        else:
            tensors[f"{stem}.{_dense_role(path, named)}"] = _stored(layer)
    return tensors


def write_parts(parts: Mapping[str, Mapping[str, Tensor]], family: Family | None, *, unet: bool) -> dict[str, Tensor]:
    """Return the tensors of a file that holds parts of any algorithm as they are, as LyCORIS writes them.

    Args:
        parts: Layer path -> role -> tensor, in the shape of files.
        family: Family of the base.
        unet: Whether the base's denoiser is a UNet. Transformers get diffusers names with LyCORIS' own prefix, since
            their parts cannot be fused.

    Raises:
        FormatError: The dialect has no name for a layer.
    """
    tensors: dict[str, Tensor] = {}
    for path, roles in parts.items():
        text = is_text_encoder(path)
        stem = _stem(path, family) if unet or text else f"lycoris_{path.replace('.', '_')}"
        tensors |= {f"{stem}.{suffix_of(role)}": tensor for role, tensor in roles.items()}
    return tensors


def _named(layers: Mapping[str, Layer], family: Family | None) -> Mapping[str, Layer]:
    """Return the layers under the paths whose dots become underscores."""
    scheme = kohya_scheme(family.key) if family else None
    if scheme is None:
        return layers
    text = {path: layer for path, layer in layers.items() if is_text_encoder(path)}
    try:
        return fuse_layers({path: layer for path, layer in layers.items() if path not in text}, scheme) | text
    except ValueError as error:
        raise FormatError(str(error)) from error


def _stem(path: str, family: Family | None) -> str:
    """Return the layer's part of its keys, up to the first dot."""
    if is_text_encoder(path):
        model, _, rest = path.partition(".")
        return f"{_text_prefix(model, family)}_{rest.replace('.', '_')}"
    name: str | None = path
    if family and family.key == "sdxl" and isinstance(family.shape, UNetShape):
        name = blocks.to_sgm(path, family.shape)
    if name is None:
        raise FormatError(f'layer {path} is not in SDXL\'s blocks: write the LoRA with `format="diffusers"`')
    return f"lora_unet_{name.replace('.', '_')}"


def _text_prefix(model: str, family: Family | None) -> str:
    if family and len(family.shape.text) == 1:
        return "lora_te"  # kohya does not number a single text encoder
    if family and family.key == "flux" and model == "text_encoder_2":
        return "lora_te3"  # T5, which is the third encoder in other models
    return {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2", "text_encoder_3": "lora_te3"}[model]


def _common_alpha(layers: Iterable[Layer]) -> float:
    """Return the most frequent alpha."""
    alphas = Counter(alpha_of(layer) for layer in layers if isinstance(layer, LowRank))
    return alphas.most_common(1)[0][0] if alphas else 1.0


def _with_alpha(layer: LowRank, alpha: float) -> LowRank:
    """Return the same delta with this alpha. Its factor A absorbs the difference.

    diffusers 0.42 applies the most frequent alpha of a kohya file to all attention layers, so a file gets one alpha.
    """
    own = alpha_of(layer)
    if own == alpha:
        return layer
    return replace(layer, A=layer.A.float() * (own / alpha), scale=alpha / layer.rank)


def _low_rank(stem: str, layer: LowRank) -> dict[str, Tensor]:
    down, up = stored_factors(layer)
    return {
        f"{stem}.lora_down.weight": down,
        f"{stem}.lora_up.weight": up,
        f"{stem}.alpha": torch.tensor(alpha_of(layer), dtype=torch.float32),
    }


def _stored(layer: Dense) -> Tensor:
    if not layer.kernel:
        return layer.tensor
    return layer.tensor.reshape(layer.shape[0], -1, *layer.kernel)


def _dense_role(path: str, layers: Mapping[str, Layer]) -> str:
    module = path.removesuffix(".bias")
    weight = layers.get(module)
    norm = len(weight.shape) == 1 if weight is not None else "norm" in module.rpartition(".")[2]
    if path == module:
        return "w_norm" if norm else "diff"
    return "b_norm" if norm else "diff_b"
