"""Nodes: inspect, merge, apply and save LoRAs in ComfyUI.

A LoRA in memory has ComfyUI's own type LORA_MODEL, a dictionary of tensors in names that ComfyUI reads, so that its
node "Load LoRA Model" takes it too. A stack has the type LORA_STACK of the common packs of nodes: a list of (file,
model strength, clip strength).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import folder_paths
import torch

from lorarar.formats import check_written, encode_lora, load_all, save, trigger_phrases
from lorarar.formats.inspection import inspect
from lorarar.lora import LoRA, LowRank, is_text_encoder
from lorarar.lora.families import FAMILIES
from lorarar.mergers import MERGERS, MergeRequest, combine, merge_metadata
from lorarar.storage import Stage, digest, observed_progress, sha256

CATEGORY, LORA, STACK = "lorarar", "LORA_MODEL", "LORA_STACK"
NONE, DEFAULT = "None", "default"
Inputs = dict[str, dict[str, tuple[Any, ...]]]
Entry = tuple[str, float, float]  # file, model strength, clip strength


class MergedLoRA(dict[str, torch.Tensor]):
    """Tensors of a merged LoRA in names that ComfyUI reads, in fp16 as in a file.

    Attributes:
        lora: The same LoRA with its metadata.
    """

    def __init__(self, lora: LoRA) -> None:
        super().__init__(encode_lora(lora, format=_format(lora)))
        self.lora = lora


class Inspect:
    """Report on a LoRA file: family, layers, ranks, warnings, trigger words."""

    TITLE = "Inspect LoRA (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES, RETURN_NAMES = ("STRING", "STRING"), ("report", "trigger_words")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"lora": (_files(),)}}

    @classmethod
    def IS_CHANGED(cls, lora: str) -> str:
        return _hash(lora)

    def run(self, lora: str) -> dict[str, Any]:
        """Return the report and the trigger words."""
        path = _path(lora)
        report = inspect(path)
        return _shown(report.text(), ", ".join(report.triggers))


class Merge:
    """Merge LoRAs on the CPU into one LoRA in memory: two files, a stack, or both."""

    TITLE = "Merge LoRAs (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES, RETURN_NAMES = (LORA, "STRING", "STRING"), ("lora", "trigger_words", "report")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        strength = {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.01}
        return {
            "required": {
                "method": (
                    [DEFAULT, *(name for name, row in MERGERS.items() if _is_closed_form(row))],
                    {"tooltip": "default: the network that is shipped for the files' family, else auto."},
                ),
                "balance": (
                    "FLOAT",
                    {"default": -1.0, "min": -1.0, "max": 1.0, "step": 0.05, "tooltip": "How far to bring the LoRAs to "
                     "one length, 0 to 1; -1 is the method's own."},
                ),
            },
            "optional": {
                "content": ([NONE, *_files()], {"tooltip": "LoRA of a subject."}),
                "content_weight": ("FLOAT", strength),
                "style": ([NONE, *_files()], {"tooltip": "LoRA of a style."}),
                "style_weight": ("FLOAT", strength),
                "lora_stack": (STACK, {"tooltip": "More LoRAs, from a stack node."}),
                "text_encoder": ("FLOAT", {**strength, "tooltip": "Weight of the text encoders' layers."}),
                "block_weights": (
                    "STRING",
                    {"default": "", "multiline": True, "tooltip": "A line for each block, one weight for all LoRAs or "
                     "one for each: up_blocks.1=0.8 or mid_block=1,0.5"},
                ),
                "network": ("STRING", {"default": "", "tooltip": "A trained merger: a file, a folder or a hub id."}),
                "rank": ("INT", {"default": 0, "min": 0, "max": 4096, "tooltip": "Largest rank; 0 keeps the full."}),
                "options": ("STRING", {"default": "", "tooltip": "Settings of the method: density=0.3, seed=1"}),
            },
        }  # fmt: skip

    @classmethod
    def IS_CHANGED(cls, content: str = NONE, style: str = NONE, network: str = "", **more: Any) -> str:
        files = [_hash(name) for name in (content, style) if name and name != NONE]
        trained = sha256(network) if network and Path(network).is_file() else network
        return digest([*files, trained, sorted((key, repr(value)) for key, value in more.items())])

    def run(
        self,
        method: str,
        balance: float = -1.0,
        content: str = NONE,
        content_weight: float = 1.0,
        style: str = NONE,
        style_weight: float = 1.0,
        lora_stack: Sequence[Entry] | None = None,
        text_encoder: float = 1.0,
        block_weights: str = "",
        network: str = "",
        rank: int = 0,
        options: str = "",
    ) -> tuple[MergedLoRA, str, str]:
        """Return the merged LoRA, the trigger words of all inputs, and a report.

        Raises:
            FormatError: A file cannot be read.
            ValueError: No file is given, or the LoRAs do not fit each other or the method.
        """
        pairs = [(content, content_weight, content_weight), (style, style_weight, style_weight), *(lora_stack or ())]
        entries = [entry for entry in pairs if entry[0] and entry[0] != NONE]
        if not entries:
            raise ValueError("expected LoRAs to merge, found none: choose a content and a style, or connect a stack")
        request = MergeRequest(
            merger=None if method == DEFAULT or network else method,
            network=network or None,
            weights=[model for _, model, _ in entries],
            text_encoder=[_text_factor(*entry) * text_encoder for entry in entries],
            blocks=parse_blocks(block_weights),
            balance=None if balance < 0 else balance,
            rank=rank or None,
            options=parse_options(options),
            device="cpu",
        )
        with _shown_progress(), torch.inference_mode(False), torch.no_grad():
            loras = load_all([_path(name) for name, _, _ in entries])
            merged = combine(loras, request)
            lora = replace(merged.lora, metadata={**merged.lora.metadata, **merge_metadata(loras, merged)})
            words = dict.fromkeys(phrase for lora in loras for phrase in trigger_phrases(lora))
            notes = [f"method: {merged.method.name}", *(f"warning: {text}" for text in merged.warnings), *merged.notes]
            return MergedLoRA(lora), ", ".join(words), "\n".join([repr(lora), *notes])


class Apply:
    """Apply a merged LoRA to a model, and to its text encoders where they are connected."""

    TITLE = "Apply merged LoRA (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES = ("MODEL", "CLIP")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        strength = ("FLOAT", {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.01})
        return {
            "required": {"model": ("MODEL",), "lora": (LORA,), "strength_model": strength},
            "optional": {"clip": ("CLIP",), "strength_clip": strength},
        }

    def run(
        self,
        model: Any,
        lora: dict[str, torch.Tensor],
        strength_model: float,
        clip: Any = None,
        strength_clip: float = 1.0,
    ) -> tuple[Any, Any]:
        """Return the model and the text encoders with the LoRA."""
        import comfy.sd

        found: tuple[Any, Any] = comfy.sd.load_lora_for_models(model, clip, lora, strength_model, strength_clip)
        return found


class Save:
    """Save a merged LoRA into ComfyUI's folder of LoRAs, read the file again and compare it."""

    TITLE = "Save merged LoRA (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES, RETURN_NAMES = ("STRING", "STRING"), ("file", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "lora": (LORA,),
                "name": ("STRING", {"default": "merged", "tooltip": "Name of the file in the first folder of LoRAs."}),
                "dtype": (["fp16", "bf16", "fp32"],),
                "overwrite": ("BOOLEAN", {"default": False, "tooltip": "Otherwise a number is added to the name."}),
            }
        }

    def run(self, lora: dict[str, torch.Tensor], name: str, dtype: str, overwrite: bool) -> dict[str, Any]:
        """Return the path of the file and what it holds.

        Raises:
            FormatError: The file cannot be written, or holds something else when it is read again.
            ValueError: The LoRA is not of the merging node, or the name leads out of the folder.
        """
        if not isinstance(lora, MergedLoRA):
            raise ValueError("expected a LoRA of the node that merges, found another: save it with ComfyUI's Save LoRA")
        path = _new_file(name, overwrite)
        written = save(lora.lora, path, format=_format(lora.lora), dtype=dtype, force=overwrite)
        return _shown(str(path), f"{path.name}: {check_written(written[0], lora.lora).text()}")


