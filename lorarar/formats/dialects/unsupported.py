"""Unsupported files: adapters that are no LoRA, known by their keys, and LoRAs for a model with another input.

A LoRA's delta is added to a weight of the base. A control LoRA also has layers that read a control image, or widens the
base's input for it; whole weights take the place of the base's. Neither can be added to another LoRA.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lorarar.formats.stored import StoredLayer

_BESIDE = "use it beside the merged LoRA, not in it"
_WHOLE = "which take the place of the base's weights, so that they cannot be added to another LoRA's"
# Pattern of a key -> what the file is, and what to do. The first pattern that matches a key decides.
_KINDS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), kind, remedy)
    for pattern, kind, remedy in (
        (r"lora_controlnet", "a control LoRA (Stability's), which holds layers of a ControlNet", _BESIDE),
        (r"lllite_\w+\..+", "a ControlNet-LLLite", _BESIDE),
        (
            r"(?:control_model|controlnet\w*|control_\w+|zero_convs|input_hint_block|middle_block_out)\..+",
            "a ControlNet",
            _BESIDE,
        ),
        (r"(?:ip_adapter|image_proj)\..+|\d+\.to_\w+_lora\..+|.+\.to_[kv]_ip\..+", "an IP-Adapter", _BESIDE),
        (r".+\.processor\.\w+_loras\.\d+\..+", "a control LoRA (EasyControl's)", _BESIDE),
        (
            r".+(?:_norm\.scale(?:\.set_weight)?|norm\w*\.set_weight|\.norm_(?:added_)?[qk]\.weight)",
            f"whole norm scales beside a LoRA (as FLUX.1's control LoRAs have them), {_WHOLE}",
            _BESIDE,
        ),
        (
            r".+\.(?:set_weight|modules_to_save\..+|base_layer\..+)",
            f"whole weights beside a LoRA, {_WHOLE}",
            "save the LoRA without them",
        ),
        (
            r".+\.(?:lora_(?:up|down)|qweight|wscales|smooth_factor\w*)",
            "a LoRA packed for a quantised base (SVDQuant)",
            "take the LoRA before it was packed",
        ),
    )
)
_PLAIN = re.compile(r".+\.(?:weight|bias|scale)")
_FACTOR = re.compile(r".+[._](?:lora_?(?:A|B|up|down)|lora\.(?:up|down)|(?:hada|lokr)_w\w+)\b.*")
# Family -> (input layer, its channels).
_INPUTS: Mapping[str, tuple[str, int]] = {"flux": ("x_embedder", 64), "chroma": ("x_embedder", 64)}
# Columns of a UNet's input layer, 3 x 3, with further channels -> what the model is for.
_WIDE_UNETS: Mapping[int, str] = {8 * 9: "editing by instruction", 9 * 9: "inpainting"}


def unsupported_kind(unknown: Sequence[str], names: Sequence[str]) -> str:
    """Return what a file with unknown keys is and what to do; "" if that is not known.

    Args:
        unknown: Keys of no supported dialect.
        names: All keys of the file.
    """
    for pattern, kind, remedy in _KINDS:
        matching = [name for name in names if pattern.fullmatch(name)]
        if matching:
            return f"found {kind} ({_count(matching, names)}): {remedy}"
    factors = [name for name in names if _FACTOR.fullmatch(name)]
    whole = [name for name in unknown if _PLAIN.fullmatch(name) and name not in factors]
    if factors and len(whole) == len(unknown):
        return f"found whole weights beside a LoRA ({_count(whole, names)}), {_WHOLE}: save the LoRA without them"
    return ""


def check_layers(family: str, layers: Mapping[str, StoredLayer], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return warnings about layers that only a variant of the family's model has.

    Args:
        family: A key of `lorarar.lora.families.FAMILIES`, or "".
        layers: Path -> stored layer.
        shapes: Layer path -> shape of its delta, (out, in) with flattened convolutions; () if it is unknown.

    Raises:
        ValueError: Norm scales are whole ones, which lie around 1, rather than differences, which lie around 0; or the
            input is twice as wide, because the LoRA reads a control image.
    """
    scales = [float(layer.parts["w_norm"].float().median()) for layer in layers.values() if "w_norm" in layer.parts]
    if scales and min(scales) > 0.5:
        raise ValueError(
            f"expected the differences of norm scales, found whole ones in {len(scales)} layers (w_norm, medians "
            f"{min(scales):.2g} to {max(scales):.2g}), {_WHOLE}: save the LoRA without them"
        )
    return _check_input(family, shapes)


def _check_input(family: str, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    path, width = _INPUTS.get(family, ("", 0))
    columns = shapes.get(path, ())[1:]
    if columns == (2 * width,):
        raise ValueError(
            f"expected a LoRA, found a control LoRA ({path} takes {2 * width} channels instead of {width}, half of "
            f"them a control image): {_BESIDE}; if it is for FLUX.2, whose input is that wide, its header must say so"
        )
    if columns and columns != (width,):
        return [f"{path} takes {columns[0]} channels instead of {width}: the LoRA is for a variant of the model"]
    variant = _WIDE_UNETS.get(*shapes.get("conv_in", ())[1:] or (0,))
    return [f"conv_in takes more than 4 channels: the LoRA is for a model for {variant}"] if variant else []


def _count(matching: Sequence[str], names: Sequence[str]) -> str:
    return f"{len(matching)} of {len(names)} keys, first {matching[0]}"
