"""Rating sheet: a shuffled sheet without names of methods, on which people rate images; the key is a separate file."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lorarar.datasets import AXES, Axis, ImageError, Item, ReferenceConcept, load_image, pixel_hash, save_image
from lorarar.evaluation.report.pages import render_page
from lorarar.storage import digest, write_text

_TEMPLATES = "lorarar.evaluation.judge.report"  # the package that has the sheet's template
_QUESTIONS = {
    "content": "Does the image show the same {phrase} as these references, whatever its style?",
    "style": "Is the image made in the same {phrase} style as these references, whatever it shows?",
}

_ConceptKey = tuple[Axis, str]


@dataclass(frozen=True)
class _Question:
    """A question about an image, with the files of its references."""

    axis: Axis
    text: str
    references: list[str]


@dataclass(frozen=True)
class _Block:
    """An image under its anonymous id."""

    id: str
    questions: list[_Question]


def write_sheet(
    folder: Path,
    key: Path,
    items: Sequence[Item],
    concepts: Mapping[_ConceptKey, ReferenceConcept],
    *,
    image_root: Path,
    reference_root: Path,
    sample: int | None = None,
    seed: int = 0,
) -> dict[str, str]:
    """Write a folder for raters, and the key that names the items.

    The folder holds index.html (images beside their references, with buttons; it saves labels.csv), sheet.csv (item,
    axis, label, rater; for raters who fill in the last two without the page) and the images under shuffled anonymous
    ids. Images are encoded again from their pixels, since files may carry prompts and names of methods.

    Args:
        key: A CSV file (id, item) outside the folder; raters must not see it.
        concepts: By axis and name, for the references.
        sample: Number of images, drawn at random; None takes all.
        seed: Of the shuffle and the draw.

    Returns:
        For the id of each item that is left out, the reason why its image is refused.

    Raises:
        ValueError: The key would lie in the folder, a reference is refused, or the number of images is not positive.
    """
    if key.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"expected the key outside of {folder}, found {key}: raters must not see it")
    if sample is not None and sample < 1:
        raise ValueError(f"expected a positive number of images in `sample`, found {sample}")
    images, refused = _load(sorted(items, key=lambda item: item.id), image_root)
    order = random.Random(seed).sample(sorted(images), len(images))[:sample]
    anonymous = {item: f"r{number:04d}" for number, item in enumerate(order, 1)}
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for item in order:
        save_image(images[item], folder / "images" / f"{anonymous[item]}.png")
    by_id = {item.id: item for item in items}
    needed = {_concept_key(by_id[item], axis) for item in order for axis in AXES}
    references = _copy_references(needed, concepts, folder, reference_root)
    blocks = [_block(anonymous[item], by_id[item], concepts, references) for item in order]
    sheet = digest([pixel_hash(images[item]) for item in order])
    page = render_page("rating_sheet.html.jinja", _TEMPLATES, script="rating.js", blocks=blocks, sheet=sheet)
    write_text(folder / "index.html", page)
    rows = [(anonymous[item], axis, "", "") for item in order for axis in AXES]
    write_text(folder / "sheet.csv", _csv(("item", "axis", "label", "rater"), rows))
    write_text(key, _csv(("id", "item"), [(anonymous[item], item) for item in order]))
    return refused


def _load(items: Sequence[Item], root: Path) -> tuple[dict[str, Image.Image], dict[str, str]]:
    """Return the images by item id, and for refused images the reasons."""
    images, refused = {}, {}
    for item in items:
        try:
            images[item.id] = load_image(Path(item.path), root=root)
        except ImageError as error:
            refused[item.id] = str(error)
    return images, refused


def _concept_key(item: Item, axis: Axis) -> _ConceptKey:
    return axis, item.content if axis == "content" else item.style


def _copy_references(
    needed: set[_ConceptKey], concepts: Mapping[_ConceptKey, ReferenceConcept], folder: Path, root: Path
) -> dict[_ConceptKey, list[str]]:
    """Write the references of these concepts under numbers; return the paths of the files relative to the folder."""
    (folder / "references").mkdir(parents=True, exist_ok=True)
    files: dict[_ConceptKey, list[str]] = {}
    for number, concept in enumerate(sorted(needed)):
        files[concept] = []
        for index, path in enumerate(concepts[concept].images):
            file = f"references/{number:03d}-{index:02d}.png"
            save_image(load_image(Path(path), root=root), folder / file)
            files[concept].append(file)
    return files


def _block(
    name: str,
    item: Item,
    concepts: Mapping[_ConceptKey, ReferenceConcept],
    references: Mapping[_ConceptKey, list[str]],
) -> _Block:
    questions = []
    for axis in AXES:
        key = _concept_key(item, axis)
        questions.append(_Question(axis, _QUESTIONS[axis].format(phrase=concepts[key].phrase), references[key]))
    return _Block(name, questions)


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
