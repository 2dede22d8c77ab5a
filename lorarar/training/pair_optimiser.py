"""What optimises two LoRAs from files: a base model, and for each concept a folder of images or a description."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lorarar.datasets import Concept, ConceptKind, Pair, list_images, load_images
from lorarar.diffusion import Backbone, Sampling, load_backbone, synthesise_pairs
from lorarar.formats import trigger_phrases
from lorarar.hypernetwork import Network, open_network
from lorarar.lora import Coefficients, LoRA, is_text_encoder
from lorarar.mergers import PairInputs
from lorarar.mergers.optimised import PairMethod
from lorarar.storage import claim_run, sha256
from lorarar.training.pair_training import OptimisedPair, optimise

_DRAWING = Sampling(steps=30, guidance=5.0)  # of the image that the base draws from the descriptions


@dataclass(frozen=True)
class PairOptimiser:
    """Optimise the denoiser's coefficients of a content and a style LoRA; all other layers get the method's fixed one.

    Attributes:
        base: folder or hub id of the base model.
        inputs: images or descriptions of both concepts, prompts, a network to start from, a folder for checkpoints.
        device: where to compute; on a GPU in bfloat16 and with gradient checkpointing.
    """

    base: str | Path
    inputs: PairInputs
    device: str = "cpu"

    @cached_property
    def init(self) -> Network | None:
        """The trained merger whose coefficients the optimisation starts from, loaded once."""
        return open_network(self.inputs.init) if self.inputs.init else None

    def __call__(self, loras: Sequence[LoRA], method: PairMethod) -> Coefficients:
        """The optimised coefficients of [content, style].

        Raises:
            FileNotFoundError: there is no base model, or a folder holds no images.
            ValueError: there are not two LoRAs, an image cannot be read, there is no prompt or no description, or
                ``runs`` holds a run of other settings.
            FloatingPointError: the loss is not finite; the last checkpoint is kept.
        """
        if len(loras) != 2:
            raise ValueError(f"expected two LoRAs, content and style, found {len(loras)}: merge pair by pair")
        pair = Pair(*self._concepts(loras, method))
        init = self.init.module.to(self.device) if self.init else None
        backbone = self._backbone()
        if self.inputs.runs:
            settings = self._settings(loras, pair, method)
            claim_run(self.inputs.runs, settings, "name another folder with --runs, or delete this one")
        members = {c.name: _denoisers(lora) for c, lora in zip((pair.content, pair.style), loras, strict=True)}
        with torch.enable_grad(), redirect_stdout(sys.stderr):  # the progress bar is not the command's answer
            (found,) = optimise(
                backbone,
                [pair],
                members,
                method,
                runs=self.inputs.runs,
                init=init,
                synthetic=synthesise_pairs(backbone, [pair], sampling=_DRAWING)
                if method.needs == "descriptions"
                else None,
                precision="32-true" if self.device == "cpu" else "bf16-mixed",
            )
        print(describe(found), file=sys.stderr)
        coefficients: Coefficients = found.merger(loras)
        return coefficients

    def facts(self) -> dict[str, Any]:
        """What is optimised on, as plain data for a file's header.

        Raises:
            FileNotFoundError: a folder holds no images.
        """
        folders = {"content_images": self.inputs.content_images, "style_images": self.inputs.style_images}
        words = {
            "content_description": self.inputs.content_description,
            "style_description": self.inputs.style_description,
        }
        return {
            "base": str(self.base),
            **{key: {p.name: sha256(p) for p in images_in(folder)} for key, folder in folders.items() if folder},
            **{key: text for key, text in words.items() if text},
            **({"init_sha256": self.init.sha256} if self.init else {}),
        }

    def finish(self) -> None:
        """Delete the folder ``runs``, once the result is written."""
        if self.inputs.runs and (self.inputs.runs / "config.json").is_file():
            shutil.rmtree(self.inputs.runs, ignore_errors=True)

    def _concepts(self, loras: Sequence[LoRA], method: PairMethod) -> tuple[Concept, Concept]:
        content, style = (Path(lora.name).stem for lora in loras)
        if not content or not style or content == style:
            content, style = "content", "style"
        given = (
            self.inputs.content_images,
            self.inputs.style_images,
            self.inputs.content_description,
            self.inputs.style_description,
        )
        used, needed = (given[:2], "folders of images") if method.needs == "images" else (given[2:], "descriptions")
        if not all(used):
            raise ValueError(f"expected {needed} of the content and the style, found {used}: give both")
        return (
            concept_of(loras[0], content, "content", given[0], self.inputs.content_prompt, given[2]),
            concept_of(loras[1], style, "style", given[1], self.inputs.style_prompt, given[3]),
        )

    def _settings(self, loras: Sequence[LoRA], pair: Pair, method: PairMethod) -> dict[str, Any]:
        captions = {"content_captions": pair.content.captions, "style_captions": pair.style.captions}
        hashes = {"content_sha256": loras[0].sha256, "style_sha256": loras[1].sha256, "prompt": pair.prompt}
        settings: Mapping[str, Any] = asdict(method)
        return {**self.facts(), **captions, **hashes, **settings, **settings["recipe"], **settings["weights"]}

    def _backbone(self) -> Backbone:
        gpu = self.device != "cpu"
        dtype = torch.bfloat16 if gpu else torch.float32
        return load_backbone(self.base, device=self.device, dtype=dtype, gradient_checkpointing=gpu)


def concept_of(
    lora: LoRA, name: str, kind: ConceptKind, folder: Path | None, prompt: str | None, description: str = ""
) -> Concept:
    """A concept from a folder of images, if there is one, and a prompt.

    Raises:
        FileNotFoundError: the folder holds no images.
        ValueError: an image cannot be read, or there is neither a prompt nor trigger words in the LoRA's file.
    """
    paths = images_in(folder) if folder else []
    if paths:
        load_images(paths, 8)  # an unreadable one shows here, before a large model is loaded
    phrase = prompt or next(iter(trigger_phrases(lora)), None)
    if not phrase:
        raise ValueError(
            f"expected a prompt for the {kind}, found no trigger words in {lora.name or 'its LoRA'}: give "
            f"--{kind}-prompt, the words that it was trained with"
        )
    captions = tuple(_caption(path, phrase) for path in paths)
    return Concept(name, kind, phrase, tuple(paths), captions, description)


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, by name.

    Raises:
        FileNotFoundError: there is none.
    """
    found = list_images(folder)
    if not found:
        raise FileNotFoundError(f"expected images (PNG, JPEG, WebP) in {folder}, found none: put the concept's there")
    return found


def describe(found: OptimisedPair) -> str:
    """What optimising did to the objective, as text."""
    terms = ", ".join(f"{name} {found.before[name]:.4g} -> {found.after[name]:.4g}" for name in found.before)
    return f"optimised in {found.steps} steps; on draws that no step saw: {terms}"


def _caption(image: Path, prompt: str) -> str:
    text = image.with_suffix(".txt")
    return text.read_text(encoding="utf-8").strip() or prompt if text.is_file() else prompt


def _denoisers(lora: LoRA) -> LoRA:
    """The LoRA without text-encoder layers."""
    return replace(lora, layers={la: delta for la, delta in lora.layers.items() if not is_text_encoder(la)})
