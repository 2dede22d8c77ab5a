"""Naming schemes: the authors' names of transformer layers beside the diffusers names of the same layers, as tables.

A line of a table holds an authors' name and the diffusers layers in its rows, from the top; a line with one name is a
layer with the same name in both. Indented lines are within the block of the line before them that ends in a colon; `#`
is the number of the block. `4*` is a share of the rows that is four times as large, `~` a last modulation whose halves
are swapped. Sources: the authors' checkpoints and the names in ComfyUI, sd-scripts, musubi-tuner and diffusers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from lorarar.formats.naming import image_tables as image
from lorarar.formats.naming import video_tables as video


@dataclass(frozen=True)
class Entry:
    """Line of a table.

    Attributes:
        name: The authors' name, with `#` for the number of the block.
        shares: (diffusers name, its share of the rows), from the top.
        halves, unit: As in `lorarar.lora.Rows`.
    """

    name: str
    shares: tuple[tuple[str, int], ...]
    halves: bool = False
    unit: int = 1


@dataclass(frozen=True)
class Scheme:
    """Names of the layers of some families.

    Attributes:
        families: Families whose authors or tools use the names.
        entries: The layers, in order.
        open: Whether layers in blocks without a line have the same name in diffusers.
    """

    families: tuple[str, ...]
    entries: tuple[Entry, ...]
    open: bool = False

    @cached_property
    def by_name(self) -> dict[str, Entry]:
        """Authors' name, joined by underscores as in kohya's keys -> line."""
        return {entry.name.replace(".", "_"): entry for entry in self.entries}

    @cached_property
    def by_layer(self) -> dict[str, Entry]:
        """diffusers name -> the first line that contains it."""
        lines: dict[str, Entry] = {}
        for entry in self.entries:
            for path, _ in entry.shares:
                lines.setdefault(path, entry)
        return lines

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """Beginnings of the authors' names that tell the scheme, joined by underscores: those of its blocks.

        Where the blocks are named as in diffusers, the layers outside the blocks tell it.
        """
        blocks = {entry.name.partition("#")[0] for entry in self.entries if "#" in entry.name} - {"transformer_blocks."}
        return tuple(name.replace(".", "_") for name in blocks) or tuple(self.by_name)


def _scheme(families: str, *tables: str, unit: int = 1, open: bool = False) -> Scheme:
    return Scheme(tuple(families.split()), tuple(_entries("\n".join(tables), unit)), open)


def _entries(text: str, unit: int) -> Iterable[Entry]:
    original = diffusers = ""
    for line in filter(str.strip, text.splitlines()):
        name, *targets = line.split()
        if name.endswith(":"):
            original, diffusers = f"{name[:-1]}.", f"{(targets or [name[:-1]])[0]}."
            continue
        before, within = (original, diffusers) if line.startswith(" ") else ("", "")
        shares: list[tuple[str, int]] = []
        for target in targets or [name]:
            share, star, path = target.lstrip("~").rpartition("*")
            shares.append((within + path, int(share) if star else 1))
        swapped = any(target.startswith("~") for target in targets)
        yield Entry(before + name, tuple(shares), swapped, unit if len(shares) > 1 else 1)


def _for_each(text: str, names: Iterable[str] | Mapping[str, str]) -> str:
    """Return the lines once for each name that replaces `@`; its value in a mapping replaces `>`."""
    values = names if isinstance(names, Mapping) else {name: name for name in names}
    return "\n".join(text.replace("@", name).replace(">", value) for name, value in values.items())


_REFINERS = ("layers", "noise_refiner", "context_refiner")
_KREA_BLOCKS = {
    "blocks.#": "transformer_blocks.#",
    "txtfusion.layerwise_blocks.#": "text_fusion.layerwise_blocks.#",
    "txtfusion.refiner_blocks.#": "text_fusion.refiner_blocks.#",
}
_LTX_ATTENTIONS = ("attn1", "attn2", "audio_attn1", "audio_attn2", "audio_to_video_attn", "video_to_audio_attn")
# Name -> names of the layers. A file whose names several schemes know has those of the first whose family fits; that
# is also the scheme in which kohya's names are written.
SCHEMES: Mapping[str, Scheme] = {
    "flux": _scheme(
        "flux chroma",
        image.BFL_DOUBLE,
        image.BFL_FEED_FORWARD,
        image.BFL_SINGLE,
        image.XLABS,
        image.BFL_OUTSIDE,
        "img_in x_embedder",
    ),
    "flux2": _scheme("flux2-dev flux2-klein-9b flux2-klein-4b", image.BFL_DOUBLE, image.FLUX2),
    "sd3": _scheme("sd3 sd35-medium sd35-large", image.SD3),
    "z-image": _scheme("z-image", _for_each(image.Z_IMAGE, _REFINERS), image.Z_IMAGE_OUTSIDE, open=True),
    "lumina2": _scheme(
        "lumina2",
        _for_each(image.LUMINA, _REFINERS),
        _for_each(image.LUMINA_MODULATED, _REFINERS[:2]),
        image.LUMINA_OUTSIDE,
        unit=3,
    ),
    "ideogram4": _scheme("ideogram4", image.IDEOGRAM),
    "krea2": _scheme("krea2", _for_each(image.KREA, _KREA_BLOCKS), image.KREA_OUTSIDE),
    "anima": _scheme("anima", image.ANIMA),
    "hunyuan-video": _scheme("hunyuan-video", video.HUNYUAN, video.HUNYUAN_TEXT),
    "hunyuan-video-comfyui": _scheme(
        "hunyuan-video",
        image.BFL_DOUBLE,
        image.BFL_FEED_FORWARD,
        image.BFL_SINGLE,
        image.BFL_OUTSIDE.replace("txt_in context_embedder\n", ""),
        video.HUNYUAN_COMFYUI,
        video.HUNYUAN_TEXT,
    ),
    "wan": _scheme("wan-14b wan-5b wan-1.3b", video.WAN),
    "ltx": _scheme(
        "ltx-video ltx-video-13b ltx2",
        _for_each(video.LTX_NORMS, _LTX_ATTENTIONS),
        video.LTX_OUTSIDE,
        _for_each(video.LTX_MODULATION, video.LTX_MODULATIONS),
        open=True,
    ),
}
