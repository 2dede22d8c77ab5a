"""UNet block names: Stability's ("sgm": input_blocks, middle_block, output_blocks) and diffusers'.

With L = layers_per_block of the UNet, a block is a run of L + 1 numbers. `input_blocks.{1 + (L+1)b + a}` is layer a of
down block b, and the last number of a run is its downsampler. `output_blocks.{(L+1)b + a}` is layer a of up block b.
Within a number, place 0 is the residual layer, followed by the attention, if the block has one, and an upsampler.
"""

from __future__ import annotations

import re

from lorarar.lora.families import UNetShape

ROOTS = ("input_blocks", "middle_block", "output_blocks")
_NUMBERED = re.compile(r"(?P<side>input|output)_blocks\.(?P<number>\d+)\.(?P<place>\d+)\.(?P<rest>.+)")
_MIDDLE = re.compile(r"middle_block\.(?P<place>[012])\.(?P<rest>.+)")
_DIFFUSERS = re.compile(
    r"(?:(?P<side>down|up)_blocks\.(?P<block>\d+)|mid_block)\.(?P<kind>\w+?)\.(?P<index>\d+)\.(?P<rest>.+)"
)
_MIDDLE_PLACES = ("resnets.0", "attentions.0", "resnets.1")
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_OUTSIDE = {
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
}
_TO_RESNET = {name: original for original, name in _RESNET.items()}
_TO_OUTSIDE = {name: original for original, name in _OUTSIDE.items()}


def from_sgm(path: str, layers_per_block: int) -> str | None:
    """Return the diffusers path for an sgm path; None if the path is not an sgm path.

    >>> from_sgm("input_blocks.4.1.transformer_blocks.0.attn1.to_q", 2)
    'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q'
    """
    if path in _OUTSIDE:
        return _OUTSIDE[path]
    if middle := _MIDDLE.fullmatch(path):
        name = _MIDDLE_PLACES[int(middle["place"])]
        return _join(f"mid_block.{name}", middle["rest"], name.startswith("resnets"))
    numbered = _NUMBERED.fullmatch(path)
    if numbered is None:
        return None
    number, place, rest = int(numbered["number"]), int(numbered["place"]), numbered["rest"]
    down = numbered["side"] == "input"
    block, layer = divmod(number - 1 if down else number, layers_per_block + 1)
    root = f"{'down' if down else 'up'}_blocks.{block}"
    if down and layer == layers_per_block:
        return f"{root}.downsamplers.0.conv" if (place, rest) == (0, "op") else None
    if not down and place and rest == "conv":
        return f"{root}.upsamplers.0.conv" if layer == layers_per_block else None
    if number - down < 0 or place > 1:
        return None
    return _join(f"{root}.{('resnets', 'attentions')[place]}.{layer}", rest, place == 0)


def to_sgm(path: str, shape: UNetShape) -> str | None:
    """Return the sgm path for a diffusers path; None if a UNet of this shape has no such layer.

    >>> from lorarar.lora.families import FAMILIES
    >>> to_sgm("mid_block.attentions.0.proj_in", FAMILIES["sdxl"].shape)
    'middle_block.1.proj_in'
    """
    if path in _TO_OUTSIDE:
        return _TO_OUTSIDE[path]
    layer = _DIFFUSERS.fullmatch(path)
    if layer is None:
        return None
    side, kind, index = layer["side"], layer["kind"], int(layer["index"])
    rest = _TO_RESNET.get(layer["rest"]) if kind == "resnets" else layer["rest"]
    if rest is None:
        return None
    if side is None:
        return f"middle_block.{_MIDDLE_PLACES.index(f'{kind}.{index}')}.{rest}"
    block, run = int(layer["block"]), shape.layers_per_block + 1
    if kind == "downsamplers":
        return f"input_blocks.{run * (block + 1)}.0.op"
    if kind == "upsamplers":
        place = 2 if shape.depths[-1 - block] else 1
        return f"output_blocks.{run * block + shape.layers_per_block}.{place}.conv"
    number = run * block + index
    numbered = f"input_blocks.{1 + number}" if side == "down" else f"output_blocks.{number}"
    return f"{numbered}.{int(kind == 'attentions')}.{rest}"


def _join(root: str, rest: str, resnet: bool) -> str | None:
    """Join the root and the rest, in diffusers names; return None for an unknown part of a residual layer."""
    name = _RESNET.get(rest) if resnet else rest
    return name and f"{root}.{name}"
