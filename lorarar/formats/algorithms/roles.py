"""Roles of the parts in files, and the sets of parts that each algorithm needs."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

# End of a key -> role. The dialects remove peft's adapter name (".default") first.
_SUFFIXES = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_B.bias": "up_bias",
    "alpha": "alpha",
    "scalar": "scalar",
    "dora_scale": "dora_scale",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
    **{name: name for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")},
    **{name: name for name in ("diff", "diff_b", "w_norm", "b_norm", "on_input", "oft_blocks", "oft_diag", "rescale")},
    **{f"{name}.weight": name for name in ("a1", "a2", "b1", "b2")},
    "reshape_weight": "reshape_weight",
    **{name: name for name in ("lambda_layer", "q_layer.weight", "p_layer.weight")},
}
_LONGEST = max(suffix.count(".") for suffix in _SUFFIXES) + 1

MAGNITUDES = frozenset({"dora_scale", "magnitude"})
_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_W1, _W2 = ("lokr_w1_a", "lokr_w1_b"), ("lokr_w2_a", "lokr_w2_b")
# The complete sets of parts for each algorithm, the most frequent set first.
_WHOLES: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (name, frozenset(parts))
    for name, parts in (
        ("lora", ("up", "down")),
        ("lora_tucker", ("up", "down", "mid")),
        ("loha", _LOHA),
        ("loha", (*_LOHA, "hada_t1", "hada_t2")),
        ("lokr", ("lokr_w1", "lokr_w2")),
        ("lokr", ("lokr_w1", *_W2)),
        ("lokr", ("lokr_w1", *_W2, "lokr_t2")),
        ("lokr", (*_W1, "lokr_w2")),
        ("lokr", (*_W1, *_W2)),
        ("lokr", (*_W1, *_W2, "lokr_t2")),
        ("full", ("diff", "diff_b")),
        ("full", ("diff",)),
        ("full", ("diff_b",)),
        ("norm", ("w_norm", "b_norm")),
        ("norm", ("w_norm",)),
        ("norm", ("b_norm",)),
        ("ia3", ("ia3", "on_input")),
        ("oft", ("oft_blocks",)),
        ("glora", ("a1", "a2", "b1", "b2")),
    )
)
_FACTORED = frozenset({"alpha", "scalar", "diff_b"})
# Parts that may be added to a complete set.
_OPTIONAL = {
    "lora": _FACTORED | {"up_bias"},
    "lora_tucker": _FACTORED,
    "loha": _FACTORED,
    "lokr": _FACTORED,
    "glora": _FACTORED,
    "oft": frozenset({"alpha", "rescale"}),
    "full": frozenset({"alpha"}),
    "norm": frozenset({"alpha"}),
}
_DECOMPOSABLE = ("lora", "lora_tucker", "loha", "lokr")
_REFUSED = {
    "oft_diag": "the early form of OFT (oft_diag), whose meaning differs between tools",
    "lambda_layer": "T-LoRA, whose rank depends on the timestep, so that no fixed delta is right",
    "reshape_weight": "a layer that changes its shape (reshape_weight), to which no other LoRA can be added",
}


def split_key(key: str) -> tuple[str, str] | None:
    """Split a key into its stem (the layer with the file's names) and the role of its tensor; None if no role fits.

    >>> split_key("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight")
    ('lora_unet_mid_block_attentions_0_proj_in', 'down')
    """
    names = key.rsplit(".", _LONGEST)
    for start in range(1, len(names)):
        suffix = ".".join(names[start:])
        if suffix in _SUFFIXES:
            stem = key[: -len(suffix) - 1]
            return (stem, _SUFFIXES[suffix]) if stem else None
    # The part of IA3 is called "weight", like the weights of models. Only LyCORIS writes it; its stems have no dots.
    stem, dot, last = key.rpartition(".")
    return (stem, "ia3") if dot and last == "weight" and stem and "." not in stem else None


def suffix_of(role: str) -> str:
    """Return the end of the keys of a role in kohya's dialect.

    >>> suffix_of("down"), suffix_of("hada_w1_a"), suffix_of("ia3")
    ('lora_down.weight', 'hada_w1_a', 'weight')
    """
    return "weight" if role == "ia3" else next(suffix for suffix, name in _SUFFIXES.items() if name == role)


def algorithm_of(roles: Collection[str]) -> str:
    """Return the algorithm that has these parts.

    Args:
        roles: Roles of the tensors of one layer.

    Returns:
        "lora", "lora_tucker", "loha", "lokr", "full", "norm", "ia3", "oft" (also for BOFT, which differs in the
        dimensions of the blocks), "glora"; "dora" for one of the first four with a magnitude.

    Raises:
        ValueError: A part is missing or superfluous.
    """
    return _algorithm(frozenset(roles))


@cache  # a file has hundreds of layers with the same parts
def _algorithm(roles: frozenset[str]) -> str:
    refused = next((reason for role, reason in _REFUSED.items() if role in roles), None)
    if refused:
        raise ValueError(f"found {refused}, which is not supported: save the LoRA in another form")
    magnitudes = roles & MAGNITUDES
    fits = [_misfit(name, whole, roles, magnitudes) for name, whole in _WHOLES]
    missing, superfluous, name = min(fits, key=lambda fit: len(fit[0]) + len(fit[1]))
    if missing or superfluous or len(magnitudes) > 1:
        faults = [f"lacks {', '.join(sorted(missing))}"] if missing else []
        if superfluous or not missing:
            faults.append(f"cannot have {', '.join(sorted(superfluous or magnitudes))}")
        raise ValueError(f"{name} {' and '.join(faults)}, found {', '.join(sorted(roles))}: save the LoRA again")
    return "dora" if magnitudes else name


def _misfit(
    name: str, whole: frozenset[str], roles: frozenset[str], magnitudes: frozenset[str]
) -> tuple[frozenset[str], frozenset[str], str]:
    """Return the missing parts, the superfluous parts, and the name of the algorithm."""
    allowed = whole | _OPTIONAL.get(name, frozenset()) | (magnitudes if name in _DECOMPOSABLE else frozenset())
    return whole - roles, roles - allowed, name
