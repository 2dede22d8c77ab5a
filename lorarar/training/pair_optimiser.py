"""Pair optimiser: the coefficients of two LoRAs from a base and the user's images or descriptions."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from lorarar.datasets import Concept, ConceptKind, Pair, list_images, load_images
from lorarar.diffusion import Backbone, Sampling, denoiser_part, load_backbone, synthesise_pairs
from lorarar.formats import trigger_phrases
from lorarar.hypernetwork import Network, open_network
from lorarar.lora import Coefficients, LoRA, pick_device
from lorarar.mergers import DEFAULT, TERMS, PairInputs, default_coefficients
from lorarar.mergers.optimised import PairMethod
from lorarar.storage import claim_run, sha256
from lorarar.training.pair_training import OptimisedPair, optimise
from lorarar.training.pairs import Predictor

_SYNTHESIS = Sampling(steps=30, guidance=5.0)  # of the pair's synthetic image


@dataclass(frozen=True)
class PairOptimiser:
    """Optimise the denoiser's coefficients of a content and a style LoRA; all other layers get the method's fixed one.

    Attributes:
        base: Folder or hub id of the base model.
        inputs: Images or descriptions of both concepts, prompts, a network to start from, a folder for checkpoints.
        device: Where to compute, a name for `lorarar.lora.pick_device`; on a GPU in bf16, with gradient checkpointing,
            and with text encoders and autoencoder on the CPU once prompts and images are encoded.
        loaded: The base, where it is loaded already.
        balance: How far the LoRAs that are merged were brought to one length before.
    """

    base: str | Path
    inputs: PairInputs
    device: str = "auto"
    loaded: Backbone | None = None
    balance: float = 0.0

    @cached_property
    def init(self) -> Network | None:
        """Return the trained merger whose coefficients the optimisation starts from, loaded once."""
        return open_network(self.inputs.init) if self.inputs.init and self.inputs.init != DEFAULT else None

    def __call__(self, loras: Sequence[LoRA], method: PairMethod) -> Coefficients:
        """Return the optimised coefficients of [content, style].

        Raises:
            FileNotFoundError: There is no base model, or a folder holds no images.
            ValueError: There are not two LoRAs, an image cannot be read, there is no prompt or no description, or the
                folder for checkpoints holds a run of other settings.
            DivergenceError: The loss is not finite; the last checkpoint is kept.
        """
        if len(loras) != 2:
            raise ValueError(f"expected two LoRAs, content and style, found {len(loras)}: merge pair by pair")
        pair = Pair(*self._concepts(loras, method))
        place = pick_device(self.device)
        backbone = self.load()
        if self.inputs.runs:
            settings = self._settings(loras, pair, method)
            advice = "name another folder as `runs`, or delete this one"
            claim_run(self.inputs.runs, settings, advice, plugins=TERMS.plugins(method.weights.extra))
        members = {c.name: denoiser_part(lora) for c, lora in zip((pair.content, pair.style), loras, strict=True)}
        with torch.enable_grad(), redirect_stdout(sys.stderr):  # the command's own output is on stdout
            synthetic = None
            if method.needs == "descriptions":
                synthetic = synthesise_pairs(backbone, [pair], sampling=_SYNTHESIS)
            (result,) = optimise(
                backbone,
                [pair],
                members,
                method,
                runs=self.inputs.runs,
                init=self._predictor(place),
                synthetic=synthetic,
                dtype="fp32" if place.type == "cpu" else "bf16",
                # Measuring the objective must not take longer than a short optimisation.
                held_out=max(1, min(8, method.recipe.steps // 5)),
            )
        print(describe_optimisation(result), file=sys.stderr)
        coefficients: Coefficients = result.merger(loras)
        return coefficients

    def _predictor(self, device: torch.device) -> Predictor | None:
        """Return what predicts the coefficients that the optimisation starts from; None starts from 1."""
        if self.init:
            return self.init.module.to(device)
        return partial(default_coefficients, balanced=self.balance > 0) if self.inputs.init else None

    def load(self) -> Backbone:
        """Return the base, loaded now unless it is loaded already."""
        if self.loaded is not None:
            return self.loaded
        place = pick_device(self.device)
        gpu = place.type != "cpu"
        dtype = torch.bfloat16 if gpu else torch.float32
        return load_backbone(self.base, device=str(place), dtype=dtype, gradient_checkpointing=gpu, offload=gpu)

    def facts(self) -> dict[str, Any]:
        """Return the inputs of the optimisation as plain data, for a file's header.

        Raises:
            FileNotFoundError: A folder holds no images.
        """
        folders = {"content_images": self.inputs.content_images, "style_images": self.inputs.style_images}
        descriptions = {
            "content_description": self.inputs.content_description,
            "style_description": self.inputs.style_description,
        }
        return {
            "base": str(self.base),
            **{key: {p.name: sha256(p) for p in _images_in(folder)} for key, folder in folders.items() if folder},
            **{key: text for key, text in descriptions.items() if text},
            **({"init_sha256": self.init.sha256} if self.init else {"init": DEFAULT} if self.inputs.init else {}),
        }

    def finish(self) -> None:
        """Delete the folder for checkpoints, once the result is written."""
        if self.inputs.runs and (self.inputs.runs / "config.json").is_file():
            shutil.rmtree(self.inputs.runs, ignore_errors=True)

    def _concepts(self, loras: Sequence[LoRA], method: PairMethod) -> tuple[Concept, Concept]:
        content, style = (Path(lora.name).stem for lora in loras)
        if not content or not style or content == style:
            content, style = "content", "style"
        inputs = self.inputs
        folders = inputs.content_images, inputs.style_images
        descriptions = inputs.content_description, inputs.style_description
        if method.needs == "images" and not all(folders):
            raise ValueError(f"expected folders of images of the content and the style, found {folders}: give both")
        if method.needs == "descriptions" and not all(descriptions):
            raise ValueError(f"expected descriptions of the content and the style, found {descriptions}: give both")
        return (
            concept_of(loras[0], content, "content", folders[0], inputs.content_prompt, descriptions[0]),
            concept_of(loras[1], style, "style", folders[1], inputs.style_prompt, descriptions[1]),
        )

    def _settings(self, loras: Sequence[LoRA], pair: Pair, method: PairMethod) -> dict[str, Any]:
        """Return what a resumed run must share; the method's settings stand at the top level too, for messages."""
        captions = {"content_captions": pair.content.captions, "style_captions": pair.style.captions}
        hashes = {"content_sha256": loras[0].sha256, "style_sha256": loras[1].sha256, "prompt": pair.prompt}
        balance = {"balance": self.balance} if self.balance else {}
        settings: Mapping[str, Any] = asdict(method)
        return {
            **self.facts(),
            **captions,
            **hashes,
            **balance,
            **settings,
            **settings["recipe"],
            **settings["weights"],
        }


