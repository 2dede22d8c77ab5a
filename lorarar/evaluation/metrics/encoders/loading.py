"""Loading of encoders by name."""

from __future__ import annotations

from pathlib import Path

from lorarar.evaluation.metrics.encoders.protocols import VisionEncoder
from lorarar.evaluation.metrics.encoders.resizing import Resize
from lorarar.storage import EMBEDDED_JUDGE, checked, unknown_name

ENCODERS = ("tower", "pixels", "dinov2", "clip", "vgg19")
_PATH_HINTS = {
    "dinov2": "give a folder, or a hub id such as facebook/dinov2-base",
    "clip": "give a folder, or a hub id such as openai/clip-vit-large-patch14",
    "vgg19": "give a safetensors file with torchvision's names",
}


def load_encoder(name: str, *, resize: Resize = "scale", path: str | Path | None = None) -> VisionEncoder:
    """Load an encoder.

    Which encoder suits a question is an empirical matter; experiments/metrics/validate_encoder.py measures it.

    Args:
        name: ``tower`` (vision tower of the embedded judge, for images of the toy world), ``pixels`` (colour
            statistics), ``dinov2``, ``clip`` (also encodes texts) or ``vgg19`` (for Gram matrices).
        resize: See `lorarar.evaluation.metrics.encoders.resizing.Canvas`.
        path: A folder or hub id (tower, dinov2, clip) or a safetensors file (vgg19). Only tower and pixels work
            without a path.

    Raises:
        ValueError: The name is unknown, a path is missing or superfluous, or the weights do not fit.
        OSError: There is no model at the path.
    """
    # Each encoder is imported when it is loaded: pixels needs no transformers.
    if name not in ENCODERS:
        raise ValueError(unknown_name("an encoder", name, ENCODERS))
    if name == "pixels":
        from lorarar.evaluation.metrics.encoders.pixels import load_pixels

        if path is not None:
            raise ValueError(f"expected no path for pixels, which has no weights, found {path}: leave the path out")
        return load_pixels(resize)
    if path is None:
        if name != "tower":
            raise ValueError(f"expected a path of the weights of {name}, found none: {_PATH_HINTS[name]}")
        path = checked(EMBEDDED_JUDGE)
    if name == "vgg19":
        from lorarar.evaluation.metrics.encoders.vgg19 import load_vgg19

        return load_vgg19(Path(path), resize)
    from lorarar.evaluation.metrics.encoders import transformers

    if name == "tower":
        return transformers.load_tower(path, resize)
    return transformers.load_clip(path, resize) if name == "clip" else transformers.load_dinov2(path, resize)
