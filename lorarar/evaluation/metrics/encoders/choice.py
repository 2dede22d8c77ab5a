"""Choice of an encoder and of how images are brought to its size, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from lorarar.storage import ModelName

Resize = Literal["scale", "letterbox", "crop", "stretch"]
RESIZES: tuple[Resize, ...] = get_args(Resize)


@dataclass(frozen=True)
class EncoderChoice:
    """The choice of an encoder, see `lorarar.evaluation.metrics.encoders.load_encoder` for the values.

    Attributes:
        name: Name of the encoder.
        path: Weights of the encoder, a folder, a file or a hub id; None where it needs none.
        resize: How images are brought to its size.
    """

    name: str
    path: ModelName | None = None
    resize: Resize = "scale"
