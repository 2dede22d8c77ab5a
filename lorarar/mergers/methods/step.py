"""Step: what acts in one sampling step, for mergers that do more than average predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lorarar.lora import LoRA


@dataclass(frozen=True, eq=False)
class Step:
    """LoRAs of one sampling step; none is the base alone.

    Attributes:
        loras: The LoRAs.
        joined: How they act together: "average" of their predictions; "choice" in each layer of the one that moves the
            layer's output further, by `lorarar.diffusion.adapted_by_choice`.
        unguided: Whether they act in the unconditional pass of classifier-free guidance too.
    """

    loras: tuple[LoRA, ...]
    joined: Literal["average", "choice"] = "average"
    unguided: bool = True
