"""Recipes of a zoo: one for all LoRAs, or several, of which each LoRA gets one by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorarar.datasets import Concept, Split, seed_of
from lorarar.diffusion import load_structure
from lorarar.storage import ConfigError, find_mistakes, join_mistakes
from lorarar.training import Recipe, SavePrecision, check_layers, denoiser_layers, find_recipe_mistakes
from lorarar.workflows.schemas import NamedRecipe, ZooConfig


@dataclass(frozen=True)
class RecipeGroup:
    """LoRAs of one recipe.

    Attributes:
        name: Name of the recipe; "" where a zoo has one for all.
        recipe: The recipe.
        format: Dialect of the files; None for the base's usual one.
        save_precision: Type of the weights in the files.
        concepts: The concepts that are trained.
    """

    name: str
    recipe: Recipe
    format: str | None
    save_precision: SavePrecision
    concepts: tuple[Concept, ...]


def group_by_recipe(config: ZooConfig, concepts: Sequence[Concept], splits: Mapping[str, Split]) -> list[RecipeGroup]:
    """Group concepts by the recipe that each gets, in the order of the configuration.

    Raises:
        ConfigError: No recipe is for a concept's split.
    """
    if not config.recipes:
        return [RecipeGroup("", config.recipe, None, config.save_precision, tuple(concepts))]
    split_of = {name: split for split, part in splits.items() for name in (*part.contents, *part.styles)}
    drawn = {concept.name: _draw(config, concept.name, split_of.get(concept.name, "")) for concept in concepts}
    groups = []
    for named in config.recipes:
        members = tuple(concept for concept in concepts if drawn[concept.name] == named.name)
        if members:
            precision = named.save_precision or config.save_precision
            groups.append(RecipeGroup(named.name, _combined(config, named), named.format, precision, members))
    return groups


def _draw(config: ZooConfig, name: str, split: str) -> str:
    """Return the name of a LoRA's recipe: a function of the LoRA's name and of the recipes for its split."""
    names = [
        named.name for named in config.recipes if not named.splits or split in named.splits for _ in range(named.weight)
    ]
    if not names:
        raise ConfigError(f"expected a recipe for {name}, found none for the split {split!r}: add one to recipes")
    return names[seed_of("recipe", name) % len(names)]


def check_recipes(config: ZooConfig) -> None:
    """Check the recipe of a zoo, or all of its recipes.

    Raises:
        ConfigError: The message names every mistake.
    """
    if mistakes := list(find_zoo_mistakes(config)):
        raise ConfigError(join_mistakes(mistakes))


def find_layer_mistakes(config: ZooConfig) -> Iterator[str]:
    """Yield what the recipes of a zoo cannot train in the base's denoiser, if the base is a folder here."""
    if not (Path(config.base) / "model_index.json").is_file():
        return
    denoiser = load_structure(Path(config.base))
    recipes = {named.name: _combined(config, named) for named in config.recipes} or {"recipe": config.recipe}
    for name, recipe in recipes.items():
        try:
            check_layers(denoiser_layers(denoiser, recipe), recipe)
        except ValueError as error:
            yield f"{name}: {error}"


def find_zoo_mistakes(config: ZooConfig) -> Iterator[str]:
    """Yield every mistake in the recipes of a zoo that shows without the base."""
    if not config.recipes:
        yield from find_recipe_mistakes(config.recipe)
    names = [named.name for named in config.recipes]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"expected recipes with names of their own, found {name!r} twice: rename one"
    for named in config.recipes:
        if mistakes := find_mistakes(Recipe, {**_required(config.recipe), **named.settings}):
            yield from (f"{named.name}: {mistake}" for mistake in mistakes)
        else:
            yield from (f"{named.name}: {mistake}" for mistake in find_recipe_mistakes(_combined(config, named)))


def _required(recipe: Recipe) -> dict[str, object]:
    """Return the settings that every recipe must state."""
    return {key: getattr(recipe, key) for key in ("rank", "alphas", "steps", "images", "learning_rate")}


def _combined(config: ZooConfig, named: NamedRecipe) -> Recipe:
    """Return the common recipe with the settings of a named one in place of its own."""
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in named.settings.items()
    }
    return replace(config.recipe, **settings)
