"""Image folder: the concepts of a folder of images, as the content of a concept file.

A folder holds `contents/NAME/` and `styles/NAME/`, or folders NAME of one kind. A caption stands beside its image, in a
text file of the same name. The name of a concept gives its class word; kohya's folders, such as "10_sks dog", give the
token and the class word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lorarar.datasets.concepts import seed_of
from lorarar.datasets.images import list_images
from lorarar.datasets.records import AXES, Axis
from lorarar.storage import atomic_write, missing_path

_KOHYA = re.compile(r"\d+_(?P<token>\S+) (?P<class_word>.+)")
_PARTS = ("train", "validation", "test")
_TOKENS: Mapping[Axis, str] = {"content": "sks", "style": "szn"}
_FIRST = 3  # names in an error message


def folder_concepts(
    folder: Path,
    *,
    kind: Axis = "content",
    token: str | None = None,
    split: str = "mine",
    shares: Sequence[float] = (1.0,),
) -> dict[str, Any]:
    """Return the concepts of a folder of images and their splits, in the form of a concept file.

    Args:
        folder: The folder; the concepts' folders are relative to it.
        kind: Kind of the concepts, where there are no folders `contents` and `styles`.
        token: Rare word of concepts whose folders give none; None is "sks" for contents, "szn" for styles.
        split: Name of the splits.
        shares: Shares of the concepts in the parts train, validation and test, drawn by the concepts' names.

    Raises:
        FileNotFoundError: The folder does not exist, or has no images.
        ValueError: A name occurs twice, some images of a concept have no caption, or the shares do not add up to 1.
    """
    if not folder.is_dir():
        raise FileNotFoundError(missing_path("a folder of images", folder))
    if not 1 <= len(shares) <= len(_PARTS) or abs(sum(shares) - 1) > 1e-6 or min(shares) < 0:
        raise ValueError(f"expected one to three shares that add up to 1, found {list(shares)}: such as 0.6,0.2,0.2")
    concepts = [_concept(place, folder, axis, token) for axis, place in _folders(folder, kind)]
    if not concepts:
        raise FileNotFoundError(
            f"expected folders of PNG, JPEG or WebP images in {folder}, contents/NAME and styles/NAME or NAME alone, "
            "found none: put each concept's images into a folder of its own"
        )
    names = [concept["name"] for concept in concepts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"expected a name for each concept, found {twice[:_FIRST]} more than once: rename a folder")
    return {"concepts": concepts, "splits": {split: _parts(concepts, shares)}}


def write_folder_manifest(folder: Path, output: Path | None = None, *, force: bool = False, **settings: Any) -> Path:
    """Write the concept file of a folder of images; return its path.

    Args:
        folder: The folder.
        output: The file; None is `concepts.yaml` in the folder.
        force: Whether to replace an existing file.
        settings: As `folder_concepts` takes them.

    Raises:
        FormatError: The file exists and force is False, or cannot be written.
        FileNotFoundError, ValueError: As `folder_concepts`.
    """
    path = output or folder / "concepts.yaml"
    content = folder_concepts(folder, **settings)
    with atomic_write(path, force=force) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    return path


def _folders(folder: Path, kind: Axis) -> Iterator[tuple[Axis, Path]]:
    roots: Mapping[Axis, Path] = {axis: folder / f"{axis}s" for axis in AXES}
    if not any(root.is_dir() for root in roots.values()):
        roots = {kind: folder}
    for axis, root in roots.items():
        for place in sorted(root.iterdir()) if root.is_dir() else ():
            if place.is_dir() and list_images(place):
                yield axis, place


def _concept(place: Path, root: Path, axis: Axis, token: str | None) -> dict[str, Any]:
    stated = _KOHYA.fullmatch(place.name)
    name = f"{stated['token']}_{stated['class_word'].replace(' ', '_')}" if stated else place.name
    class_word = stated["class_word"] if stated else re.sub(r"[\W\d_]+", " ", place.name).strip() or place.name
    entry = {"name": name, "kind": axis, "folder": place.relative_to(root).as_posix()}
    entry |= {"token": stated["token"] if stated else token or _TOKENS[axis], "class_word": class_word}
    if axis == "content":
        entry["prompt"] = "a {token} {class_word}"
    else:
        entry |= {"prompt": "a picture in {token} style", "phrase": f"{entry['token']} style"}
    captions = _captions(list_images(place), place)
    return entry | ({"captions": captions} if captions else {})


def _captions(images: Sequence[Path], place: Path) -> list[str]:
    """Return the captions beside the images, or none where there is no text file."""
    files = [image.with_suffix(".txt") for image in images]
    missing = [file.name for file in files if not file.is_file()]
    if len(missing) == len(files):
        return []
    if missing:
        raise ValueError(
            f"expected a caption beside every image of {place}, found none for {len(missing)} of {len(files)}, first "
            f"{missing[:_FIRST]}: write them, or remove the others"
        )
    return [" ".join(file.read_text(encoding="utf-8").split()) for file in files]


def _parts(concepts: Sequence[Mapping[str, Any]], shares: Sequence[float]) -> dict[str, dict[str, list[str]]]:
    parts: dict[str, dict[str, list[str]]] = {part: {} for part in _PARTS[: len(shares)]}
    for axis in AXES:
        names = sorted((c["name"] for c in concepts if c["kind"] == axis), key=lambda name: seed_of("split", name))
        ends = [round(len(names) * sum(shares[: i + 1])) for i in range(len(shares))]
        for part, start, end in zip(parts.values(), [0, *ends], ends, strict=False):
            part[f"{axis}s"] = sorted(names[start:end])
    return parts
