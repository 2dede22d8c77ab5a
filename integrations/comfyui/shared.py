"""Shared parts of the nodes: inputs, files, texts of settings, progress, and a LoRA in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import folder_paths
import torch

from lorarar.formats import encode_lora
from lorarar.lora import LoRA, LowRank, is_text_encoder
from lorarar.lora.families import FAMILIES
from lorarar.mergers import MERGERS, MergeRequest, parse_blocks
from lorarar.storage import Stage, digest, observed_progress, sha256

CATEGORY, LORA, STACK = "lorarar", "LORA_MODEL", "LORA_STACK"
NONE = "None"
STRENGTH = {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.01}
Inputs = dict[str, dict[str, tuple[Any, ...]]]
Entry = tuple[str, float, float]  # file, model strength, clip strength


class MergedLoRA(dict[str, torch.Tensor]):
    """Tensors of a merged LoRA in names that ComfyUI reads, in fp16 as in a file.

    Attributes:
        lora: The same LoRA with its metadata.
    """

    def __init__(self, lora: LoRA) -> None:
        super().__init__(encode_lora(lora, format=format_of(lora)))
        self.lora = lora


def lora_inputs() -> dict[str, tuple[Any, ...]]:
    """Return the inputs that name LoRAs and their weights."""
    return {
        "content": ([NONE, *files()], {"tooltip": "LoRA of a subject."}),
        "content_weight": ("FLOAT", STRENGTH),
        "style": ([NONE, *files()], {"tooltip": "LoRA of a style."}),
        "style_weight": ("FLOAT", STRENGTH),
        "lora_stack": (STACK, {"tooltip": "More LoRAs, from a stack node."}),
        "text_encoder": ("FLOAT", {**STRENGTH, "tooltip": "Weight of the text encoders' layers."}),
        "block_weights": (
            "STRING",
            {"default": "", "multiline": True, "tooltip": "A line for each block, one weight for all LoRAs or "
             "one for each: up_blocks.1=0.8 or mid_block=1,0.5"},
        ),
    }  # fmt: skip


def chosen(pairs: Sequence[tuple[str, float]], stack: Sequence[Entry] | None, least: int = 1) -> list[Entry]:
    """Return the LoRAs that are given by name, and those of a stack.

    Raises:
        ValueError: There are fewer than `least`.
    """
    named = [(name, weight, weight) for name, weight in pairs]
    entries = [entry for entry in (*named, *(stack or ())) if entry[0] and entry[0] != NONE]
    if len(entries) < least:
        raise ValueError("expected LoRAs to merge, found none: choose a content and a style, or connect a stack")
    return entries


def closed_forms() -> list[str]:
    """Return the names of the methods that merge files alone, without a network or a base model."""
    return [name for name, row in MERGERS.items() if row.kind != "runtime" and not row.learned and not row.on_base]


def merge_request(entries: Sequence[Entry], text_encoder: float, block_weights: str, **more: Any) -> MergeRequest:
    """Return the request for these LoRAs at their weights, with further fields."""
    return MergeRequest(
        weights=[model for _, model, _ in entries],
        text_encoder=[text_factor(*entry) * text_encoder for entry in entries],
        blocks=parse_blocks(block_weights),
        device="cpu",
        **more,
    )


def text_factor(name: str, model: float, clip: float) -> float:
    """Return the factor of the text encoders beside the model's strength.

    Raises:
        ValueError: The model's strength is 0 and that of the text encoders is not.
    """
    if not model and clip:
        raise ValueError(f"expected a model strength other than 0 for {name}, whose clip strength is {clip:g}")
    return clip / model if model else 1.0


def format_of(lora: LoRA) -> str | None:
    """Return the dialect whose names ComfyUI knows for every layer; None is the default of the family."""
    if not lora.family or FAMILIES[lora.family].denoiser == "unet":
        return None
    low_rank = all(isinstance(layer, LowRank) for layer in lora.layers.values())
    return "comfyui" if low_rank and not any(map(is_text_encoder, lora.layers)) else "kohya"


def files() -> list[str]:
    """Return the names of the files in ComfyUI's folders of LoRAs."""
    return list(folder_paths.get_filename_list("loras"))


def path_of(name: str) -> str:
    """Return the path of a file by its name."""
    return str(folder_paths.get_full_path_or_raise("loras", name))


def hash_of(name: str) -> str:
    """Return the SHA-256 of a file, computed again when its size or time changes."""
    path = Path(path_of(name))
    state = path.stat()
    return _hash_of(path, state.st_size, state.st_mtime_ns)


def state_of(names: Sequence[str], **settings: Any) -> str:
    """Return what changes when a setting or the content of a file does, for ComfyUI's cache."""
    hashes = [hash_of(name) for name in names if name and name != NONE]
    return digest([*hashes, sorted((key, repr(value)) for key, value in settings.items())])


@cache
def _hash_of(path: Path, size: int, changed: int) -> str:
    return sha256(path)


def shown(*texts: str, also: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the outputs of a node, of which the interface shows the texts."""
    return {"ui": {"text": list(texts)}, "result": (*texts, *also)}


@contextmanager
def shown_progress() -> Iterator[None]:
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
