"""Encoders by name. Which one is fit for a question has to be shown: `lorarar metrics validate`."""

from __future__ import annotations

from pathlib import Path

from lorarar.evaluation.metrics.encoders.protocols import Encoder, MapEncoder, TextEncoder
from lorarar.evaluation.metrics.encoders.resizing import RESIZES, Resize
from lorarar.storage import EMBEDDED_JUDGE

NAMES = ("tower", "pixels", "dinov2", "clip", "vgg19")

__all__ = ["NAMES", "RESIZES", "Encoder", "MapEncoder", "Resize", "TextEncoder", "load_encoder"]


def load_encoder(name: str, *, resize: Resize = "scale", path: str | Path | None = None) -> Encoder:
    """Loads an encoder.

    Args:
        name: ``tower`` (the embedded judge's vision tower, for images of the toy world), ``pixels`` (colour
            statistics), ``dinov2``, ``clip`` (has texts), ``vgg19`` (for Gram matrices).
        resize: see `lorarar.evaluation.metrics.encoders.resizing.Canvas`.
        path: a folder (tower), a folder or hub id (dinov2, clip) or a safetensors file (vgg19); only the tower
            and pixels do without.

    Raises:
        ValueError: an unknown name, a missing or needless path, or weights that do not fit.
        OSError: no model at the path.
    """
    if name == "pixels":
        from lorarar.evaluation.metrics.encoders.pixels import load_pixels

        if path is not None:
            raise ValueError(f"expected no path for pixels, which has no weights, found {path}: leave it out")
        return load_pixels(resize)
    if name not in NAMES:
        raise ValueError(f"expected an encoder of {list(NAMES)}, found {name!r}")
    if path is None and name != "tower":
        raise ValueError(f"expected a path of {name}'s weights, found none: {_WANTED[name]}")
    if name == "vgg19":
        from lorarar.evaluation.metrics.encoders.vgg19 import load_vgg19

        return load_vgg19(Path(str(path)), resize)
    from lorarar.evaluation.metrics.encoders import transformers

    if name == "tower":
        return transformers.load_tower(Path(path or _checked_judge()), resize)
    return transformers.load_clip(str(path), resize) if name == "clip" else transformers.load_dinov2(str(path), resize)


_WANTED = {
    "dinov2": "give a folder, or a hub id such as facebook/dinov2-base",
    "clip": "give a folder, or a hub id such as openai/clip-vit-large-patch14",
    "vgg19": "give a safetensors file with torchvision's names",
}


def _checked_judge() -> Path:
    from lorarar.storage import checked

    return checked(EMBEDDED_JUDGE)
