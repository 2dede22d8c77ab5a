"""Multimodal checkpoints: loaded by transformers, safetensors only, without their own code, with a known revision."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedConfig

from lorarar.storage import MissingPackage, quiet_libraries, sha256

# The files that decide a model's answers: weights, configurations, vocabulary, chat template.
_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt"}
_ORIGINAL_TYPES = {"llava_qwen", "llava_llama", "llava_mistral", "llava_mixtral", "llava_gemma", "llava_mpt"}
_ORIGINAL_CLASS = re.compile(r"Llava\w+ForCausalLM")


@dataclass(frozen=True)
class Checkpoint:
    """A model in evaluation mode with its processor.

    Attributes:
        revision: A commit, or a hash of a local folder's files.
        local: Whether the model is a local folder.
    """

    processor: Any
    model: Any
    revision: str
    local: bool


def load_checkpoint(name: str, *, revision: str | None, device: str, dtype: torch.dtype) -> Checkpoint:
    """Load a model.

    Args:
        name: A folder in transformers' layout, or a hub id.
        revision: A branch, tag or commit of a hub id.

    Raises:
        MissingPackage: The model's processor needs torchvision.
        ValueError: The model cannot be used; the message gives the remedy.
    """
    quiet_libraries()
    try:
        config, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a model folder or a hub id, found {name!r}: {_line(error)}") from error
    _refuse_original_layout(name, config)
    commit = config.get("_commit_hash") or revision
    processor = _load_processor(name, commit)
    try:
        model: Any = AutoModelForImageTextToText.from_pretrained(
            name, revision=commit or "main", dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ValueError(
            f"{name}: expected weights in safetensors files of a model class that transformers has: {_line(error)}: "
            "convert the checkpoint, or serve it and use the openai back end"
        ) from error
    local = Path(name).is_dir()
    known = _hash(Path(name)) if local else commit or ""
    return Checkpoint(processor, model.to(device).requires_grad_(False), known, local)


def _refuse_original_layout(name: str, config: Mapping[str, Any]) -> None:
    classes = [c for c in config.get("architectures") or () if _ORIGINAL_CLASS.fullmatch(str(c))]
    if classes or config.get("model_type") in _ORIGINAL_TYPES:
        raise ValueError(
            f"{name}: expected a model in transformers' own layout, found the layout of the LLaVA-NeXT code "
            f"({classes[0] if classes else config['model_type']}), which transformers cannot load: use a converted "
            "checkpoint (on the hub their names often end in -hf), convert it with transformers' conversion script "
            "for this model (convert_llava_*_weights_to_hf.py), or serve it with vLLM or SGLang and judge with the "
            "openai back end"
        )


def _load_processor(name: str, revision: str | None) -> Any:
    try:
        load: Any = AutoProcessor.from_pretrained
        processor = load(name, revision=revision or "main", trust_remote_code=False)
    except Exception as error:  # without torchvision, errors of many types occur, such as AttributeError
        if find_spec("torchvision") is None and _wants_torchvision(error):
            raise MissingPackage(
                "torchvision",
                "",
                f"the processor of {name}",
                f"install the build for torch {torch.__version__} (pip install torchvision), or serve the model and "
                "judge with the openai back end",
            ) from error
        raise ValueError(f"{name}: expected a processor that transformers loads: {_line(error)}") from error
    if getattr(processor, "image_processor", None) is None:
        raise ValueError(f"{name}: expected a model with images as input, found a processor for text alone")
    if not processor.chat_template:
        raise ValueError(
            f"{name}: expected a chat template, found none: put the template of its model card into the folder as "
            "chat_template.jinja"
        )
    return processor


def _wants_torchvision(error: BaseException) -> bool:
    text = f"{error} {error.__cause__}"
    return "torchvision" in text.lower() or "VIDEO_PROCESSOR" in text


def _hash(folder: Path) -> str:
    files = sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES)
    listed = "".join(f"{path.name} {sha256(path)}\n" for path in files)
    return f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}"


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