def concept_of(
    lora: LoRA, name: str, kind: ConceptKind, folder: Path | None, prompt: str | None, description: str = ""
) -> Concept:
    """Return a concept of a folder of images, if it is given, and a prompt.

    Args:
        lora: The concept's LoRA, whose trigger words replace a missing prompt.
        name: Name of the concept.
        kind: "content" or "style", where the LoRA's file does not state it.
        folder: Folder of images; the caption of `image.png` is `image.txt` beside it, else the prompt.
        prompt: The prompt that the LoRA was trained with; None takes the trigger words.
        description: Description that the base understands.

    Raises:
        FileNotFoundError: The folder holds no images.
        ValueError: An image cannot be read, or there is neither a prompt nor trigger words in the LoRA's file.
    """
    paths = _images_in(folder) if folder else []
    if paths:
        load_images(paths, 8)  # fails on an unreadable image before a large model is loaded
    phrase = phrase_of(lora, kind, prompt)
    captions = tuple(_caption(path, phrase) for path in paths)
    stated: dict[str | None, ConceptKind] = {"content": "content", "style": "style"}
    return Concept(name, stated.get(lora.metadata.get("kind"), kind), phrase, tuple(paths), captions, description)


def phrase_of(lora: LoRA, kind: ConceptKind, prompt: str | None) -> str:
    """Return the prompt that a LoRA was trained with: the given one, else its trigger words.

    Raises:
        ValueError: There is neither.
    """
    phrase = prompt or next(iter(trigger_phrases(lora)), None)
    if not phrase:
        raise ValueError(
            f"expected a prompt for the {kind}, found no trigger words in {lora.name or 'its LoRA'}: give "
            f"`{kind}_prompt`, the words that it was trained with"
        )
    return phrase


def _images_in(folder: Path) -> list[Path]:
    """List the images of a folder by name.

    Raises:
        FileNotFoundError: There is no image.
    """
    images = list_images(folder)
    if not images:
        raise FileNotFoundError(
            f"expected images (PNG, JPEG, WebP) in {folder}, found none: put the concept's images there"
        )
    return images


def describe_optimisation(result: OptimisedPair) -> str:
    """Return a line of text about the objective before and after."""
    terms = ", ".join(f"{name} {result.before[name]:.4g} -> {result.after[name]:.4g}" for name in result.before)
    return f"optimised in {result.steps} steps; on held-out batches: {terms}"


def _caption(image: Path, prompt: str) -> str:
    text = image.with_suffix(".txt")
    return text.read_text(encoding="utf-8").strip() or prompt if text.is_file() else prompt
