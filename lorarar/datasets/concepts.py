"""Concepts: contents and styles with their images, captions and prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lorarar.datasets.concept_files import Entry, entry_folder, read_entries
from lorarar.datasets.images import ImageError, list_images, load_image

ConceptKind = Literal["content", "style"]


@dataclass(frozen=True)
class Concept:
    """A content or a style.

    Attributes:
        phrase: Its name in a combined prompt: "a sks cat" (content), "oil painting style" (style).
        images: Its reference images, sorted by name.
        captions: One for each image.
        description: Its description for a base model that has not learned it, in the form of a combined prompt: "a red
            cat with white stripes", "light blue grid style"; "" without a description.
        class_prompt: The prompt of its class, "a cat", for images that preserve what the base knows of it; "" without.
        prior: Images of its class that the base sampled.
    """

    name: str
    kind: ConceptKind
    phrase: str
    images: tuple[Path, ...]
    captions: tuple[str, ...]
    description: str = ""
    class_prompt: str = ""
    prior: tuple[Path, ...] = ()


@dataclass(frozen=True)
class SyntheticConcept:
    """A concept whose reference images the base model samples.

    Attributes:
        folder: The folder of its images.
        prompts: The prompt of each image.
    """

    name: str
    folder: Path
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """A content and a style that are merged; or two contents or two styles, the first in the content's place."""

    content: Concept
    style: Concept

    @property
    def name(self) -> str:
        """The names of the two concepts, such as ``test_content_00+test_style_03``."""
        return f"{self.content.name}+{self.style.name}"

    @property
    def prompt(self) -> str:
        """The combined prompt: "a sks cat in oil painting style", "a sks cat and a vck dog"."""
        return self._joined(self.content.phrase, self.style.phrase)

    @property
    def description(self) -> str:
        """The combined prompt without learned words, for the base model alone; "" if a description is missing."""
        descriptions = (self.content.description, self.style.description)
        return self._joined(*descriptions) if all(descriptions) else ""

    def _joined(self, first: str, second: str) -> str:
        return f"{first} {'and' if self.content.kind == self.style.kind else 'in'} {second}"


def load_concepts(manifests: Sequence[Path], images: Path, names: Sequence[str] | None = None) -> dict[str, Concept]:
    """Read concepts from concept files; their images lie in ``images/<folder>/``.

    Args:
        names: The concepts to read; the others then need no images. None reads all.

    Raises:
        KeyError: A name is in none of the files.
        FileNotFoundError: A file does not exist, or concepts have no images on disk.
        ValueError: A concept is listed twice, or it does not have one caption for each image.
    """
    concepts: dict[str, Concept] = {}
    chosen = [(m, entry) for m in manifests for entry in read_entries(m) if names is None or entry["name"] in names]
    _check_images([entry for _, entry in chosen], images)
    for manifest, entry in chosen:
        concept = _read_concept(entry, images, manifest)
        if concept.name in concepts:
            raise ValueError(f"{manifest}: expected each concept once, found {concept.name!r} again: rename one")
        concepts[concept.name] = concept
    missing = sorted(set(names or ()) - concepts.keys())
    if missing:
        raise KeyError(f"expected concepts of {[str(m) for m in manifests]}, found no {missing[:3]}: check the names")
    return concepts


def load_synthetic(manifests: Sequence[Path], images: Path) -> list[SyntheticConcept]:
    """Read the concepts that have prompts for synthetic images, ``synthetic_prompts``.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: No concept has such prompts.
    """
    concepts: list[SyntheticConcept] = []
    for manifest in manifests:
        for entry in read_entries(manifest):
            if prompts := entry.get("synthetic_prompts"):
                concepts.append(SyntheticConcept(entry["name"], images / entry_folder(entry), tuple(prompts)))
    if not concepts:
        raise ValueError(
            f"expected concepts with `synthetic_prompts`, a list of prompts for their images, in "
            f"{[str(m) for m in manifests]}, found none: see data/README.md"
        )
    return concepts


def balanced_concept(name: str, concepts: Sequence[Concept]) -> Concept:
    """Return several concepts as one, for the training of one LoRA on all of them.

    The images of each are repeated up to the number of the largest, so that a step chooses equally often from all.
    """
    count = max(len(concept.images) for concept in concepts)
    images = tuple(path for concept in concepts for path in islice(cycle(concept.images), count))
    captions = tuple(text for concept in concepts for text in islice(cycle(concept.captions), count))
    return Concept(name, concepts[0].kind, concepts[0].phrase, images, captions)


def load_images(paths: Sequence[Path], resolution: int) -> Tensor:
    """Read images as (n, 3, resolution, resolution), -1 to 1: upright, RGB, resized and cropped at the centre.

    Raises:
        ValueError: A file is not a readable image.
    """
    images = []
    for path in paths:
        try:
            image = load_image(path, longest=None)
        except ImageError as error:
            raise ValueError(f"{path}: expected an image (PNG, JPEG, WebP), could not read it: {error}") from error
        images.append(np.asarray(ImageOps.fit(image, (resolution, resolution), Image.Resampling.LANCZOS)))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def seed_of(*parts: object) -> int:
    """Return a seed that depends on the parts' text alone: equal on all machines and in all runs."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big")


def _check_images(entries: Sequence[Entry], root: Path) -> None:
    """Refuse concepts without images, all at once."""
    missing = [entry for entry in entries if not list(list_images(root / entry_folder(entry)))]
    if missing:
        names = ", ".join(repr(entry["name"]) for entry in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise FileNotFoundError(
            f"expected images of {names}{more} in {root / entry_folder(missing[0])}"
            f"{' and the like' if len(missing) > 1 else ''}, found none: put them there, or set images=FOLDER"
        )


def _read_concept(entry: Entry, root: Path, manifest: Path) -> Concept:
    name, folder = entry["name"], root / entry_folder(entry)
    images = tuple(list_images(folder))
    prompt = str(entry.get("prompt", "")).format(**_texts(entry))
    captions = tuple(entry.get("captions") or [prompt] * len(images))
    if len(captions) != len(images) or not all(captions):
        raise ValueError(
            f"{manifest}: expected one caption for each image, {name!r} has {len(images)} images in {folder} but "
            f"{len(captions)} captions"
        )
    phrase, description = str(entry.get("phrase", prompt)), str(entry.get("description", ""))
    word = entry.get("class_word", "") if entry["kind"] == "content" else ""
    class_prompt = str(entry.get("class_prompt", word and f"a {word}"))
    return Concept(name, entry["kind"], phrase, images, captions, description, class_prompt)


def _texts(entry: Entry) -> Mapping[str, str]:
    """Return the entry's texts by key: the fields that its prompt may hold in braces."""
    return {key: value for key, value in entry.items() if isinstance(value, str)}
