"""The dialect "same": every layer under the name that it has in the file that it came from.

For models whose names no dialect is read by most tools, or that are not known at all. A name without dots is one of
kohya's trainers and gets their endings, with alpha; any other name gets `lora_A` and `lora_B`, with the scale inside.
"""

from __future__ import annotations

from torch import Tensor

from lorarar.formats.dialects import kohya
from lorarar.formats.dialects.diffusers import factor_tensors
from lorarar.formats.naming.fusing import fuse_as_named
from lorarar.lora import Layer, LoRA, LowRank
from lorarar.storage import FormatError


def write(lora: LoRA) -> dict[str, Tensor]:
    """Return the tensors of a file.

    Raises:
        FormatError: A layer has no name.
    """
    try:
        named = fuse_as_named(lora.layers, lora.names)
    except ValueError as error:
        raise FormatError(str(error)) from error
    tensors: dict[str, Tensor] = {}
    joined: dict[str, Layer] = {}
    for name, layer in named.items():
        if "." in name.removesuffix(".bias") and isinstance(layer, LowRank):
            tensors |= factor_tensors(name, layer)
        else:
            joined[name] = layer
    return tensors | kohya.tensors_of(joined, lambda name: name)
