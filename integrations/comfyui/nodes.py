"""Nodes of LoRAs: inspect, merge, apply and save.

A LoRA in memory has ComfyUI's own type LORA_MODEL, a dictionary of tensors in names that ComfyUI reads, so that its
node "Load LoRA Model" takes it too. A stack has the type LORA_STACK of the common packs of nodes: a list of (file,
model strength, clip strength).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import folder_paths
import torch

from lorarar.formats import check_written, load_all, save, trigger_phrases
from lorarar.formats.inspection import inspect
from lorarar.mergers import combine, merge_metadata, parse_options
from lorarar.storage import sha256

from .shared import (
    CATEGORY,
    LORA,
    NONE,
    STRENGTH,
    Entry,
    Inputs,
    MergedLoRA,
    chosen,
    closed_forms,
    files,
    format_of,
    hash_of,
    lora_inputs,
    merge_request,
    path_of,
    shown,
    shown_progress,
    state_of,
)

DEFAULT = "default"


class Inspect:
    """Report on a LoRA file: family, layers, ranks, warnings, trigger words."""

    TITLE = "Inspect LoRA (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES, RETURN_NAMES = ("STRING", "STRING"), ("report", "trigger_words")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"lora": (files(),)}}

    @classmethod
    def IS_CHANGED(cls, lora: str) -> str:
        return hash_of(lora)

    def run(self, lora: str) -> dict[str, Any]:
        """Return the report and the trigger words."""
        path = path_of(lora)
        report = inspect(path)
        return shown(report.text(), ", ".join(report.triggers))


class Merge:
    """Merge LoRAs on the CPU into one LoRA in memory: two files, a stack, or both."""

    TITLE = "Merge LoRAs (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES, RETURN_NAMES = (LORA, "STRING", "STRING"), ("lora", "trigger_words", "report")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "method": (
                    [DEFAULT, *closed_forms()],
                    {"tooltip": "default: the network that is shipped for the files' family, else auto."},
                ),
                "balance": (
                    "FLOAT",
                    {"default": -1.0, "min": -1.0, "max": 1.0, "step": 0.05, "tooltip": "How far to bring the LoRAs to "
                     "one length, 0 to 1; -1 is the method's own."},
                ),
            },
            "optional": {
                **lora_inputs(),
                "network": ("STRING", {"default": "", "tooltip": "A trained merger: a file, a folder or a hub id."}),
                "rank": ("INT", {"default": 0, "min": 0, "max": 4096, "tooltip": "Largest rank; 0 keeps the full."}),
                "options": ("STRING", {"default": "", "tooltip": "Settings of the method: density=0.3, seed=1"}),
            },
        }  # fmt: skip

    @classmethod
    def IS_CHANGED(cls, content: str = NONE, style: str = NONE, network: str = "", **more: Any) -> str:
        trained = sha256(network) if network and Path(network).is_file() else network
        return state_of([content, style], network=trained, **more)

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
        entries = chosen([(content, content_weight), (style, style_weight)], lora_stack)
        request = merge_request(
            entries,
            text_encoder,
            block_weights,
            merger=None if method == DEFAULT or network else method,
            network=network or None,
            balance=None if balance < 0 else balance,
            rank=rank or None,
            options=parse_options(options),
        )
        with shown_progress(), torch.inference_mode(False), torch.no_grad():
            loras = load_all([path_of(name) for name, _, _ in entries])
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
        strength = ("FLOAT", STRENGTH)
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
        written = save(lora.lora, path, format=format_of(lora.lora), dtype=dtype, force=overwrite)
        return shown(str(path), f"{path.name}: {check_written(written[0], lora.lora).text()}")


NODES: dict[str, Any] = {"Inspect": Inspect, "Merge": Merge, "Apply": Apply, "Save": Save}


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