NODES: dict[str, Any] = {"Inspect": Inspect, "Merge": Merge, "Apply": Apply, "Save": Save}


def parse_blocks(text: str) -> dict[str, list[float] | float]:
    """Return block -> weights of lines such as "up_blocks.1=0.8" and "mid_block=1,0.5".

    Raises:
        ValueError: A line is not of this form.
    """
    blocks: dict[str, list[float] | float] = {}
    for line in filter(None, map(str.strip, text.replace(";", "\n").splitlines())):
        name, _, weights = line.partition("=")
        try:
            numbers = [float(number) for number in weights.split(",")]
        except ValueError:
            raise ValueError(f"expected a block and its weights such as up_blocks.1=0.8, found {line!r}") from None
        blocks[name.strip()] = numbers[0] if len(numbers) == 1 else numbers
    return blocks


def parse_options(text: str) -> dict[str, float]:
    """Return the settings of a text such as "density=0.3, seed=1".

    Raises:
        ValueError: A setting is not of this form.
    """
    options: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.replace("\n", ",").split(","))):
        name, _, value = part.partition("=")
        try:
            options[name.strip()] = float(value) if "." in value or "e" in value else int(value)
        except ValueError:
            raise ValueError(f"expected a setting and its number such as density=0.3, found {part!r}") from None
    return options


