"""Generated images for the training: the base with training LoRAs at random weights, labelled by the classifier.

Renders are clean, generated images are blurred and in between: a judge that saw renders alone accepts wrong styles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lorarar.datasets import load_concepts, load_splits
from lorarar.diffusion import SAMPLING, load_backbone, sample_loras
from lorarar.lora import LoRA, merge_exactly
from lorarar.mergers import MERGERS
from lorarar.storage import atomic_write, checked, claim_run, digest, progress, read_card
from lorarar.training import load_loras
from lorarar.worlds.stages.classifier import load_classifier
from lorarar.worlds.stages.scoring import truth_of
from lorarar.worlds.toy.attributes import Style, Subject, neutral_looks, truth
from lorarar.worlds.toy.captions import base_caption
from lorarar.worlds.toy.classifier import AttributeClassifier
from lorarar.worlds.toy.definition import TOY
from lorarar.worlds.toy.judge.data import TRAINING_SETS, ImagePairs, Members, scale_pixels
from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.world import toy_world

_BATCH = 64
_WEIGHTS = (0.3, 1.4)  # of a LoRA, uniform
# Kinds of concepts whose LoRAs adapt the base, and their shares of the images.
_ADAPTED = {("content", "style"): 0.65, ("content",): 0.1, ("style",): 0.1, (): 0.15}
_INTENDED = 0.5  # share of references that show what their test image was meant to show, on each axis
_NEUTRAL = 0.3  # share of references in a neutral style, as a content's are
_NEAR = 0.3


@dataclass(frozen=True)
class GeneratedImages:
    """Images of the base, what they were meant to show, and the classifier that says what they show.

    Attributes:
        images: (n, 3, 32, 32), 0 to 255, uint8.
        intended: Attribute values of the prompt's concepts, (n, 8), whether their LoRAs are there or not.
        classifier: The attribute classifier.
    """

    images: Tensor
    intended: Tensor
    classifier: AttributeClassifier


def generate_images(world: Path, count: int, seed: int, folder: Path) -> GeneratedImages:
    """Generate images of training pairs, of one LoRA alone and of the base alone, or read those of an earlier call.

    Args:
        world: Folder of the embedded default: base, classifier, concepts and LoRAs.
        count: Number of images; a larger number adds to those of a smaller one.
        seed: Seed of pairs, weights and noise.
        folder: Folder of the images, one file for each batch, so that a stopped run can resume.

    Raises:
        ArtefactError: A part of the world is missing or differs from its card.
        ConfigError: The folder holds images of other settings.
    """
    source = _Source(world, seed)
    claim_run(folder, {"seed": seed, "sampling": astuple(SAMPLING), "artefacts": source.hashes})
    batches = []
    with progress("generate images", count, "images") as advance:
        for number in range(math.ceil(count / _BATCH)):
            path = folder / f"{number:04d}.safetensors"
            if not path.exists():
                with atomic_write(path) as temporary:
                    save_file(source.generate_batch(number), temporary)
            batches.append(load_file(path))
            advance(_BATCH)
    images, intended = (torch.cat([batch[name] for batch in batches])[:count] for name in ("images", "intended"))
    return GeneratedImages(images, intended, source.classifier)


class _Source:
    """Source of generated images, a batch at a time."""

    def __init__(self, world: Path, seed: int) -> None:
        self.seed = seed
        concepts = load_concepts([world / "concepts.yaml"], world / "images")
        split = load_splits(world / "concepts.yaml", "embedded")["train"]
        self.pairs = split.pairs(concepts)
        names = (*split.contents, *split.styles)
        paths = [world / "base", world / "classifier.safetensors"]
        paths += [world / "loras" / f"{name}.safetensors" for name in names]
        self.hashes = digest([read_card(checked(path))["sha256"] for path in paths])
        self.backbone = load_backbone(world / "base", device="cpu")
        self.classifier = cast(AttributeClassifier, load_classifier(world / "classifier.safetensors"))
        self.loras = load_loras(world / "loras", names)

    def generate_batch(self, number: int) -> dict[str, Tensor]:
        """Return the fields of `GeneratedImages` for one batch, a function of seed and number."""
        random = np.random.default_rng((self.seed, number))
        inputs = [self.draw(random) for _ in range(_BATCH)]
        loras, prompts, intended = zip(*inputs, strict=True)
        images = sample_loras(self.backbone, loras, prompts, [int(random.integers(2**31))], SAMPLING)[:, 0].clamp(0, 1)
        return {
            "images": (images * 255).round().byte().contiguous(),
            "intended": torch.tensor(intended),
        }

    def draw(self, random: np.random.Generator) -> tuple[LoRA | None, str, tuple[int, ...]]:
        """Return a LoRA, or None for the base alone, its prompt and the attributes of the prompt's concepts."""
        adapted = list(_ADAPTED)[int(random.choice(len(_ADAPTED), p=list(_ADAPTED.values())))]
        if not adapted:
            world = toy_world()
            subject = world.subjects["base"][int(random.integers(len(world.subjects["base"])))]
            style = world.styles["base"][int(random.integers(len(world.styles["base"])))]
            return None, base_caption(subject, style, world, random), truth(subject, style)
        pair = self.pairs[int(random.integers(len(self.pairs)))]
        loras = [self.loras[getattr(pair, kind).name] for kind in adapted]
        weights = random.uniform(*_WEIGHTS, len(loras)).tolist()
        with torch.no_grad():
            merged = merge_exactly(loras, MERGERS["direct"].call(loras, weights=weights))
        return merged, pair.prompt, truth_of(TOY, pair)


