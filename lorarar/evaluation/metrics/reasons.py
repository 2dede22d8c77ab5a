"""Reasons for gaps: why a metric was not measured, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lorarar.datasets import Item
from lorarar.evaluation.metrics.encoders.protocols import MapEncoder, TextEncoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.scoring import ImageScores, PairScores
from lorarar.evaluation.metrics.table import METRICS


def explain_gaps(
    items: Sequence[Item], images: Sequence[ImageScores], pairs: Sequence[PairScores], encoders: Encoders, base: str
) -> dict[str, str]:
    """Return a reason for each metric that no pair has.

    Args:
        items: The images that were to be scored.
        images: Their scores.
        pairs: The scores of their pairs.
        encoders: The encoders that scored them.
        base: The method whose images come from the base model alone.
    """
    missing = [name for name in METRICS if all(math.isnan(pair.values.get(name, math.nan)) for pair in pairs)]
    if all(image.refused for image in images):
        return dict.fromkeys(missing, "no image could be read")
    return {name: _reason(name, items, encoders, base) for name in missing}


def _reason(name: str, items: Sequence[Item], encoders: Encoders, base: str) -> str:
    if name == "controllability":
        return _reason_for_text(items, encoders)
    if name in ("style_gram", "base_preservation") and not isinstance(encoders.gram, MapEncoder):
        return f"the encoder {encoders.gram.name} has no feature maps: choose tower, pixels, dinov2 or vgg19 as gram"
    if name == "base_preservation":
        if all(item.method != base for item in items):
            return f"there are no images of a method {base!r}: add images of the base model alone"
        return f"no image has one of {base!r} at the same pair, prompt and seed"
    if name == "diversity":
        return "no prompt has two readable images of one method and pair"
    if name in METRICS.own():
        return "no reference of any concept could be read"
    return "its plugin has no value for any pair"


def _reason_for_text(items: Sequence[Item], encoders: Encoders) -> str:
    if encoders.text is None:
        return "the configuration names no text encoder: choose clip as text"
    if not isinstance(encoders.text, TextEncoder):
        return f"the encoder {encoders.text.name} cannot encode texts: choose clip as text"
    if not any(item.prompt for item in items):
        return "the manifest has no prompts"
    return "every prompt is empty without its triggers"
