"""Shape of a diffusion transformer: its stacks of blocks, their modules and its width."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lorarar.lora.families.unet import admits_text, shape_agrees

_BLOCK = re.compile(r"(?P<stack>[\w.]+?)\.(?P<number>\d+)\.(?P<module>.+)")
_SQUARE = re.compile(r"(?:attn2?|attention)\.(?:to_(?:q|k|v|out\.0|add_out)|add_[qkv]_proj)")
# Feed-forward layers, which are four times as wide inside.
_WIDENING = re.compile(r"(?:ff|ff_context|img_mlp|txt_mlp)\.net\.0\.proj|proj_mlp")
_NARROWING = re.compile(r"(?:ff|ff_context|img_mlp|txt_mlp)\.net\.2")


@dataclass(frozen=True)
class Stack:
    """Blocks of one kind.

    Attributes:
        count: Number of blocks.
        modules: Modules in each block.
        sizes: Module -> (out, in), for modules that are not square or four times as wide inside; 0 is unchecked.
    """

    count: int
    modules: frozenset[str]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class TransformerShape:
    """Properties that distinguish the LoRAs of one transformer from those of another.

    Attributes:
        width: Input and output width of every attention projection.
        stacks: Name of a stack of blocks -> its blocks.
        outside: Modules outside the blocks.
        text: Width of each text encoder, in order; 0 for T5 and other encoders that are not CLIP models.
    """

    width: int
    stacks: Mapping[str, Stack]
    outside: frozenset[str]
    text: tuple[int, ...] = ()

    def admits(self, path: str, shape: tuple[int, ...]) -> bool:
        """Return whether a layer of this path and shape, () if unknown, can belong to this model."""
        path = path.removesuffix(".bias")
        if path.startswith("text_encoder"):
            return admits_text(self.text, path, shape)
        place = _BLOCK.fullmatch(path)
        stack = self.stacks.get(place["stack"]) if place else None
        if place is None or stack is None:
            return path in self.outside
        if int(place["number"]) >= stack.count or place["module"] not in stack.modules:
            return False
        return shape_agrees(shape, stack.sizes.get(place["module"]) or self._expected(place["module"]))

    def covered_by(self, paths: Iterable[str]) -> bool:
        """Return whether the layers lie in every block of each stack that they touch, and touch one."""
        numbers: dict[str, set[int]] = {}
        for path in paths:
            place = _BLOCK.fullmatch(path)
            if place and place["stack"] in self.stacks:
                numbers.setdefault(place["stack"], set()).add(int(place["number"]))
        return bool(numbers) and all(len(found) == self.stacks[stack].count for stack, found in numbers.items())

    def _expected(self, module: str) -> tuple[int, int]:
        """Return the expected (out, in) of a module in a block, 0 for an unchecked size."""
        if _SQUARE.fullmatch(module):
            return self.width, self.width
        if _WIDENING.fullmatch(module):
            return 4 * self.width, self.width
        return (self.width, 4 * self.width) if _NARROWING.fullmatch(module) else (0, 0)


def sized(count: int, sizes: Mapping[str, tuple[int, int]], *others: str) -> Stack:
    """Return a stack of blocks by short patterns.

    Args:
        count: Number of blocks.
        sizes: Pattern of modules -> their (out, in).
        others: Patterns of modules whose sizes are not checked.
    """
    expanded = {name: size for pattern, size in sizes.items() for name in _expand(pattern)}
    return Stack(count, frozenset(expanded) | modules(*others), expanded)


def modules(*patterns: str) -> frozenset[str]:
    """Expand short patterns into module names.

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
