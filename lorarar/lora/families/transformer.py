"""The shape of a diffusion transformer: its stacks of blocks, the modules in them, and its width."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lorarar.lora.families.unet import admits_text, agree

_BLOCK = re.compile(r"(?P<stack>\w+)\.(?P<number>\d+)\.(?P<module>.+)")
_SQUARE = re.compile(r"(?:attn2?|attention)\.(?:to_(?:q|k|v|out\.0|add_out)|add_[qkv]_proj)")


@dataclass(frozen=True)
class Stack:
    """Blocks of one kind: how many, and the modules that one of them holds."""

    count: int
    modules: frozenset[str]


@dataclass(frozen=True)
class TransformerShape:
    """What tells one transformer's LoRAs from another's.

    Args:
        width: In and out width of every attention projection.
        stacks: Name of a stack of blocks -> its blocks.
        outside: Modules outside the blocks.
        text: Width of each text encoder, in order; 0 for T5 and other encoders of no CLIP kind.
    """

    width: int
    stacks: Mapping[str, Stack]
    outside: frozenset[str]
    text: tuple[int, ...] = ()

    def admits(self, path: str, shape: tuple[int, ...]) -> bool:
        """Whether a layer of that path and shape, () where the shape is not known, can belong to this model."""
        path = path.removesuffix(".bias")
        if path.startswith("text_encoder"):
            return admits_text(self.text, path, shape)
        found = _BLOCK.fullmatch(path)
        stack = self.stacks.get(found["stack"]) if found else None
        if found is None or stack is None:
            return path in self.outside
        known = int(found["number"]) < stack.count and found["module"] in stack.modules
        return known and (not _SQUARE.fullmatch(found["module"]) or agree(shape, (self.width, self.width)))


def modules(*patterns: str) -> frozenset[str]:
    """Names from short patterns: "attn.{to_q,to_k}" -> "attn.to_q", "attn.to_k".

    >>> sorted(modules("attn.{to_q,to_k}", "proj_out"))
    ['attn.to_k', 'attn.to_q', 'proj_out']
    """
    return frozenset(name for pattern in patterns for name in _expand(pattern))


def _expand(pattern: str) -> list[str]:
    before, brace, rest = pattern.partition("{")
    if not brace:
        return [pattern]
    choices, _, after = rest.partition("}")
    return [name for choice in choices.split(",") for name in _expand(f"{before}{choice}{after}")]
