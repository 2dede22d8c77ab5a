"""Fixed blocks: each LoRA only in the blocks that draw its part, by what is published for SDXL and FLUX.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from lorarar.lora import Coefficients, LoRA, check_same_shapes

# Family -> starts of the layer paths of the content and of the style. SDXL after B-LoRA. FLUX.1 after SplitFlux, which
# counts blocks from 1 through 19 double and 38 single ones: 20 to 29 are content, 30 to 57 style.
_SINGLE = [f"single_transformer_blocks.{i}." for i in range(38)]
BLOCKS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "sdxl": (["up_blocks.0.attentions.0."], ["up_blocks.0.attentions.1."]),
    "flux": (_SINGLE[:10], _SINGLE[10:]),
}


def fixed_blocks(loras: Sequence[LoRA]) -> Coefficients:
    """Return the coefficients 1 for each LoRA in its blocks, 0 elsewhere.

    The layers outside both parts, text encoders included, get a delta of 0. The roles of the blocks were found on these
    bases, so there are none for others.

    Args:
        loras: [content, style] of the family "sdxl" or "flux".

    Raises:
        ValueError: There are not two LoRAs, their shapes clash, their family has no such blocks, or a LoRA has no layer
            in its blocks.

    Reference:
        B-LoRA, arXiv 2403.14572; SplitFlux, arXiv 2511.15258.
    """
    if len(loras) != 2:
        raise ValueError(f"expected two LoRAs for fixed_blocks, [content, style], found {len(loras)}: give two")
    check_same_shapes(loras)
    family = next((lora.family for lora in loras if lora.family), "")
    if family not in BLOCKS:
        raise ValueError(
            f"expected LoRAs of the family {' or '.join(BLOCKS)}, whose blocks of content and style are known, found "
            f"{family or 'an unknown family'}: use another merger"
        )
    paths = dict.fromkeys(layer for lora in loras for layer in lora.layers)
    shares = {layer: tuple(layer.startswith(tuple(starts)) for starts in BLOCKS[family]) for layer in paths}
    for kind, lora, index in zip(("content", "style"), loras, (0, 1), strict=True):
        if not any(shares[layer][index] for layer in lora.layers):
            raise ValueError(
                f"expected layers of the {kind} in {BLOCKS[family][index][0]}.. of {lora.name or 'its LoRA'}, found "
                "none: swap the two, or use another merger"
            )
    return Coefficients({layer: tuple(torch.tensor(float(s)) for s in share) for layer, share in shares.items()})
