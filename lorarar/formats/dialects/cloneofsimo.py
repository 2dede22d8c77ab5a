"""cloneofsimo dialect, the first for Stable Diffusion: numbered layers without names, `unet:0:down`.

The numbers count the Linear layers inside modules of certain classes. The header lists these classes. The order is that
of registration in diffusers' UNet: down blocks, up blocks, middle block. Each of the 16 transformer blocks of SD 1 and
2 has attn1 q, k, v, out; the feed-forward's input if GEGLU is a target; attn2 q, k, v, out. A CLIP layer has k, v, q,
out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from lorarar.formats.naming.keys import Key
from lorarar.lora.families import FAMILIES, UNetShape

DIALECT = "cloneofsimo"
_KEY = re.compile(r"(?P<model>unet|text_encoder):(?P<number>\d+):(?P<part>down|up)")
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_TARGETS = {"unet": {"CrossAttention", "Attention", "GEGLU"}, "text_encoder": {"CLIPAttention"}}
LAYOUT_KEY = re.compile(r"(?:unet|text_encoder)(?::\d+:rank)?|<.+>")


def parse(key: str) -> Key | None:
    """Parse a key, whose number takes the place of a path; return None for a key of another dialect."""
    fields = _KEY.fullmatch(key)
    if fields is None:
        return None
    return Key(DIALECT, "" if fields["model"] == "unet" else "text_encoder", fields["number"], fields["part"])


def numbered_paths(header: Mapping[str, str], model: str, count: int) -> list[str]:
    """Return the path of each numbered layer.

    Args:
        header: Metadata of the file, with the list of target classes.
        model: "" for the denoiser, or "text_encoder".
        count: Number of layers in the file.

    Raises:
        ValueError: The header or the count does not fit Stable Diffusion 1 or 2.
    """
    targets = _targets(header, model or "unet")
    paths = _unet_paths("GEGLU" in targets) if not model else _text_paths(count)
    if len(paths) != count:
        raise ValueError(
            f"expected {len(paths)} numbered layers in the {model or 'unet'} for the targets {sorted(targets)}, found "
            f"{count}: only attention and GEGLU layers of Stable Diffusion 1 and 2 are supported; take a "
            f"version of the file with named layers"
        )
    return paths


def _targets(header: Mapping[str, str], model: str) -> set[str]:
    try:
        targets = set(json.loads(header.get(model, "[]")))
    except (ValueError, TypeError, RecursionError):
        targets = set()
    if not targets or not targets <= _TARGETS[model]:
        raise ValueError(
            f"the file has numbered layers, for which the header must list targets of the {model}: expected some of "
            f"{sorted(_TARGETS[model])}, found {sorted(map(str, targets))}: take a version "
            "of the file with named layers"
        )
    return targets


def _unet_paths(geglu: bool) -> list[str]:
    shape = FAMILIES["sd15"].shape
    attentions = [path for path, _ in shape.attentions()] if isinstance(shape, UNetShape) else []
    ordered = sorted(attentions, key=lambda path: path.startswith("mid_block"))  # the middle block is registered last
    names = [f"attn1.{name}" for name in _ATTENTION] + ["ff.net.0.proj"] * geglu + [f"attn2.{n}" for n in _ATTENTION]
    return [f"{path}.transformer_blocks.0.{name}" for path in ordered for name in names]


def _text_paths(count: int) -> list[str]:
    names = ("k_proj", "v_proj", "q_proj", "out_proj")
    layers = {12: 12, 23: 23, 24: 24}.get(count // 4, 12)
    return [f"text_model.encoder.layers.{i}.self_attn.{name}" for i in range(layers) for name in names]