def _is_closed_form(row: Any) -> bool:
    return row.kind != "runtime" and not row.learned and not row.on_base


def _text_factor(name: str, model: float, clip: float) -> float:
    """Return the factor of the text encoders beside the model's strength."""
    if not model and clip:
        raise ValueError(f"expected a model strength other than 0 for {name}, whose clip strength is {clip:g}")
    return clip / model if model else 1.0


def _format(lora: LoRA) -> str | None:
    """Return the dialect whose names ComfyUI knows for every layer; None is the default of the family."""
    if not lora.family or FAMILIES[lora.family].denoiser == "unet":
        return None
    low_rank = all(isinstance(layer, LowRank) for layer in lora.layers.values())
    return "comfyui" if low_rank and not any(map(is_text_encoder, lora.layers)) else "kohya"


def _files() -> list[str]:
    return list(folder_paths.get_filename_list("loras"))


def _path(name: str) -> str:
    return str(folder_paths.get_full_path_or_raise("loras", name))


def _hash(name: str) -> str:
    """Return the SHA-256 of a file, computed again when its size or time changes."""
    path = Path(_path(name))
    state = path.stat()
    return _hash_of(path, state.st_size, state.st_mtime_ns)


@cache
def _hash_of(path: Path, size: int, changed: int) -> str:
    return sha256(path)


def _new_file(name: str, overwrite: bool) -> Path:
    """Return the file to write, in the first folder of LoRAs."""
    folder = Path(folder_paths.get_folder_paths("loras")[0]).resolve()
    path = (folder / f"{name.removesuffix('.safetensors')}.safetensors").resolve()
    if folder not in path.parents:
        raise ValueError(f"expected a name within {folder}, found {name!r}: give a name without ..")
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while path.exists() and not overwrite:
        number += 1
        path = path.with_name(f"{Path(name).name.removesuffix('.safetensors')}_{number}.safetensors")
    return path


def _shown(*texts: str) -> dict[str, Any]:
    """Return the outputs of a node, of which the interface shows the texts."""
    return {"ui": {"text": list(texts)}, "result": texts}


@contextmanager
def _shown_progress() -> Iterator[None]:
    """Show the progress in the node, and end the work when the user interrupts it."""
    import comfy.model_management
    import comfy.utils

    bars: dict[int, Any] = {}

    def observe(stage: Stage) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if stage.total:
            bar = bars.setdefault(id(stage), comfy.utils.ProgressBar(stage.total))
            bar.update_absolute(stage.done)

    with observed_progress(observe):
        yield
