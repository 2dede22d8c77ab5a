"""Settings of sampling, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from lorarar.storage import NonNegativeFloat, PositiveInt


@dataclass(frozen=True)
class Sampling:
    """How images are sampled.

    Attributes:
        steps: Steps of the base's scheduler.
        guidance: Scale of classifier-free guidance; 1 is without guidance. FLUX takes it as an input.
    """

    steps: PositiveInt = 50
    guidance: NonNegativeFloat = 5.0


# Of synthetic images, and of the images that score a merger on the toy world.
SAMPLING = Sampling(steps=15, guidance=2.5)
