"""Scaling: alpha, rank and scale in the tensors, header and configuration of a file.

scale = alpha / rank, or alpha / sqrt(rank) for rsLoRA (arXiv 2312.03732). A missing alpha means alpha = rank, so
scale = 1; an alpha of 0 beside a layer mutes it. peft's configuration has one default (`r`, `lora_alpha`) and
exceptions by layer (`rank_pattern`, `alpha_pattern`, whose keys are patterns that match the end of the layer's path).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lorarar.formats.algorithms.scaling import Scaling
from lorarar.formats.patterns import is_literal, path_matches
from lorarar.formats.stored import StoredLayer
from lorarar.lora import TEXT_ENCODERS, LowRank

ADAPTER_METADATA_KEY = "lora_adapter_metadata"
AdapterConfig = Mapping[str, Any]
_LIMIT = 1e30  # larger values, infinity and NaN are errors
_MANY = 2000  # characters of all patterns together that are matched with each layer
# Initialisations of peft that change the weights of the base, so that the delta belongs to another base.
_CHANGED_BASES = ("pissa", "corda", "olora", "loftq", "lora_ga")
# Entries of peft's configuration that give the same factors another meaning.
_VARIANTS = {
    "kasa_config": "KaSA",
    "use_qalora": "QALoRA",
    "use_bdlora": "a block-diagonal LoRA",
    "alora_invocation_tokens": "an activated LoRA",
}
_SCALED = ("lora", "lora_tucker", "loha", "glora", "dora")  # LoKr of two full factors ignores alpha
# Entries of a header that some trainers write instead of a tensor beside each layer.
_HEADER_ALPHAS = ("alpha", "lora_alpha", "network_alpha", "unet.lora_alpha", "transformer.lora_alpha")


def scaling_from_config(config: AdapterConfig, layer: str) -> Scaling:
    """Return the scaling of a layer (path without prefix) in peft's configuration.

    Raises:
        ValueError: A value is not a number, or a pattern cannot be used.
    """
    default = config.get("lora_alpha") or config.get("alpha")  # peft's LoHa and LoKr have "alpha"
    alpha = _number("alpha", _matching(config, "alpha_pattern", layer, default))
    rank = _number("the rank", _matching(config, "rank_pattern", layer, config.get("r")))
    if rank is not None and (rank < 1 or rank != int(rank)):
        raise ValueError(f"expected the rank of the adapter as a whole number, found {rank}: save the adapter again")
    return Scaling(alpha, flag(config, "use_rslora"), int(rank) if rank else None)


def flag(config: AdapterConfig, name: str) -> bool:
    """Return a yes or no of the configuration; no if it is missing.

    Raises:
        ValueError: The value is neither.
    """
    value = config.get(name)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"expected {name} of the adapter as true or false, found {value!r}: save the adapter again")
    return bool(value)


def check_config(config: AdapterConfig, layer: str, algorithm: str) -> None:
    """Check that the factors of a layer are a delta of the base as it is.

    Raises:
        ValueError: A magnitude is missing, peft changed the base before the training, or it gives the factors another
            meaning.
    """
    if flag(config, "use_dora") and algorithm != "dora":
        raise ValueError(f"layer {layer}: expected the magnitudes of DoRA, found none: save the LoRA again")
    start = str(config.get("init_lora_weights") or "").lower()
    if start.startswith(_CHANGED_BASES):
        raise ValueError(
            f"expected an adapter for the base as it is, found one that began with {start!r}, which changes the base's "
            "weights: save it as a plain LoRA with peft's `path_initial_model_for_weight_conversion`"
        )
    variant = next((name for entry, name in _VARIANTS.items() if config.get(entry)), None)
    if variant:
        raise ValueError(
            f"expected a plain LoRA, found {variant}, whose factors have another meaning: merge another file"
        )


def alpha_warnings(header: Mapping[str, str], layers: Collection[StoredLayer]) -> Iterator[str]:
    """Yield a warning about layers that alpha mutes, and about an alpha that the header alone states.

    ComfyUI and diffusers do not read such entries of a header, with exceptions for single models: the scale stays 1.
    """
    muted = sum(layer.alpha == 0 and layer.algorithm in _SCALED for layer in layers)
    if muted:
        yield (
            f"{muted} of {len(layers)} layers have alpha 0 and no effect, as in ComfyUI and diffusers; sd-scripts "
            "counts 0 as the rank"
        )
    ranks = {layer.rank for layer in layers if layer.rank}
    entry = next((entry for entry in _HEADER_ALPHAS if entry in header), "")
    try:
        alpha = float(header.get(entry, "0"))
    except ValueError:
        return
    if 0 < alpha < _LIMIT and ranks and ranks != {alpha} and all(layer.alpha is None for layer in layers):
        weight = f": the weight {alpha / max(ranks):.4g} gives that strength" if len(ranks) == 1 else ""
        yield f"the header's {entry} is {alpha:g}, no layer has an alpha, and the scale is 1, as in other tools{weight}"


def scaling_from_header(header: Mapping[str, str]) -> Scaling:
    """Return the scaling of all layers in the arguments of LyCORIS: rsLoRA or not."""
    try:
        arguments = json.loads(header.get("ss_network_args") or "{}")
    except (ValueError, RecursionError):
        arguments = {}
    value = arguments.get("rs_lora", "") if isinstance(arguments, dict) else ""
    return Scaling(rslora=str(value).lower() in ("true", "1"))


def config_of(layers: Mapping[str, LowRank]) -> dict[str, Any]:
    """Return peft's configuration for layers of any ranks and scales (paths without prefix).

    Each exception is the whole path after "^". Without "^", "proj_out" would also match "..attentions.0.proj_out".
    """
    ranks = {layer: factors.rank for layer, factors in layers.items()}
    alphas = {layer: alpha_of(factors) for layer, factors in layers.items()}
    rank, alpha = _most_common(ranks), _most_common(alphas)
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {f"^{layer}": value for layer, value in ranks.items() if value != rank},
        "alpha_pattern": {f"^{layer}": value for layer, value in alphas.items() if value != alpha},
        "target_modules": sorted(layers),
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
    }


def alpha_of(factors: LowRank) -> float:
    """Return alpha = scale rank, rounded to the shortest decimal that restores the same scale, if there is one."""
    alpha = factors.scale * factors.rank
    short = round(alpha, 6)
    return short if short / factors.rank == factors.scale else alpha


def configs_from_header(header: Mapping[str, str]) -> dict[str, AdapterConfig]:
    """Return the configurations in a file's header by model: "unet", "transformer", "text_encoder"; "" without prefix.

    Raises:
        ValueError: The entry of the header is not a JSON object.
    """
    if ADAPTER_METADATA_KEY not in header:
        return {}
    return split_config(parse_config(header[ADAPTER_METADATA_KEY]))


def parse_config(text: str) -> dict[str, Any]:
    """Parse the JSON text of a configuration.

    Raises:
        ValueError: The text is not a JSON object, or contains a key twice.
    """
    try:
        config = json.loads(text, object_pairs_hook=_without_doubles)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the adapter's configuration is not JSON ({error}): save the adapter again") from error
    if not isinstance(config, dict):
        # ValueError rather than TypeError, because the file is wrong.
        kind = type(config).__name__
        raise ValueError(f"expected the adapter's configuration as a JSON object, found {kind}: save the adapter again")
    return config


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the adapter's configuration contains {doubled!r} twice: save the adapter again")
    return found


def split_config(config: Mapping[str, Any]) -> dict[str, AdapterConfig]:
    """Split a configuration by model.

    {"unet.r": 4, "text_encoder.r": 8} becomes {"unet": {"r": 4}, "text_encoder": {"r": 8}}.
    """
    configs: dict[str, dict[str, Any]] = {}
    for key, value in config.items():
        model, dot, name = key.partition(".")
        configs.setdefault(model if dot else "", {})[name if dot else key] = value
    return dict(configs)


def config_for(configs: Mapping[str, AdapterConfig], layer: str) -> tuple[AdapterConfig | None, str]:
    """Return the configuration that governs a layer, and the path of the layer in this configuration."""
    model, _, rest = layer.partition(".")
    if model in TEXT_ENCODERS:
        return configs.get(model, configs.get("")), rest  # peft's adapter of a text encoder has no prefix
    denoiser = next((configs[key] for key in ("unet", "transformer", "") if key in configs), None)
    return denoiser, layer


def _most_common(values: Mapping[str, Any]) -> Any:
    return Counter(values.values()).most_common(1)[0][0]


def _matching(config: AdapterConfig, name: str, layer: str, default: Any) -> Any:
    """Apply peft's rule: the first key of the pattern that matches the end of the path at a dot."""
    pattern = config.get(name) or {}
    if not isinstance(pattern, dict):
        raise ValueError(f"expected {name} of the adapter as an object, found {pattern!r}: save the adapter again")
    for key in (f"^{layer}", layer):  # whole paths first: a file can have one for each of hundreds of layers
        if key in pattern:
            return pattern[key]
    expressions = sum(len(key) for key in pattern if not is_literal(key))
    if expressions > _MANY:
        raise ValueError(
            f"expected {name} of the adapter with at most {_MANY} characters of patterns, found {expressions}: save "
            "the adapter again, with the whole path of each layer"
        )
    try:
        return next((value for key, value in pattern.items() if path_matches(key, layer)), default)
    except ValueError as error:
        raise ValueError(f"expected simple patterns in the adapter's {name}, found {error}") from error


def _number(name: str, value: Any) -> float | None:
    """Return a number of the configuration as float; None if it is missing or 0."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LIMIT:
        return float(value) or None
    if value is None:
        return None
    raise ValueError(f"expected {name} of the adapter as a number, found {value!r}: save the adapter again")
