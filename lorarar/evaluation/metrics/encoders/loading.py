"""Loading of encoders by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lorarar.evaluation.metrics.encoders.choice import Resize
from lorarar.evaluation.metrics.encoders.protocols import MovableEncoder, VisionEncoder
from lorarar.lora import pick_device
from lorarar.storage import EMBEDDED_JUDGE, Table, checked, quiet_libraries


@dataclass(frozen=True)
class EncoderKind:
    """A sort of encoder.

    Attributes:
        name: Name in configurations; also the `name` of the encoders that it loads.
        load: Function of the path of the weights, or None without one, and the way of resizing -> the encoder.
    """

    name: str
    load: Callable[[str | Path | None, Resize], VisionEncoder]


# Each encoder is imported when it is loaded: pixels needs no transformers.
def _tower(path: str | Path | None, resize: Resize) -> VisionEncoder:
    from lorarar.evaluation.metrics.encoders.likeness import TOWER_LIKENESS, load_likeness
    from lorarar.evaluation.metrics.encoders.transformers import load_tower

    if path is not None:
        return load_tower(path, resize)
    return load_tower(checked(EMBEDDED_JUDGE), resize, load_likeness(TOWER_LIKENESS))


def _pixels(path: str | Path | None, resize: Resize) -> VisionEncoder:
    from lorarar.evaluation.metrics.encoders.pixels import load_pixels

    if path is not None:
        raise ValueError(f"expected no path for pixels, which has no weights, found {path}: leave the path out")
    return load_pixels(resize)


def _dinov2(path: str | Path | None, resize: Resize) -> VisionEncoder:
    from lorarar.evaluation.metrics.encoders.transformers import load_dinov2

    return load_dinov2(_given(path, "dinov2", "give a folder, or a hub id such as facebook/dinov2-base"), resize)


def _clip(path: str | Path | None, resize: Resize) -> VisionEncoder:
    from lorarar.evaluation.metrics.encoders.transformers import load_clip

    return load_clip(_given(path, "clip", "give a folder, or a hub id such as openai/clip-vit-large-patch14"), resize)


def _vgg19(path: str | Path | None, resize: Resize) -> VisionEncoder:
    from lorarar.evaluation.metrics.encoders.vgg19 import load_vgg19

    return load_vgg19(Path(_given(path, "vgg19", "give a safetensors file with torchvision's names")), resize)


def _given(path: str | Path | None, name: str, hint: str) -> str | Path:
    if path is None:
        raise ValueError(f"expected a path of the weights of {name}, found none: {hint}")
    return path


ENCODERS: Table[EncoderKind] = Table(
    "ENCODERS",
    EncoderKind,
    "an encoder",
    [
        EncoderKind("tower", _tower),
        EncoderKind("pixels", _pixels),
        EncoderKind("dinov2", _dinov2),
        EncoderKind("clip", _clip),
        EncoderKind("vgg19", _vgg19),
    ],
)


def load_encoder(
    name: str, *, resize: Resize = "scale", path: str | Path | None = None, device: str = "auto"
) -> VisionEncoder:
    """Load an encoder.

    Which encoder suits a question is an empirical matter; experiments/metrics/validate_encoder.py measures it.

    Args:
        name: ``tower`` (vision tower of the embedded judge, for images of the toy world), ``pixels`` (colour
            statistics), ``dinov2``, ``clip`` (also encodes texts), ``vgg19`` (for Gram matrices), or one of a plugin.
        resize: See `lorarar.evaluation.metrics.encoders.resizing.Canvas`.
        path: A folder or hub id (tower, dinov2, clip) or a safetensors file (vgg19). Of these only tower and pixels
            work without a path.
        device: "cpu", "cuda", "mps", or "auto" for the best that is present; for encoders that can be moved.

    Raises:
        ValueError: The name is unknown, a path is missing or superfluous, or the weights do not fit.
        OSError: There is no model at the path.
    """
    quiet_libraries()
    encoder = ENCODERS.find(name).load(path, resize)
    if encoder.name != name:  # results and caches name the encoder, and find its plugin, by this name
        raise ValueError(f"expected an encoder whose name is {name!r}, found {encoder.name!r}: give both one name")
    return encoder.to(str(pick_device(device))) if isinstance(encoder, MovableEncoder) else encoder
