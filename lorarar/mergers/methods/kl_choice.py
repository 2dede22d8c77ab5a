"""KL choice: in each sampling step each layer takes the LoRA that changes the layer's output more."""

from __future__ import annotations

from collections.abc import Sequence

from lorarar.lora import LoRA, check_same_shapes
from lorarar.mergers.methods.step import Step


def kl_choice(loras: Sequence[LoRA], steps: int) -> list[Step]:
    """Return both LoRAs for each step, of which each layer takes the one with the larger divergence for its input.

    The divergence is KL(p || p_i), with p the softmax over the channels of the base's output y and p_i that of
    y + dW_i x, the mean over the positions of an image. The paper's formula was not at hand, only its abstract and
    notes of others, who miss its normalisation too; its second part, guidance by CLIP and DINO scores, is left out.

    Args:
        loras: Two or more LoRAs, with weights folded into their deltas.
        steps: Number of sampling steps.

    Raises:
        ValueError: There are fewer than two LoRAs, or their shapes clash.

    Reference:
        arXiv 2602.15539, feature-level selection.
    """
    if len(loras) < 2:
        raise ValueError(f"expected two or more LoRAs to choose from, found {len(loras)}: give two")
    check_same_shapes(loras)
    return [Step(tuple(loras), "choice")] * steps
