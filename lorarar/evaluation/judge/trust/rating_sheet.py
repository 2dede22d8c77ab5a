"""A blinded sheet on which people rate images: shuffled, without names of methods, the key in a file apart."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from lorarar.datasets import AXES, Axis, ImageError, Item, ReferenceConcept, load_image
from lorarar.evaluation.report.html import Markup, element, page
from lorarar.storage import atomic_write, write_text

_ASKED = {
    "content": "Does the image show the same {phrase} as these references, whatever its style?",
    "style": "Is the image made in the same {phrase} style as these references, whatever it shows?",
}


def write_sheet(
    folder: Path,
    key: Path,
    items: Sequence[Item],
    concepts: Mapping[tuple[Axis, str], ReferenceConcept],
    *,
    image_root: Path,
    reference_root: Path,
    seed: int = 0,
) -> dict[str, str]:
    """Writes a folder for raters and the key that names what they rated.

    The folder holds index.html (images beside their references), sheet.csv (item, axis, label, rater: to be filled in)
    and the images under shuffled anonymous ids. Images are written anew from their pixels, since files may carry
    prompts and names of methods.

    Args:
        key: a CSV file (id, item) outside of the folder; raters must not see it.
        concepts: by axis and name, for the references.
        seed: of the shuffle.

    Returns:
        Items that are left out since their image is refused, by id, and why.

    Raises:
        ValueError: the key would lie in the folder, or a reference is refused.
    """
    if key.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"expected the key outside of {folder}, found {key}: raters must not see it")
    shown, refused = _load(sorted(items, key=lambda item: item.id), image_root)
    order = random.Random(seed).sample(sorted(shown), len(shown))
    names = {item: f"r{number:04d}" for number, item in enumerate(order, 1)}
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for item, image in shown.items():
        _save(image, folder / "images" / f"{names[item]}.png")
    by_id = {item.id: item for item in items}
    references = _copy_references(
        {_needs(by_id[item], axis) for item in order for axis in AXES}, concepts, folder, reference_root
    )
    blocks: list[Markup] = [_block(names[item], by_id[item], concepts, references) for item in order]
    write_text(folder / "index.html", page("Rating sheet", [element("h1", "Rating sheet"), *blocks]))
    rows = [(names[item], axis, "", "") for item in order for axis in AXES]
    write_text(folder / "sheet.csv", _csv(("item", "axis", "label", "rater"), rows))
    write_text(key, _csv(("id", "item"), [(names[item], item) for item in order]))
    return refused


def _load(items: Sequence[Item], root: Path) -> tuple[dict[str, Image.Image], dict[str, str]]:
    shown, refused = {}, {}
    for item in items:
        try:
            shown[item.id] = load_image(Path(item.path), root=root)
        except ImageError as error:
            refused[item.id] = str(error)
    return shown, refused


def _needs(item: Item, axis: Axis) -> tuple[Axis, str]:
    return axis, item.content if axis == "content" else item.style


def _copy_references(
    needed: set[tuple[Axis, str]], concepts: Mapping[tuple[Axis, str], ReferenceConcept], folder: Path, root: Path
) -> dict[tuple[Axis, str], list[str]]:
    """Writes the references of these concepts under numbers; the files' names, relative to the folder."""
    (folder / "references").mkdir(parents=True, exist_ok=True)
    files: dict[tuple[Axis, str], list[str]] = {}
    for number, concept in enumerate(sorted(needed)):
        files[concept] = []
        for index, path in enumerate(concepts[concept].images):
            file = f"references/{number:03d}-{index:02d}.png"
            _save(load_image(Path(path), root=root), folder / file)
            files[concept].append(file)
    return files


def _save(image: Image.Image, path: Path) -> None:
    with atomic_write(path, force=True) as temporary:
        image.save(temporary, format="PNG")


def _block(
    name: str,
    item: Item,
    concepts: Mapping[tuple[Axis, str], ReferenceConcept],
    references: Mapping[tuple[Axis, str], list[str]],
) -> Markup:
    asked: list[Markup] = []
    for axis in AXES:
        concept = concepts[_needs(item, axis)]
        pictures = [
            element("img", src=file, alt="reference", class_="reference") for file in references[_needs(item, axis)]
        ]
        asked.append(element("p", f"{axis}: {_ASKED[axis].format(phrase=concept.phrase)}"))
        asked.append(element("div", *pictures))
    image = element("img", src=f"images/{name}.png", alt=name, class_="rated")
    return element("section", element("h2", name), image, *asked)


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
