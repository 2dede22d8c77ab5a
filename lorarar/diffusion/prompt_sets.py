"""Images of a whole prompt set, and their manifest, which the judge and the metrics read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets import TYPES, Item, Prompt, check_images, read_manifest, save_image, write_manifest
from lorarar.diffusion.sampling import Sampler
from lorarar.storage import progress

_MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class ImageLabels:
    """Labels of images in a manifest.

    Attributes:
        method: Name of the method.
        content: Name of the content that the images should show; None cannot be planned.
        style: Name of the style that the images should show; None cannot be planned.
    """

    method: str
    content: str | None
    style: str | None


def plan_items(prompts: Sequence[Prompt], labels: ImageLabels, seeds: Sequence[int]) -> list[Item]:
    """Return one item for each prompt and seed.

    A manifest holds a seed once for each type of prompt, so several prompts of a type cannot share it: the i-th of a
    type's n prompts takes the seeds n * seed + i. They do not depend on the method: images of two methods, and of the
    base alone, share prompt and seed.

    Raises:
        ValueError: A label is missing, empty or cannot be part of a path, there are no prompts, or a seed occurs twice
            or is below 0.
    """
    if not (labels.content and labels.style):
        raise ValueError(
            "expected `content` and `style`, found none: the manifest states what each image should show, give both"
        )
    if not prompts or not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(
            f"expected prompts, and different seeds from 0, found {len(prompts)} prompts and seeds {list(seeds)}: "
            "check the prompt set and the seeds"
        )
    for label in (labels.method, labels.content, labels.style):
        if not _can_name_a_folder(label):
            raise ValueError(
                f"expected labels that can name a folder, found {label!r}: take out slashes, colons and a leading dot"
            )
    return list(_items(prompts, labels.method, labels.content, labels.style, seeds))


def _can_name_a_folder(label: str) -> bool:
    forbidden = any(letter in "/\\:" or not letter.isprintable() for letter in label)
    return bool(label) and not label.startswith(".") and not forbidden


def _items(prompts: Sequence[Prompt], method: str, content: str, style: str, seeds: Sequence[int]) -> Iterator[Item]:
    for kind in TYPES:
        texts = [prompt.text for prompt in prompts if prompt.type == kind]
        for i, text in enumerate(texts):
            for seed in seeds:
                own = len(texts) * seed + i
                name = f"{method}/{content}+{style}/{kind}/{own}"
                yield Item(name, f"{name}.png", method, content, style, own, text, kind)


def generate_set(sampler: Sampler, items: Sequence[Item], output: Path, *, force: bool = False) -> Path:
    """Sample every item's image below a folder, then write `manifest.jsonl` there.

    Other items of a manifest that is there stay in it, so that one manifest can compare several methods and the base
    alone, sampled one after the other.

    Args:
        sampler: See `lorarar.diffusion.open_sampler`.
        items: The images to sample.
        output: Folder for the images and the manifest.
        force: Whether existing images may be replaced.

    Returns:
        The manifest's path.

    Raises:
        FormatError: An image exists and force is False; nothing is sampled then.
        ValueError: The folder's manifest cannot be read; nothing is sampled then.
    """
    manifest = output / _MANIFEST
    check_images([output / item.path for item in items], force)
    own = {item.id for item in items}
    others = [item for item in read_manifest(manifest) if item.id not in own] if manifest.exists() else []
    with progress("sample", len(items), "images") as advance:
        for prompt in dict.fromkeys(item.prompt for item in items):
            members = [item for item in items if item.prompt == prompt]
            for item, image in zip(members, sampler(prompt, [item.seed for item in members]), strict=True):
                path = output / item.path
                path.parent.mkdir(parents=True, exist_ok=True)
                save_image(image, path)
            advance(len(members))
    write_manifest(manifest, [*others, *items])
    return manifest
