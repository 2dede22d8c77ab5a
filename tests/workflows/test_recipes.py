"""lorarar.workflows.recipes: each LoRA of a zoo gets its recipe by its name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.datasets.concepts import Concept
from lorarar.datasets.splits import Split, load_splits
from lorarar.diffusion.backbone import Backbone
from lorarar.formats.reading import read_stored
from lorarar.storage.cards import card_path, checked, read_card
from lorarar.storage.config import load_config
from lorarar.storage.locations import EMBEDDED
from lorarar.storage.run_folder import ConfigError
from lorarar.training.settings import Recipe
from lorarar.training.trainer import DivergenceError
from lorarar.training.zoo import ZooTraining
from lorarar.workflows.recipes import check_recipes, find_layer_mistakes, group_by_recipe
from lorarar.workflows.schemas import NamedRecipe, ZooConfig
from lorarar.workflows.zoo import run_dreambooth, run_zoo
from tests import ROOT

RECIPE = Recipe(rank=2, alphas=(2.0,), steps=1, images=1, learning_rate=0.01)


@pytest.fixture
def config(folder: Path, tmp_path: Path) -> ZooConfig:
    return ZooConfig(
        base="owner/none",
        manifests=(folder / "concepts.yaml",),
        images=folder / "images",
        splits=folder / "concepts.yaml",
        split="tiny",
        output=tmp_path / "loras",
        runs=tmp_path / "runs",
        recipe=RECIPE,
        recipes=[
            NamedRecipe("plain", {"rank": 3, "alphas": [1]}, format="diffusers", save_precision="fp32"),
            NamedRecipe("LoHa", {"algorithm": "loha"}),
        ],
    )


def named(count: int) -> list[Concept]:
    return [Concept(f"{split}_{i}", "style", "", (), ()) for split in ("train", "test") for i in range(count)]


def test_a_recipe_is_drawn_by_name_split_and_weight(config: ZooConfig) -> None:
    recipes = [NamedRecipe("a"), NamedRecipe("b", weight=3), NamedRecipe("c", splits=("test",))]
    config, concepts = replace(config, recipes=recipes), named(300)
    splits = {name: Split((), tuple(f"{name}_{i}" for i in range(300))) for name in ("train", "test")}
    groups = group_by_recipe(config, concepts, splits)
    drawn = Counter((group.name, concept.name.split("_")[0]) for group in groups for concept in group.concepts)
    assert drawn["c", "train"] == 0
    shares = {key: count / 300 for key, count in drawn.items()}
    expected = {("a", "train"): 1 / 4, ("b", "train"): 3 / 4, ("a", "test"): 1 / 5, ("b", "test"): 3 / 5}
    assert shares == pytest.approx({**expected, ("c", "test"): 1 / 5}, abs=0.08)
    alone = group_by_recipe(config, concepts[:1], splits)
    assert [group.name for group in groups if concepts[0] in group.concepts] == [alone[0].name]
    with pytest.raises(ConfigError, match="expected a recipe for train_0, found none for the split 'train'"):
        group_by_recipe(replace(config, recipes=recipes[2:]), concepts, splits)


def test_one_command_trains_recipes_of_several_ranks_algorithms_and_dialects(
    config: ZooConfig, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lorarar.workflows.zoo.open_base", lambda config: backbone)
    paths = run_zoo(config)
    recipes = {path.stem: read_card(path)["recipe_name"] for path in paths}
    assert set(recipes.values()) == {"plain", "LoHa"}
    for path in paths:
        stored = read_stored(path)
        plain = recipes[path.stem] == "plain"
        assert set(stored.algorithms.values()) == {"lora" if plain else "loha"}
        assert (b"lora_A" in path.read_bytes()) == plain
        assert (b'"F32","shape":[3,' in path.read_bytes()) == plain

    for_training = [replace(recipe, splits=("train",)) for recipe in config.recipes]
    alone = run_dreambooth(
        replace(config, recipes=for_training, output=config.output / "alone", concept="train_content_00")
    )
    assert read_card(alone)["recipe_name"] == read_card(paths[0])["recipe_name"] == recipes["train_content_00"]

    original = ZooTraining._losses
    monkeypatch.setattr(
        ZooTraining, "_losses", lambda self, *a: original(self, *a) * (float("nan") if self.recipe.rank == 3 else 1)
    )
    with pytest.raises(DivergenceError, match=r"training of [1-5] LoRAs"):
        run_zoo(replace(config, output=config.output / "again"))
    written = {path.stem for path in (config.output / "again").glob("*.safetensors")}
    assert written == {name for name, recipe in recipes.items() if recipe == "LoHa"}  # the later group is trained


def test_every_mistake_in_recipes_is_named(config: ZooConfig) -> None:
    recipes = [
        NamedRecipe("a", {"rnak": 3}),
        NamedRecipe("b", {"preset": "full"}),
        NamedRecipe("b", {"rank": 0}),
    ]
    with pytest.raises(ConfigError) as error:
        check_recipes(replace(config, recipes=recipes))
    for part in (
        "'b' twice",
        "a: expected a key of the configuration, found 'rnak'",
        "b: expected an algorithm for",
    ):
        assert part in str(error.value)
    check_recipes(config)


def test_ranks_and_presets_that_do_not_fit_the_base_are_named_without_its_weights(config: ZooConfig) -> None:
    assert list(find_layer_mistakes(config)) == []  # there is no base here
    recipes = [
        NamedRecipe("wide", {"rank": 90}),
        NamedRecipe("wrong", {"targets": ["conv1"]}),
        NamedRecipe("none", {"targets": ["to_qq"]}),
        NamedRecipe("fits", {"rank": 80}),
    ]
    mistakes = list(find_layer_mistakes(replace(config, base=str(EMBEDDED / "base"), recipes=recipes)))
    assert [mistake.partition(":")[0] for mistake in mistakes] == ["wide", "wrong", "none"]
    assert "recipe.rank=90 is above the 80 x 80 weight of" in mistakes[0]
    assert "is a convolution: set recipe.algorithm=locon" in mistakes[1]


def test_the_zoo_in_the_wild_splits_by_concept_and_by_recipe() -> None:
    config = load_config(ZooConfig, "zoo/wild")
    check_recipes(config)
    splits = load_splits(ROOT / config.splits, config.split)
    sizes = {name: (len(part.contents), len(part.styles)) for name, part in splits.items()}
    assert sizes == {"train": (40, 40), "validation": (16, 16), "test": (16, 16)}
    concepts = [
        Concept(name, "style", "", (), ()) for part in splits.values() for name in (*part.contents, *part.styles)
    ]
    groups = group_by_recipe(config, concepts, splits)
    trained = {
        split: {group.name for group in groups for concept in group.concepts if concept.name.startswith(split)}
        for split in splits
    }
    assert len(trained["test"] - trained["train"] - trained["validation"]) >= 3
    assert len(trained["test"] & trained["train"]) >= 5


def test_the_shipped_loras_in_the_wild_have_the_recipes_of_their_names() -> None:
    config = load_config(ZooConfig, "zoo/wild")
    folder, splits = ROOT / config.output, load_splits(ROOT / config.splits, config.split)
    names = [name for part in splits.values() for name in (*part.contents, *part.styles)]
    groups = group_by_recipe(config, [Concept(name, "style", "", (), ()) for name in names], splits)
    size = 0
    for group in groups:
        for concept in group.concepts:
            path = folder / f"{concept.name}.safetensors"
            card = read_card(path)
            assert card["recipe_name"] == group.name
            assert {key: card["recipe"][key] for key in ("algorithm", "rank", "steps")} == {
                key: getattr(group.recipe, key) for key in ("algorithm", "rank", "steps")
            }
            size += card_path(path).stat().st_size
            if not concept.name.startswith("train"):
                size += checked(path).stat().st_size
    assert size < 8_000_000
