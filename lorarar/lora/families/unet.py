"""The shape of a diffusers UNet: which modules it has and how wide they are, as far as LoRA files tell models apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(
    r"(?:(?P<side>down|up)_blocks\.(?P<block>\d+)|mid_block)\."
    r"(?P<kind>attentions|resnets|downsamplers|upsamplers)\.(?P<place>\d+)\.(?P<rest>.+)"
)
_TRANSFORMER = re.compile(
    r"transformer_blocks\.(?P<number>\d+)\."
    r"(?P<rest>attn(?P<attention>[12])\.to_(?P<name>q|k|v|out\.0)|ff\.net\.(?:0\.proj|2)|norm[123])"
)
_AROUND = ("norm", "proj_in", "proj_out")
_RESNET = ("norm1", "conv1", "norm2", "conv2", "time_emb_proj", "conv_shortcut")
_OUTSIDE = ("conv_in", "conv_out", "conv_norm_out", "time_embedding.linear_1", "time_embedding.linear_2")
_ADDED = ("add_embedding.linear_1", "add_embedding.linear_2")
_TEXT = re.compile(r"(?:text_model\.)?encoder\.layers\.\d+\.self_attn\.(?:q|k|v|out)_proj")


@dataclass(frozen=True)
class UNetShape:
    """What tells one UNet's LoRAs from another's.

    Args:
        channels: Width of each down block, outermost first; the up blocks mirror them.
        depths: Transformer blocks in each attention of each down block, 0 where the block has no attention.
        middle: Transformer blocks in the middle block's attention, 0 where there is none.
        cross: Width of the text that the cross attention reads.
        layers_per_block: Residual layers in a down block; an up block has one more.
        text: Width of each text encoder, in order.
        added: Whether the UNet takes sizes and pooled text as well (SDXL).
        whole: Whether only a file with all its transformer blocks is told: a part would fit a larger model too.
    """

    channels: tuple[int, ...]
    depths: tuple[int, ...]
    middle: int
    cross: int
    layers_per_block: int
    text: tuple[int, ...]
    added: bool = False
    whole: bool = False

    def admits(self, path: str, shape: tuple[int, ...]) -> bool:
        """Whether a layer of that path and shape, () where the shape is not known, can belong to this model."""
        path = path.removesuffix(".bias")
        if path.startswith("text_encoder"):
            return admits_text(self.text, path, shape)
        if found := _BLOCK.fullmatch(path):
            expected = self._in_block(found)
            return expected is not None and agree(shape, expected)
        return path in _OUTSIDE or (self.added and path in _ADDED)

    def attentions(self) -> Iterator[tuple[str, int]]:
        """Path of each attention, and how many transformer blocks it holds."""
        for block, depth in enumerate(self.depths):
            for place in range(self.layers_per_block if depth else 0):
                yield f"down_blocks.{block}.attentions.{place}", depth
        if self.middle:
            yield "mid_block.attentions.0", self.middle
        for block, depth in enumerate(reversed(self.depths)):
            for place in range(self.layers_per_block + 1 if depth else 0):
                yield f"up_blocks.{block}.attentions.{place}", depth

    def transformer_blocks(self) -> set[str]:
        """Paths of all transformer blocks."""
        return {f"{path}.transformer_blocks.{i}" for path, depth in self.attentions() for i in range(depth)}

    def _in_block(self, found: re.Match[str]) -> tuple[int, int] | None:
        """Expected (out, in) of a layer in a block, 0 for a size that is not checked; None if there is none such."""
        side, place, kind, rest = found["side"], int(found["place"]), found["kind"], found["rest"]
        number = int(found["block"]) if side else 0
        if number >= len(self.channels):
            return None
        index = {"down": number, "up": len(self.channels) - 1 - number, None: len(self.channels) - 1}[side]
        width, places = self.channels[index], self.layers_per_block + (side == "up")
        last = number == len(self.channels) - 1
        if kind == "attentions":
            depth = self.depths[index] if side else self.middle
            return self._in_attention(rest, width, depth) if place < (places if side else 1) else None
        if kind == "resnets":
            known = rest in _RESNET and place < (places if side else 2)
            return ((0 if rest == "norm1" else width), 0) if known else None
        fits = {"downsamplers": "down", "upsamplers": "up"}[kind] == side and place == 0 and not last
        return (width, 9 * width) if fits and rest == "conv" else None

    def _in_attention(self, rest: str, width: int, depth: int) -> tuple[int, int] | None:
        if rest in _AROUND and depth:
            return width, (0 if rest == "norm" else width)
        found = _TRANSFORMER.fullmatch(rest)
        if found is None or int(found["number"]) >= depth:
            return None
        if found["attention"]:
            return width, (self.cross if found["attention"] == "2" and found["name"] in ("k", "v") else width)
        return {"ff.net.0.proj": (8 * width, width), "ff.net.2": (width, 4 * width)}.get(found["rest"], (width, 0))


def admits_text(widths: tuple[int, ...], path: str, shape: tuple[int, ...]) -> bool:
    """Whether text encoders of these widths can have the layer; a width of 0 stands for an encoder of no CLIP kind."""
    model, _, rest = path.partition(".")
    number = int(model.removeprefix("text_encoder").removeprefix("_") or 1)
    if number > len(widths):
        return False
    width = widths[number - 1]
    clip = rest.startswith(("text_model.", "encoder.layers."))
    if not width or not clip:
        return clip == bool(width) or rest.startswith("text_projection")
    return agree(shape, (width, width)) if _TEXT.fullmatch(rest) else True


def agree(shape: tuple[int, ...], expected: tuple[int, int]) -> bool:
    """Whether a shape is the expected one; an unknown shape and an expected 0 agree with everything."""
    return all(want in (0, have) for have, want in zip(shape, expected, strict=False))
