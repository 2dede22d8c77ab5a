"""Statements: the base model that the header of a LoRA file names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_FIELDS = ("ss_base_model_version", "modelspec.architecture")
_SD3 = ("sd3", "sd35-medium", "sd35-large")
# Start of a field's value, without case and punctuation -> name of the model, and its families in the table: none for
# a model that the table lacks. The first start that matches decides.
_MODELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (r"flux2\w*klein\w*9b", "FLUX.2 klein 9B", ("flux2-klein-9b",)),
    (r"flux2\w*klein\w*4b", "FLUX.2 klein 4B", ("flux2-klein-4b",)),
    (r"flux2\w*klein", "FLUX.2 klein", ("flux2-klein-9b", "flux2-klein-4b")),
    (r"flux2", "FLUX.2", ("flux2-dev", "flux2-klein-9b", "flux2-klein-4b")),
    (r"flux3", "FLUX.3", ()),
    (r"flux", "FLUX.1", ("flux",)),
    (r"chroma", "Chroma", ("chroma",)),
    (r"(sdxl|stablediffusionxl)\w*refiner", "the refiner of Stable Diffusion XL", ()),
    (r"sdxl|stablediffusionxl", "Stable Diffusion XL", ("sdxl",)),
    (r"koala", "KOALA-700M", ("koala",)),
    (r"sdv?1|stablediffusionv?1", "Stable Diffusion 1", ("sd15",)),
    (r"sdv?2|stablediffusionv?2", "Stable Diffusion 2", ("sd2",)),
    (r"(sd|stablediffusion)v?35l", "Stable Diffusion 3.5 large", ("sd35-large",)),
    (r"(sd|stablediffusion)v?35m", "Stable Diffusion 3.5 medium", ("sd35-medium",)),
    (r"sdv?3|stablediffusionv?3", "Stable Diffusion 3", _SD3),
    (r"qwenimage2[01](?!\d)", "Qwen-Image 2", ("qwen-image-2.1",)),
    (r"qwenimage", "Qwen-Image", ("qwen-image",)),
    (r"zimage", "Z-Image", ("z-image",)),
    (r"lorararembedded", "the embedded toy base", ("embedded",)),
    (r"hunyuanvideo15", "HunyuanVideo 1.5", ()),
    (r"hunyuanvideo|framepack", "HunyuanVideo", ("hunyuan-video",)),
    (r"hunyuanimage", "HunyuanImage", ()),
    (r"hunyuandit", "HunyuanDiT", ()),
    (r"wan", "Wan", ("wan-14b", "wan-5b", "wan-1.3b")),
    (r"hidreamo1", "HiDream-O1", ()),
    (r"hidream", "HiDream", ("hidream",)),
    (r"lumina", "Lumina 2", ("lumina2",)),
    (r"ltxv?2|ltxav", "LTX-2", ("ltx2",)),
    (r"ltx", "LTX", ("ltx-video", "ltx-video-13b", "ltx2")),
    (r"krea", "Krea 2", ("krea2",)),
    (r"anima", "Anima", ("anima",)),
    (r"ideogram", "Ideogram 4", ("ideogram4",)),
    (r"kandinsky5", "Kandinsky 5", ("kandinsky5-lite", "kandinsky5-image", "kandinsky5-pro")),
    (r"kandinsky", "Kandinsky", ()),
    (r"cosmos", "Cosmos", ()),
    (r"auraflow", "AuraFlow", ()),
    (r"pixart", "PixArt", ()),
    (r"kolors", "Kolors", ()),
    (r"sana", "Sana", ()),
    (r"(stable)?cascade", "Stable Cascade", ()),
    (r"llama|mistral|gemma|qwen[23]", "a language model", ()),
)


@dataclass(frozen=True)
class Statement:
    """What one field of a header says about the base model.

    Attributes:
        field: The field.
        value: Its value.
        label: Name of the model.
        families: Families that the model can be, keys of `FAMILIES`; empty for a model that the table lacks.
    """

    field: str
    value: str
    label: str
    families: frozenset[str]


def stated_models(header: Mapping[str, str]) -> list[Statement]:
    """Return what the header says about the base model; a field with a value that is not known says nothing."""
    found: list[Statement] = []
    for field in _FIELDS:
        value = header.get(field, "")
        text = re.sub(r"[^a-z0-9]", "", value.lower())
        for start, label, families in _MODELS:
            if re.match(start, text):
                found.append(Statement(field, value, label, frozenset(families)))
                break
    return found
