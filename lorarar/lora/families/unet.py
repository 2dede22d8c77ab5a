"""Shape of a diffusers UNet: its modules and their widths, as far as they distinguish LoRA files."""

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
    """Properties that distinguish the LoRAs of one UNet from those of another.

    Attributes:
        channels: Width of each down block, outermost first. The up blocks mirror them.
        depths: Transformer blocks in each attention of each down block; 0 for a block without attention.
        middle: Transformer blocks in the attention of the middle block; 0 without attention.
        cross: Width of the text embeddings in the cross attention.
        layers_per_block: Residual layers in a down block. An up block has one more.
        text: Width of each text encoder, in order.
        added: Whether the UNet is also conditioned on image sizes and pooled text (SDXL).
        whole: Whether only a file with all transformer blocks matches, because a part would match a larger model too.
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
        """Return whether a layer of this path and shape, () if unknown, can belong to this model."""
        path = path.removesuffix(".bias")
        if path.startswith("text_encoder"):
            return admits_text(self.text, path, shape)
        if place := _BLOCK.fullmatch(path):
            expected = self._in_block(place)
            return expected is not None and shape_agrees(shape, expected)
        return path in _OUTSIDE or (self.added and path in _ADDED)

    def attentions(self) -> Iterator[tuple[str, int]]:
        """Yield the path of each attention and its number of transformer blocks."""
        for block, depth in enumerate(self.depths):
            for place in range(self.layers_per_block if depth else 0):
                yield f"down_blocks.{block}.attentions.{place}", depth
        if self.middle:
            yield "mid_block.attentions.0", self.middle
        for block, depth in enumerate(reversed(self.depths)):
            for place in range(self.layers_per_block + 1 if depth else 0):
                yield f"up_blocks.{block}.attentions.{place}", depth

    def transformer_blocks(self) -> set[str]:
        """Return the paths of all transformer blocks."""
        return {f"{path}.transformer_blocks.{i}" for path, depth in self.attentions() for i in range(depth)}

    def _in_block(self, layer: re.Match[str]) -> tuple[int, int] | None:
        """Return the expected (out, in) of a layer in a block, 0 for an unchecked size; None for an unknown layer."""
        side, place, kind, rest = layer["side"], int(layer["place"]), layer["kind"], layer["rest"]
        number = int(layer["block"]) if side else 0
        if number >= len(self.channels):
            return None
        index = {"down": number, "up": len(self.channels) - 1 - number, None: len(self.channels) - 1}[side]
        width, places = self.channels[index], self.layers_per_block + (side == "up")
        last = number == len(self.channels) - 1
        if kind == "attentions":
            depth = self.depths[index] if side else self.middle
            return self._in_attention(rest, width, depth) if place < (places if side else 1) else None
        if kind == "resnets":
            exists = rest in _RESNET and place < (places if side else 2)
            return ((0 if rest == "norm1" else width), 0) if exists else None
        fits = {"downsamplers": "down", "upsamplers": "up"}[kind] == side and place == 0 and not last
        return (width, 9 * width) if fits and rest == "conv" else None

    def _in_attention(self, rest: str, width: int, depth: int) -> tuple[int, int] | None:
        if rest in _AROUND and depth:
            return width, (0 if rest == "norm" else width)
        layer = _TRANSFORMER.fullmatch(rest)
        if layer is None or int(layer["number"]) >= depth:
            return None
        if layer["attention"]:
            return width, (self.cross if layer["attention"] == "2" and layer["name"] in ("k", "v") else width)
        return {"ff.net.0.proj": (8 * width, width), "ff.net.2": (width, 4 * width)}.get(layer["rest"], (width, 0))


def admits_text(widths: tuple[int, ...], path: str, shape: tuple[int, ...]) -> bool:
    """Return whether text encoders of these widths can contain the layer.

    Args:
        widths: Width of each text encoder, in order; 0 for an encoder that is not a CLIP model.
        path: Layer path that starts with "text_encoder".
        shape: Shape of the layer's delta; () if unknown.
    """
    model, _, rest = path.partition(".")
    number = int(model.removeprefix("text_encoder").removeprefix("_") or 1)
    if number > len(widths):
        return False
    width = widths[number - 1]
    clip = rest.startswith(("text_model.", "encoder.layers."))
    if not width or not clip:
        return clip == bool(width) or rest.startswith("text_projection")
    return shape_agrees(shape, (width, width)) if _TEXT.fullmatch(rest) else True


def shape_agrees(shape: tuple[int, ...], expected: tuple[int, int]) -> bool:
    """Return whether a shape equals the expected one. An unknown shape () and an expected size of 0 always agree."""
    return all(size in (0, actual) for actual, size in zip(shape, expected, strict=False))
