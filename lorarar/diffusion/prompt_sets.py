"""The images of a whole prompt set, and the manifest that the judge and the metrics read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm  # type: ignore[import-untyped]

from lorarar.datasets import TYPES, Item, Prompt, read_manifest, save_image, write_manifest
from lorarar.diffusion.sampling import Sampler

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Labels:
    """What a manifest says of images: the method that made them, the content and the style that they should show."""

    method: str
    content: str
    style: str


def plan_items(prompts: Sequence[Prompt], labels: Labels, seeds: Sequence[int]) -> list[Item]:
    """One item for each prompt and seed.

    In a manifest a seed is there once in a type, so that several prompts cannot share it: the i-th of a type's n
    prompts is drawn from the seeds n * seed + i. That does not depend on the method: images of two methods, and of the
    base alone, share prompt and seed.

    Raises:
        ValueError: no prompts; a seed twice or below 0; a label that is empty or cannot be part of a path.
    """
    if not prompts or not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"expected prompts, and seeds from 0 that differ, found {len(prompts)} and {list(seeds)}")
    for name in (labels.method, labels.content, labels.style):
        if not name or name.startswith(".") or any(letter in "/\\:" or not letter.isprintable() for letter in name):
            raise ValueError(f"expected labels that can name a folder, found {name!r}")
    return list(_items(prompts, labels, seeds))


def _items(prompts: Sequence[Prompt], labels: Labels, seeds: Sequence[int]) -> Iterator[Item]:
    pair = f"{labels.content}+{labels.style}"
    for kind in TYPES:
        texts = [prompt.text for prompt in prompts if prompt.type == kind]
        for i, text in enumerate(texts):
            for seed in (len(texts) * given + i for given in seeds):
                path = f"{labels.method}/{pair}/{kind}/{seed}.png"
                yield Item(
                    path.removesuffix(".png"), path, labels.method, labels.content, labels.style, seed, text, kind
                )


def generate_set(sampler: Sampler, items: Sequence[Item], output: Path) -> Path:
    """Draws every item below a folder and writes ``manifest.jsonl`` there when all are drawn.

    What a manifest there already lists is kept, so that methods that are drawn one after the other into one folder,
    the base alone among them, are compared by one manifest.

    Args:
        sampler: see `lorarar.diffusion.sampling.open_sampler`.

    Returns:
        The manifest's path.

    Raises:
        ValueError: the folder's manifest cannot be read; nothing is drawn then.
    """
    manifest = output / MANIFEST
    drawn = {item.id for item in items}
    others = [item for item in read_manifest(manifest) if item.id not in drawn] if manifest.exists() else []
    with tqdm(total=len(items), desc="images", unit="image") as bar:
        for prompt in dict.fromkeys(item.prompt for item in items):
            members = [item for item in items if item.prompt == prompt]
            for item, image in zip(members, sampler(prompt, [item.seed for item in members]), strict=True):
                path = output / item.path
                path.parent.mkdir(parents=True, exist_ok=True)
                save_image(image, path)
            bar.update(len(members))
    write_manifest(manifest, [*others, *items])
    return manifest
