"""Windows: content early, style late, and no LoRA in the unconditional pass of classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import LoRA, check_same_shapes
from lorarar.mergers.methods.layers import add_deltas
from lorarar.mergers.methods.step import Step


def windows(loras: Sequence[LoRA], steps: int, *, content_end: float = 0.7, style_start: float = 0.3) -> list[Step]:
    """Return the sum of the LoRAs whose window holds the step, for each sampling step; the base alone where none does.

    Steps count from 1 (the noisiest) to T: the content acts up to `content_end` T, the style from `style_start` T on.
    The defaults are the steps 1 to 35 and 15 to 50 of 50. Guidance takes its unconditional prediction from the base
    alone; a guidance of 1, and FLUX, have none.

    The paper has further parts, a fine-tuned base and an encoder that chooses layers, which are left out. Its release
    leaves the windows open.

    Args:
        loras: [content, style], with weights folded into their deltas.
        steps: Number of steps T.
        content_end: Share of the steps after which the content stops.
        style_start: Share of the steps at which the style starts.

    Raises:
        ValueError: The number of LoRAs is not two, their shapes clash, or a share is out of range.

    Reference:
        CRAFT-LoRA, arXiv 2602.18936, asymmetric classifier-free guidance.
    """
    if len(loras) != 2:
        raise ValueError(f"expected two LoRAs for windows, [content, style], found {len(loras)}: give two")
    if not (0 <= content_end <= 1 and 0 <= style_start <= 1):
        raise ValueError(
            f"expected content_end and style_start from 0 to 1, found {content_end} and {style_start}: give shares of "
            "the steps"
        )
    check_same_shapes(loras)
    content, style = loras
    both = _sum(content, style)
    schedule = []
    for step in range(1, steps + 1):
        early, late = step <= content_end * steps, step >= style_start * steps
        active = both if early and late else content if early else style if late else None
        schedule.append(Step((active,) if active else (), unguided=False))
    return schedule


def _sum(content: LoRA, style: LoRA) -> LoRA:
    paths = dict.fromkeys([*content.layers, *style.layers])
    return LoRA({la: add_deltas([lo.layers[la] for lo in (content, style) if la in lo.layers]) for la in paths})