def pair_with_renders(generated: GeneratedImages, count: int, seed: int) -> ImagePairs:
    """Return pairs of a render, the reference, and a generated test image with the attributes that it shows.

    Half of the test images are shifted by up to a pixel, after which many show other attributes. On each axis half of
    the references show what the image was meant to show. The others show what it shows, something near or anything.
    Test images that show a validation or test subject or style are left out, so there are slightly fewer than `count`.
    """
    random = np.random.default_rng(seed)
    chosen = torch.from_numpy(random.integers(len(generated.images), size=count))
    noise = torch.Generator().manual_seed(seed)
    tests = scale_pixels(generated.images[chosen])
    tests = torch.cat([tests[: count // 2], *(shift(part, noise) for part in tests[count // 2 :].split(_BATCH))])
    recognised = torch.cat([generated.classifier.read(part) for part in tests.split(_BATCH)])
    references = _References(random)
    images, attributes = [], []
    for test, shown, meant in zip(tests, recognised.tolist(), generated.intended[chosen].tolist(), strict=True):
        if tuple(shown[:4]) in references.held_out_subjects or tuple(shown[4:]) in references.held_out_styles:
            continue
        subject, style = references.choose(shown, meant)
        reference = torch.from_numpy(render(subject, style, int(random.integers(2**31)))).permute(2, 0, 1)
        images.append(torch.stack([reference, ((test + 1) * 127.5).round().byte()]))
        attributes.append([truth(subject, style), shown])
    return ImagePairs(torch.stack(images), torch.tensor(attributes))


class _References:
    """Source of what references show."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random, sets = random, toy_world()
        self.subjects = Members([subject for name in TRAINING_SETS for subject in sets.subjects[name]])
        self.styles = Members([*(style for name in TRAINING_SETS for style in sets.styles[name]), *neutral_looks()])
        self.looks = Members(neutral_looks())
        held_out = ("validation", "test")
        self.held_out_subjects = {astuple(subject) for name in held_out for subject in sets.subjects[name]}
        self.held_out_styles = {astuple(style) for name in held_out for style in sets.styles[name]}

    def choose(self, shown: Sequence[int], meant: Sequence[int]) -> tuple[Subject, Style]:
        """Return subject and style of a reference for an image that shows and was meant to show some attributes."""
        subject = self.subjects.relative(Subject(*shown[:4]), _NEAR, self.random)
        if self.random.random() < _INTENDED:
            subject = Subject(*meant[:4])
        if self.random.random() < _NEUTRAL:
            return subject, self.looks.pick(self.random)
        if self.random.random() < _INTENDED:
            return subject, Style(*meant[4:])
        return subject, self.styles.relative(Style(*shown[4:]), _NEAR, self.random)


def shift(images: Tensor, random: torch.Generator) -> Tensor:
    """Return images (n, 3, h, w) that are all moved by up to a pixel along each side; the border is repeated."""
    down, right = torch.randint(3, (2,), generator=random).tolist()
    height, width = images.shape[-2:]
    return nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")[..., down : down + height, right : right + width]
