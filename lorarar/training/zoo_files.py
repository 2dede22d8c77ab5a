"""Files of a zoo: each LoRA with its card, and which of them are finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path

from lorarar.datasets import Concept
from lorarar.formats import save, save_parts
from lorarar.storage import ArtefactError, card_path, checked, describe_differences, read_card, write_card
from lorarar.training.settings import Recipe, SavePrecision
from lorarar.training.units import Units


def unfinished(concepts: Sequence[Concept], recipe: Recipe, folder: Path) -> list[str]:
    """Return the names of the concepts whose LoRAs are not in a folder yet.

    Raises:
        ArtefactError: The folder holds a LoRA of another recipe, or one that differs from its card.
    """
    return [c.name for c in concepts if not _is_finished(folder / f"{c.name}.safetensors", recipe)]


def write_unit(
    units: Units,
    number: int,
    concept: Concept,
    path: Path,
    *,
    dtype: SavePrecision = "fp16",
    format: str | None = None,
    recipe_name: str = "",
) -> None:
    """Write a trained LoRA and its card.

    Factors alone are written in the base's usual dialect or in `format`; the parts of other algorithms in kohya's, as
    LyCORIS does. The card states the recipe's name where it has one.
    """
    parts, lora, recipe = units.unit(number), units.lora(number), units.recipe
    facts = {"method": "dreambooth", "concept": concept.name, "kind": concept.kind, "phrase": concept.phrase}
    if all(roles.keys() <= {"up", "down", "alpha"} for roles in parts.values()):
        save(lora, path, format=format, dtype=dtype, metadata=facts, force=True)
    else:
        facts |= {"ss_network_module": "lycoris.kohya", "ss_network_args": json.dumps({"algo": recipe.algorithm})}
        save_parts(lora, parts, path, dtype=dtype, metadata=facts, force=True)
    facts |= {"recipe_name": recipe_name} if recipe_name else {}
    write_card(path, **facts, captions=list(concept.captions), images=len(concept.images), recipe=asdict(recipe))


def _is_finished(path: Path, recipe: Recipe) -> bool:
    """Tell whether the LoRA is there with its card.

    Raises:
        ArtefactError: The LoRA is of another recipe, or differs from its card.
    """
    if not (path.exists() and card_path(path).exists()):
        return False
    defaults = {field.name: field.default for field in fields(recipe) if field.default is not MISSING}
    recorded, expected = (
        {**json.loads(json.dumps(defaults)), **read_card(checked(path))["recipe"]},
        json.loads(json.dumps(asdict(recipe))),
    )
    changed = describe_differences({key: recorded.get(key) for key in expected}, expected)
    if changed:
        raise ArtefactError(
            f"expected a LoRA of this recipe at {path}, found one of another recipe: {changed}: choose another output "
            "folder, or delete it"
        )
    return True
