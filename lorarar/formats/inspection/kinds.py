"""Kinds of layers, derived from their paths, and text tables."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import is_text_encoder, projection

_ATTENTION = {
    "to_q": "attention q",
    "to_k": "attention k",
    "to_v": "attention v",
    "to_out": "attention out",
    "add_q_proj": "attention q",
    "add_k_proj": "attention k",
    "add_v_proj": "attention v",
    "to_add_out": "attention out",
}
_FEED_FORWARD = {"ff", "ff_context", "feed_forward", "img_mlp", "txt_mlp", "proj_mlp"}


def layer_kind(path: str) -> str:
    """Return the kind of a layer.

    It is "attention q" (k, v, out), "feed-forward", "convolution", "projection", "norm", "bias", the name of a text
    encoder, or "other".

    >>> layer_kind("mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0")
    'attention out'
    >>> layer_kind("text_encoder_2.text_model.encoder.layers.0.mlp.fc1")
    'text encoder 2'
    """
    if is_text_encoder(path):
        return path.partition(".")[0].replace("_", " ")
    name, parts = projection(path), path.split(".")
    if name == "bias":
        return "bias"
    if name in _ATTENTION:
        return _ATTENTION[name]
    if _FEED_FORWARD & set(parts):
        return "feed-forward"
    if "norm" in name:
        return "norm"
    if name.startswith("conv"):
        return "convolution"
    return "projection" if name in ("proj_in", "proj_out") else "other"


def table_lines(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Return the lines of a table, with the first column aligned left and the others aligned right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (
            indent
            + first.ljust(widths[0])
            + "".join(f"  {cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        ).rstrip()
        for first, *rest in rows
    ]
