"""alpha, rank and scale: how files say how strong a layer is.

scale = alpha / rank, or alpha / sqrt(rank) for rsLoRA (arXiv 2312.03732). An alpha that is absent or 0 means
alpha = rank, so scale = 1. peft's configuration holds one default (`r`, `lora_alpha`) and exceptions by layer
(`rank_pattern`, `alpha_pattern`, whose keys are regular expressions on the end of the layer's path).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from lorarar.formats.algorithms.scaling import Scaling
from lorarar.lora import TEXT_ENCODERS, LowRank

ADAPTER_METADATA_KEY = "lora_adapter_metadata"
AdapterConfig = Mapping[str, Any]
_LARGEST = 1e30  # what no configuration means; infinity and NaN are no better


def scaling_from_config(config: AdapterConfig, layer: str) -> Scaling:
    """What peft's configuration says of a layer (path without prefix).

    Raises:
        ValueError: A number is none, or a pattern cannot be used.
    """
    default = config.get("lora_alpha") or config.get("alpha")  # peft's LoHa and LoKr say "alpha"
    alpha = _number("alpha", _matching(config, "alpha_pattern", layer, default))
    rank = _number("the rank", _matching(config, "rank_pattern", layer, config.get("r")))
    return Scaling(alpha, bool(config.get("use_rslora")), int(rank) if rank else None)


def scaling_from_header(header: Mapping[str, str]) -> Scaling:
    """What the arguments of LyCORIS say of all layers: rsLoRA or not."""
    try:
        arguments = json.loads(header.get("ss_network_args") or "{}")
    except json.JSONDecodeError:
        arguments = {}
    named = arguments if isinstance(arguments, dict) else {}
    return Scaling(rslora=str(named.get("rs_lora", "")).lower() in ("true", "1"))


def config_of(layers: Mapping[str, LowRank]) -> dict[str, Any]:
    """peft's configuration for layers of any ranks and scales (paths without prefix).

    Every exception is the whole path behind "^": without it "proj_out" would also match "..attentions.0.proj_out".
    """
    ranks = {layer: f.rank for layer, f in layers.items()}
    alphas = {layer: alpha_of(f) for layer, f in layers.items()}
    r, alpha = _most_common(ranks), _most_common(alphas)
    return {
        "peft_type": "LORA",
        "r": r,
        "lora_alpha": alpha,
        "rank_pattern": {f"^{layer}": value for layer, value in ranks.items() if value != r},
        "alpha_pattern": {f"^{layer}": value for layer, value in alphas.items() if value != alpha},
        "target_modules": sorted(layers),
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
    }


def alpha_of(factors: LowRank) -> float:
    """alpha = scale rank; the shortest decimal that gives the very same scale back, where there is one."""
    alpha = factors.scale * factors.rank
    short = round(alpha, 6)
    return short if short / factors.rank == factors.scale else alpha


def configs_from_header(header: Mapping[str, str]) -> dict[str, AdapterConfig]:
    """The configurations in a file's header, by model: "unet", "transformer", "text_encoder"; "" without prefix.

    Raises:
        ValueError: The header's entry is no JSON object.
    """
    if ADAPTER_METADATA_KEY not in header:
        return {}
    return split_config(parse_config(header[ADAPTER_METADATA_KEY]))


def parse_config(text: str) -> dict[str, Any]:
    """A configuration from its JSON text.

    Raises:
        ValueError: The text is no JSON object.
    """
    try:
        config = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the adapter's configuration is no JSON ({error}): save the adapter again") from error
    if not isinstance(config, dict):
        found = type(config).__name__  # a bad file, not a bad type in the code
        raise ValueError(f"the adapter's configuration is no JSON object but {found}: save it again")
    return config


def split_config(config: Mapping[str, Any]) -> dict[str, AdapterConfig]:
    """{"unet.r": 4, "text_encoder.r": 8} -> {"unet": {"r": 4}, "text_encoder": {"r": 8}}."""
    configs: dict[str, dict[str, Any]] = {}
    for key, value in config.items():
        model, dot, name = key.partition(".")
        configs.setdefault(model if dot else "", {})[name if dot else key] = value
    return dict(configs)


def config_for(configs: Mapping[str, AdapterConfig], layer: str) -> tuple[AdapterConfig | None, str]:
    """The configuration that governs a layer, and the layer's path as that configuration writes it."""
    model, _, rest = layer.partition(".")
    if model in TEXT_ENCODERS:
        return configs.get(model), rest
    denoiser = next((configs[key] for key in ("unet", "transformer", "") if key in configs), None)
    return denoiser, layer


def _most_common(values: Mapping[str, Any]) -> Any:
    return Counter(values.values()).most_common(1)[0][0]


def _matching(config: AdapterConfig, name: str, layer: str, default: Any) -> Any:
    """peft's own rule: the first key of the pattern that matches the end of the path at a dot."""
    pattern = config.get(name) or {}
    if not isinstance(pattern, dict):
        raise ValueError(f"the adapter's configuration says {name} = {pattern!r}, expected an object: save it again")
    for key in (f"^{layer}", layer):  # whole paths first: hundreds of regex tries a layer are slow
        if key in pattern:
            return pattern[key]
    try:
        return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", layer)), default)
    except re.error as error:
        raise ValueError(f"the adapter's {name} is no regular expression ({error}): save the adapter again") from error


def _number(name: str, value: Any) -> float | None:
    """A number of the configuration as float; None where it is absent or 0."""
    if isinstance(value, int | float) and abs(value) < _LARGEST:
        return float(value) or None
    if value is None:
        return None
    raise ValueError(f"the adapter's configuration says {name} = {value!r}, expected a number: save the adapter again")
