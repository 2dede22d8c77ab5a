"""Why a metric was not measured: a gap in a table says nothing, a reason says what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lorarar.datasets import Item
from lorarar.evaluation.metrics.encoders.protocols import MapEncoder, TextEncoder
from lorarar.evaluation.metrics.images_seen import Encoders
from lorarar.evaluation.metrics.scoring import ImageScores, PairScores
from lorarar.evaluation.report.metric_names import METRICS


def not_measured(
    items: Sequence[Item], images: Sequence[ImageScores], pairs: Sequence[PairScores], encoders: Encoders, base: str
) -> dict[str, str]:
    """For each metric that no pair has: why."""
    missing = [name for name in METRICS if all(math.isnan(pair.values.get(name, math.nan)) for pair in pairs)]
    if all(image.refused for image in images):
        return dict.fromkeys(missing, "no image could be read")
    return {name: _reason(name, items, encoders, base) for name in missing}


def _reason(name: str, items: Sequence[Item], encoders: Encoders, base: str) -> str:
    if name == "controllability":
        return _of_text(items, encoders)
    if name in ("style_gram", "base_preservation") and not isinstance(encoders.gram, MapEncoder):
        return f"the encoder {encoders.gram.name} has no feature maps: choose tower, pixels, dinov2 or vgg19 as gram"
    if name == "base_preservation":
        if all(item.method != base for item in items):
            return f"there are no images of a method {base!r}: add the base model's own"
        return f"no image has one of {base!r} at the same pair, prompt and seed"
    if name == "diversity":
        return "no prompt has two images of one method and pair that can be read"
    return "no reference of any concept could be read"


def _of_text(items: Sequence[Item], encoders: Encoders) -> str:
    if encoders.text is None:
        return "no encoder with texts was given: choose clip as text"
    if not isinstance(encoders.text, TextEncoder):
        return f"the encoder {encoders.text.name} has no text side: choose clip as text"
    if not any(item.prompt for item in items):
        return "the manifest has no prompts"
    return "no prompt has words left without its triggers"
