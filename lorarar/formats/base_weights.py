"""Base weights: a base model's weights by layer path, for algorithms whose deltas depend on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lorarar.formats.naming.keys import layer_path, text_path
from lorarar.formats.naming.originals import rows_of, scheme_of
from lorarar.formats.tensor_files import check_source
from lorarar.lora import TEXT_ENCODERS, Rows
from lorarar.lora.families import SGM_LAYERS_PER_BLOCK
from lorarar.storage import FormatError

_DENOISERS = ("unet", "transformer")
_IN_CHECKPOINT = re.compile(r"(?:model\.)?diffusion_model\.")
# Text encoders in the checkpoints of Stability: prefix -> prefix of our paths.
_TEXT_ENCODERS = {
    "cond_stage_model.transformer.": "text_encoder.",
    "cond_stage_model.model.transformer.": "text_encoder.",
    "conditioner.embedders.0.transformer.": "text_encoder.",
    "conditioner.embedders.1.model.transformer.": "text_encoder_2.",
}
# Modules of OpenCLIP -> modules of transformers. Several modules share the rows equally, from the top.
_OPENCLIP = {
    "attn.in_proj_": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.out_proj.": ("self_attn.out_proj",),
    "mlp.c_fc.": ("mlp.fc1",),
    "mlp.c_proj.": ("mlp.fc2",),
}
_RESBLOCK = re.compile(r"resblocks\.(?P<number>\d+)\.(?P<module>.+[._])weight")


@dataclass(frozen=True)
class _Place:
    """Location of a weight: a run of rows in a stored weight, as shares (start, length) of `total`."""

    file: Path
    key: str
    start: int = 0
    length: int = 1
    total: int = 1
    halves: bool = False


class BaseWeights:
    """Weights of a base model on disk. Each weight is read when it is requested.

    Args:
        path: A diffusers folder (with `unet` or `transformer` and the text encoders), the folder of one of these
            components, or a safetensors checkpoint with diffusers names or the authors' names.

    Raises:
        FormatError: The model does not exist, or one of its files is not a complete safetensors file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FormatError(
                f"the base model {path} does not exist: give a local diffusers folder or .safetensors checkpoint "
                f"(download a model from the hub first)"
            )
        self._files: dict[Path, Any] = {}
        if not self._places:
            raise FormatError(
                f"{path} contains no safetensors weights: give a diffusers folder or a .safetensors checkpoint"
            )

    def weight(self, path: str) -> Tensor:
        """Return the weight of a layer.

        Args:
            path: Layer path as in `lorarar.lora.LoRA.layers`.

        Returns:
            (out, in[, height, width]), in the stored dtype.

        Raises:
            FormatError: The model does not contain this layer.
        """
        place = self._places.get(path)
        if place is None:
            raise FormatError(
                f"the base model {self.path} has no layer {path} among its {len(self._places)}: give the model "
                f"on which the LoRA was trained"
            )
        stored = self._open(place.file).get_slice(place.key)
        share, rest = divmod(stored.get_shape()[0], place.total)
        if rest:
            raise FormatError(
                f"{place.file}: expected {place.key} with a multiple of {place.total} rows, found "
                f"{stored.get_shape()[0]}: give the model on which the LoRA was trained"
            )
        rows: Tensor = stored[share * place.start : share * (place.start + place.length)]
        swapped = place.halves and rows.shape[0] == 2 * rows.shape[1]
        return torch.cat(rows.chunk(2)[::-1]) if swapped else rows

    @cached_property
    def _places(self) -> Mapping[str, _Place]:
        if self.path.is_file():
            return dict(self._in_checkpoint(self.path))
        places: dict[str, _Place] = {}
        denoiser = next((self.path / name for name in _DENOISERS if (self.path / name).is_dir()), self.path)
        for folder, model in ((denoiser, ""), *((self.path / name, name) for name in TEXT_ENCODERS)):
            # Full precision before variants, whose names have one more dot ("model.fp16.safetensors").
            for file in sorted(folder.glob("*.safetensors"), key=lambda file: (file.name.count("."), file.name)):
                for path, place in self._in_component(file, model):
                    places.setdefault(path, place)
        return places

    def _open(self, file: Path) -> Any:
        if file not in self._files:
            check_source(file)
            try:
                self._files[file] = safe_open(file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise FormatError(
                    f"{file} is not a complete safetensors file ({error}): download it again, or convert it"
                ) from error
        return self._files[file]

    def _in_component(self, file: Path, model: str) -> Iterator[tuple[str, _Place]]:
        """Yield the layers in a file with diffusers or transformers names."""
        keys: list[str] = self._open(file).keys()
        for key in keys:
            path, dot, last = key.rpartition(".")
            if dot and last == "weight":
                yield layer_path(model, text_path(path) if model else path), _Place(file, key)

    def _in_checkpoint(self, file: Path) -> Iterator[tuple[str, _Place]]:
        """Yield the layers in a single-file checkpoint with diffusers names or the authors' names."""
        keys: list[str] = self._open(file).keys()
        prefixed = any(_IN_CHECKPOINT.match(key) for key in keys)
        denoiser: dict[str, str] = {}
        for key in keys:
            encoder = next((prefix for prefix in _TEXT_ENCODERS if key.startswith(prefix)), None)
            if encoder:
                yield from _text_layers(file, key, encoder)
            elif key.endswith(".weight") and prefixed == bool(_IN_CHECKPOINT.match(key)):
                denoiser[_IN_CHECKPOINT.sub("", key, count=1).removesuffix(".weight")] = key
        scheme = scheme_of(denoiser)
        for path, key in denoiser.items():
            rows = rows_of(path, scheme, SGM_LAYERS_PER_BLOCK) or Rows(())
            start, total = 0, sum(share for _, share in rows.shares)
            for name, share in rows.shares:
                yield name, _Place(file, key, start, share, total, rows.halves)
                start += share


def _text_layers(file: Path, key: str, prefix: str) -> Iterator[tuple[str, _Place]]:
    """Yield the layers that a weight of a checkpoint's text encoder contains."""
    model, rest = _TEXT_ENCODERS[prefix], key.removeprefix(prefix)
    block = _RESBLOCK.fullmatch(rest)
    names = _OPENCLIP.get(block["module"], ()) if block else ()
    for index, name in enumerate(names):
        path = f"{model}text_model.encoder.layers.{block['number'] if block else ''}.{name}"
        yield path, _Place(file, key, index, 1, len(names))
    if rest.startswith("text_model.") and rest.endswith(".weight"):
        yield f"{model}{rest.removesuffix('.weight')}", _Place(file, key)
