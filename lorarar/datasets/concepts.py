"""Concepts (contents and styles) with their images and captions, splits, and pairs.

A manifest is a YAML file with a list ``concepts``; README.md in data/ describes its keys.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from PIL import Image, ImageOps
from torch import Tensor

Kind = Literal["content", "style"]
SPLIT_NAMES = ("train", "validation", "test")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Concept:
    """A content or a style.

    Attributes:
        phrase: how a combined prompt names it: "a sks cat" (content), "oil painting style" (style).
        images: its reference images, sorted by name.
        captions: one for each image.
        description: how words alone tell the base what it is, as a combined prompt would have it: "a red cat with white
            stripes", "light blue grid style"; "" where there are none.
    """

    name: str
    kind: Kind
    phrase: str
    images: tuple[Path, ...]
    captions: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True)
class SyntheticConcept:
    """A concept whose reference images the base draws: their folder, and a prompt for each of them."""

    name: str
    folder: Path
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """A content and a style to be merged."""

    content: Concept
    style: Concept

    @property
    def name(self) -> str:
        """Both names, such as ``test_content_00+test_style_03``."""
        return f"{self.content.name}+{self.style.name}"

    @property
    def prompt(self) -> str:
        """The combined prompt that a user types: "a sks cat in oil painting style"."""
        return f"{self.content.phrase} in {self.style.phrase}"

    @property
    def description(self) -> str:
        """The same without any learned word, for the base alone; "" where a concept has no description."""
        both = (self.content.description, self.style.description)
        return " in ".join(both) if all(both) else ""


@dataclass(frozen=True)
class Split:
    """The concepts of one split; its pairs are all combinations."""

    contents: tuple[str, ...]
    styles: tuple[str, ...]

    def pairs(self, concepts: Mapping[str, Concept]) -> list[Pair]:
        """All content x style pairs, contents varying slowest."""
        return [Pair(concepts[c], concepts[s]) for c, s in itertools.product(self.contents, self.styles)]


def load_concepts(manifests: Sequence[Path], images: Path, names: Sequence[str] | None = None) -> dict[str, Concept]:
    """Read concepts from manifests; their images lie in ``images/<folder>/``.

    Args:
        names: read these only, so that the others need no images; None reads all.

    Raises:
        KeyError: a name that no manifest has.
        FileNotFoundError: no manifest, or a concept without images on disk.
        ValueError: a concept named twice, or not one caption for each image.
    """
    found: dict[str, Concept] = {}
    for manifest in manifests:
        for entry in _read(manifest)["concepts"]:
            if names is not None and entry["name"] not in names:
                continue
            concept = _concept(entry, images, manifest)
            if concept.name in found:
                raise ValueError(f"{manifest}: expected each concept once, found {concept.name!r} again: rename one")
            found[concept.name] = concept
    missing = sorted(set(names or ()) - found.keys())
    if missing:
        raise KeyError(f"expected concepts of {[str(m) for m in manifests]}, found no {missing[:3]}: check the names")
    return found


def load_synthetic(manifests: Sequence[Path], images: Path) -> list[SyntheticConcept]:
    """The concepts of manifests that have prompts to be drawn from, under ``drawn``.

    Raises:
        FileNotFoundError: no manifest.
        ValueError: no concept has any.
    """
    entries = [
        entry for manifest in manifests for entry in _read(manifest)["concepts"] if entry.get("synthetic_prompts")
    ]
    if not entries:
        raise ValueError(
            f"expected concepts with `drawn`, a list of prompts to draw their images from, in "
            f"{[str(m) for m in manifests]}, found none: see data/README.md"
        )
    return [
        SyntheticConcept(entry["name"], _folder(entry, images), tuple(entry["synthetic_prompts"])) for entry in entries
    ]


def load_splits(path: Path, name: str) -> dict[str, Split]:
    """The named splits of a manifest, checked to be disjoint.

    Raises:
        KeyError: no splits of that name.
        ValueError: a concept in two splits.
    """
    named = _read(path)["splits"]
    if name not in named:
        raise KeyError(f"{path}: expected one of {sorted(named)}, found {name!r}")
    splits = {split: Split(tuple(parts["contents"]), tuple(parts["styles"])) for split, parts in named[name].items()}
    check_disjoint(splits, path)
    return splits


def check_disjoint(splits: Mapping[str, Split], origin: object = "splits") -> None:
    """Raise ValueError if a concept is in two splits."""
    owner: dict[str, str] = {}
    for split, members in splits.items():
        for name in (*members.contents, *members.styles):
            if owner.setdefault(name, split) != split:
                raise ValueError(
                    f"{origin}: expected disjoint splits, found {name!r} in {owner[name]!r} and in {split!r}: "
                    "results on it would be a leak; take it out of one of them"
                )


def load_images(paths: Sequence[Path], resolution: int) -> Tensor:
    """Images as (n, 3, resolution, resolution), -1 to 1: upright, RGB, resized and cropped at the centre.

    Raises:
        ValueError: a file that is not a readable image.
    """
    images = []
    for path in paths:
        try:
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
        except OSError as error:
            raise ValueError(f"{path}: expected an image (PNG, JPEG, WebP), could not read it: {error}") from error
        images.append(np.asarray(ImageOps.fit(image, (resolution, resolution), Image.Resampling.LANCZOS)))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def seed_of(*parts: object) -> int:
    """A seed that depends on the parts' text alone: the same on every machine and in every run."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"expected a manifest at {path}, found none: check the path in the config")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _folder(entry: Mapping[str, Any], root: Path) -> Path:
    return root / str(entry.get("folder", entry["name"]))


def _concept(entry: Mapping[str, Any], root: Path, manifest: Path) -> Concept:
    name, folder = entry["name"], _folder(entry, root)
    images = tuple(sorted(p for p in folder.glob("*") if p.suffix.lower() in _SUFFIXES))
    if not images:
        raise FileNotFoundError(f"{manifest}: expected images of {name!r} in {folder}, found none: put them there")
    prompt = str(entry.get("prompt", "")).format(**{k: v for k, v in entry.items() if isinstance(v, str)})
    captions = tuple(entry.get("captions") or [prompt] * len(images))
    if len(captions) != len(images) or not all(captions):
        raise ValueError(f"{manifest}: {name!r} has {len(images)} images in {folder} but {len(captions)} captions")
    phrase, description = str(entry.get("phrase", prompt)), str(entry.get("description", ""))
    return Concept(name, entry["kind"], phrase, images, captions, description)
