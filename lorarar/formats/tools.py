"""Tools: which layers of a file ComfyUI and sd-scripts use, and at what strength.

The forms of names are facts of comfy/lora.py and comfy/weight_adapter (ComfyUI) and of networks/lora*.py (sd-scripts).
A name is derived from the layer, the opposite of reading, so that an error in one direction is found by the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lorarar.formats.algorithms.scaling import Scaling, gamma
from lorarar.formats.naming import blocks
from lorarar.formats.naming.originals import comfyui_scheme, kohya_scheme, original_layer
from lorarar.formats.reading import StoredLoRA
from lorarar.formats.stored import StoredLayer
from lorarar.lora import Rows, is_text_encoder, whole_layer
from lorarar.lora.families import FAMILIES, Family, UNetShape
from lorarar.storage import printable

# Fields of a form: {d} the path in diffusers, {a} the authors' name, {k} that of kohya's trainers; with an underscore
# after the letter, joined by underscores; {old} the path in diffusers' old files. {p} is a path in a text encoder.
_UNETS = ("sd15", "sd2", "sdxl", "koala")
_SD3 = ("sd3", "sd35-medium", "sd35-large")
_COMFYUI_ALL = ("lora_unet_{a_}", "diffusion_model.{a}")
_COMFYUI: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_UNETS, ("lora_unet_{d_}", "lycoris_{d_}", "{old}", "unet.{old}")),
    **dict.fromkeys(_SD3, ("transformer.{d}", "base_model.model.{d}", "lora_transformer_{d_}", "lycoris_{d_}")),
    **dict.fromkeys(("flux", "chroma"), ("transformer.{d}", "lycoris_{d_}", "lora_transformer_{d_}", "{d}")),
    "qwen-image": ("{d}", "transformer.{d}", "lycoris_{d_}"),
    "hidream": ("lycoris_{d_}", "transformer.{d}"),
    "z-image": ("diffusion_model.{d}", "transformer.{d}", "lycoris_{d_}", "{d}"),
    "hunyuan-video": ("transformer.{k}", "diffusion_model.{k}"),
}
_SD_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("sd15", "sd2"), ("lora_unet_{d_}",)),
    "sdxl": ("lora_unet_{a_}", "lora_unet_{d_}"),
    **dict.fromkeys((*_SD3, "flux", "chroma", "lumina2", "anima"), ("lora_unet_{a_}",)),
}
_CLIP_LAYERS = ("mlp.fc1", "mlp.fc2", *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")))
_T5_NUMBERS = {"flux": (2, 3), "chroma": (1, 2, 3)}  # of ComfyUI; sd-scripts calls it the third
# Dialects whose keys have no part that names the layer, and which ComfyUI converts.
_CONVERTED = {"diffusers (old)": _UNETS, "XLabs": ("flux",)}
_COMFYUI_ALGORITHMS = ("lora", "lora_tucker", "loha", "lokr", "dora", "full", "norm", "oft", "glora")


@dataclass(frozen=True)
class ToolView:
    """What a tool makes of a LoRA file.

    Attributes:
        tool: "ComfyUI", "sd-scripts" or "diffusers".
        layers: Number of layers that the file stores.
        ignored: Name of each layer that the tool ignores -> reason.
        strengths: Strength relative to the file's own scale -> number of used layers.
        unit: What `layers` counts.
    """

    tool: str
    layers: int
    ignored: Mapping[str, str]
    strengths: Mapping[float, int]
    unit: str = "layers"

    @property
    def complete(self) -> bool:
        """Whether the tool uses every layer at its own strength."""
        return not self.ignored and set(self.strengths) <= {1.0}

    def text(self) -> str:
        """Return what the tool does in a line."""
        used = self.layers - len(self.ignored)
        parts = [f"{self.tool} uses {used} of {self.layers} {self.unit}"]
        for reason, count in Counter(self.ignored.values()).items():
            first = next(name for name, why in self.ignored.items() if why == reason)
            parts.append(f"ignores {count} ({reason}), first {printable(first)}")
        parts += [f"applies {n} of them at {s:.4g} times their strength" for s, n in self.strengths.items() if s != 1]
        return "; it ".join(parts) if len(parts) > 1 else f"{parts[0]}, all at full strength"


def tool_views(stored: StoredLoRA) -> list[ToolView]:
    """Return what ComfyUI and sd-scripts make of a file; nothing where its family is unknown or the tool lacks it."""
    family = FAMILIES.get(stored.family)
    if family is None or family.key == "embedded":
        return []
    views = [_view("ComfyUI", stored, family)]
    return [*views, _view("sd-scripts", stored, family)] if family.key in _SD_SCRIPTS else views


def _view(tool: str, stored: StoredLoRA, family: Family) -> ToolView:
    names = {rows.paths[0]: name for name, rows in stored.names.items()}
    ignored: dict[str, str] = {}
    strengths: Counter[float] = Counter()
    for path, layer in stored.layers.items():
        name = names.get(path, path)
        reason = _reason(tool, name, layer, family, stored.dialect if path not in names else "")
        if reason:
            ignored[name] = reason
        else:
            strengths[_strength(tool, layer)] += 1
    return ToolView(tool, len(stored.layers), ignored, dict(strengths))


def _reason(tool: str, name: str, layer: StoredLayer, family: Family, nameless: str) -> str:
    """Return why a tool ignores a layer; "" if it uses the layer."""
    comfyui = tool == "ComfyUI"
    if any(not family.shape.admits(path, shape) for path, shape in layer.divided_shapes().items()):
        return f"not a layer of {family.label}, or of another shape"
    if layer.algorithm not in (_COMFYUI_ALGORITHMS if comfyui else ("lora",)):
        return f"{layer.algorithm}, which it does not read"
    if nameless:
        known = comfyui and family.key in _CONVERTED.get(nameless, ())
    else:
        known = name in set(_known_names(tool, layer.rows, family))
    return "" if known else "a name that it does not know"


def _strength(tool: str, layer: StoredLayer) -> float:
    """Return the tool's scale over the file's own: a tool reads alpha beside the layer alone."""
    rank = layer.rank
    if not rank or layer.algorithm not in ("lora", "lora_tucker", "loha", "dora", "glora"):
        return 1.0
    beside = {role: part for role, part in layer.parts.items() if role == "alpha"}
    if tool != "ComfyUI" and layer.alpha == 0:
        beside = {}  # sd-scripts counts 0 as the rank
    own, seen = gamma(layer.parts, layer.scaling, rank), gamma(beside, Scaling(), rank)
    return 1.0 if own == seen else round(seen / own, 4) if own else float("inf")


def _known_names(tool: str, rows: Rows, family: Family) -> Iterator[str]:
    """Yield the names under which a tool knows a layer."""
    path = rows.paths[0]
    if is_text_encoder(path):
        yield from _text_names(tool, path, family)
        return
    fields: dict[str, str] = {}
    if rows.shares == whole_layer(path).shares:
        old = path.replace(".to_", ".processor.to_")
        fields |= {"d": path, "old": old.removesuffix(".0") if old.endswith("to_out.0") else old}
    fields |= {key: name for key, name in _authors_names(rows, family).items() if name}
    fields |= {f"{key}_": name.replace(".", "_") for key, name in fields.items()}
    comfyui = (*_COMFYUI_ALL, *_COMFYUI.get(family.key, ()))
    for form in comfyui if tool == "ComfyUI" else _SD_SCRIPTS[family.key]:
        try:
            yield form.format(**fields)
        except KeyError:
            continue  # the layer has no such name


def _authors_names(rows: Rows, family: Family) -> dict[str, str | None]:
    """Return the authors' name of a stored layer, and that of kohya's trainers, where it holds exactly these rows."""
    path = rows.paths[0]
    if isinstance(family.shape, UNetShape):
        return {"a": blocks.to_sgm(path, family.shape)}
    names: dict[str, str | None] = {}
    for field, scheme in (("a", comfyui_scheme(family.key)), ("k", kohya_scheme(family.key))):
        try:
            name, whole = original_layer(path, scheme) if scheme else (path, whole_layer(path))
        except ValueError:
            continue
        names[field] = name if whole.paths == rows.paths else None
    return names


def _text_names(tool: str, layer: str, family: Family) -> Iterator[str]:
    model, _, path = layer.partition(".")
    number, widths, joined = (
        int(model.removeprefix("text_encoder").lstrip("_") or 1),
        family.shape.text,
        path.replace(".", "_"),
    )
    comfyui = tool == "ComfyUI"
    if not widths[number - 1]:  # T5, or a language model
        trained = [f"lora_te_{joined}"] if len(widths) == 1 else [f"lora_te3_{joined}"]
        numbers = _T5_NUMBERS.get(family.key, (3,))
        yield from (f"lora_te{n}_{joined}" for n in numbers) if comfyui else trained
        if comfyui:
            yield f"text_encoders.t5xxl.transformer.{path}"
        return
    if len(widths) == 1 or (comfyui and number == 1):
        yield f"lora_te_{joined}"
    if len(widths) > 1 or comfyui:
        yield f"lora_te{number}_{joined}"
    if comfyui and path.endswith(_CLIP_LAYERS):
        clip = "clip_h" if family.key == "sd2" else ("clip_l", "clip_g")[number - 1]
        yield from (f"{model}.{path}", f"text_encoders.{clip}.transformer.{path}")
