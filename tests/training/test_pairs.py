"""lorarar.training.pairs: a pair's batch is a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from lorarar.datasets.concepts import Concept, Pair
from lorarar.datasets.splits import Split
from lorarar.diffusion.backbone import Backbone
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.storage.atomic import FormatError
from lorarar.storage.cards import read_card
from lorarar.training.pairs import PairBatch, PairData, joint_concept, load_loras
from lorarar.training.settings import Recipe
from lorarar.training.units import Units
from lorarar.training.zoo import train_zoo
from lorarar.training.zoo_files import write_unit


@pytest.fixture
def make(
    backbone: Backbone, concepts: dict[str, Concept], splits: dict[str, Split], loras: dict[str, LoRA]
) -> Callable[..., PairData]:
    def build(seed: int = 0, splits: dict[str, Split] = splits, loras: dict[str, LoRA] = loras) -> PairData:
        return PairData(backbone, concepts, splits, loras, pairs=3, images=2, seed=seed)

    return build


def same(a: list[PairBatch], b: list[PairBatch]) -> bool:
    return [p.name for p in a] == [p.name for p in b] and all(
        torch.equal(x.content.noisy, y.content.noisy) and torch.equal(x.style.noisy, y.style.noisy)
        for x, y in zip(a, b, strict=True)
    )


def test_batches_depend_on_seed_and_step_alone(make: Callable[..., PairData]) -> None:
    data, again = make(), make()
    again.training_batch(0)
    again.validation_batch(0)
    assert same(data.training_batch(5), again.training_batch(5))
    assert not same(data.training_batch(5), data.training_batch(6))
    assert not same(data.training_batch(5), make(seed=1).training_batch(5))
    assert same(data.validation_batch(0), make(seed=1).validation_batch(0))


def test_a_batch_is_of_its_pair(make: Callable[..., PairData], backbone: Backbone) -> None:
    data = make()
    seen = set()
    for step in range(20):
        for batch in data.training_batch(step):
            seen.add(batch.name)
            assert [lora.name for lora in batch.loras] == batch.name.split("+")
            content, style = (data.encoded[name] for name in batch.name.split("+"))
            assert all(any(torch.equal(t, latent) for latent in content.latents) for t in batch.content.target)
            assert all(any(torch.equal(t, latent) for latent in style.latents) for t in batch.style.target)
    assert seen == {pair.name for pair in data.train_pairs}
    (batch,) = data.validation_batch(0)
    assert batch.name == "validation_content_00+validation_style_00"
    assert_close(batch.combined.pooled, backbone.encode_prompts(["a sks cat in szn style"]).pooled)


def test_the_loras_of_a_pair_come_to_the_bases_device_and_the_others_stay(
    make: Callable[..., PairData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make()
    monkeypatch.setattr(Backbone, "device", torch.device("meta"))
    moved = data.sampler.loras_of(data.train_pairs[0])
    assert {layer.device.type for lora in moved for layer in lora.layers.values()} == {"meta"}
    assert {layer.device.type for lora in data.loras.values() for layer in lora.layers.values()} == {"cpu"}


def test_both_concepts_get_the_same_noise(make: Callable[..., PairData], backbone: Backbone) -> None:
    batch = make().training_batch(0)[0]
    assert torch.equal(batch.content.timesteps, batch.style.timesteps)
    a = backbone.noise.alphas_cumprod[batch.content.timesteps].view(-1, 1, 1, 1)
    noise = [(own.noisy - a.sqrt() * own.target) / (1 - a).sqrt() for own in (batch.content, batch.style)]
    assert_close(noise[0], noise[1], rtol=1e-3, atol=1e-3)


def test_a_pair_with_synthetic_images_gets_a_batch_of_them(
    backbone: Backbone, concepts: dict[str, Concept], splits: dict[str, Split], loras: dict[str, LoRA]
) -> None:
    name = "train_content_01+train_style_00"
    synthetic = {name: torch.randn(1, *backbone.latent_shape)}
    data = PairData(backbone, concepts, splits, loras, pairs=2, images=3, seed=0, synthetic=synthetic)
    batch = data.training_batch(0)[0]
    assert [pair.name for pair in data.train_pairs] == [name] == [batch.name]
    assert batch.synthetic is not None
    assert torch.equal(batch.synthetic.target, synthetic[name].expand(3, -1, -1, -1))
    assert torch.equal(batch.synthetic.timesteps, batch.content.timesteps)
    description = backbone.encode_prompts(["a red cat with white dots in deep blue grid bare flat style"])
    assert_close(batch.synthetic.conditioning.pooled, description.pooled.expand(3, -1))


def test_training_loras_vary_in_strength_and_validation_loras_do_not(
    backbone: Backbone, concepts: dict[str, Concept], splits: dict[str, Split], loras: dict[str, LoRA]
) -> None:
    data = PairData(backbone, concepts, splits, loras, pairs=2, images=1, seed=0, weight_jitter=0.7)
    factors = []
    for step in range(40):
        for batch in data.training_batch(step):
            for lora in batch.loras:
                of_layers = {delta.scale / loras[lora.name].layers[la].scale for la, delta in lora.layers.items()}
                assert max(of_layers) == pytest.approx(min(of_layers))
                factors.append(of_layers.pop())
    assert 0.49 < min(factors) < 0.6
    assert 1.7 < max(factors) < 2.02
    (batch,) = data.validation_batch(0)
    assert all(lora.layers[la].scale == loras[lora.name].layers[la].scale for lora in batch.loras for la in lora.layers)


def test_splits_and_loras_that_do_not_fit_are_refused(
    make: Callable[..., PairData], splits: dict[str, Split], loras: dict[str, LoRA]
) -> None:
    leak = splits | {"validation": Split(splits["validation"].contents, splits["train"].styles[:1])}
    with pytest.raises(ValueError, match="expected disjoint splits, found 'train_style_00'"):
        make(splits=leak)
    with pytest.raises(KeyError, match=r"none for 1, first \['train_style_01'\]: run the zoo"):
        make(loras={name: lora for name, lora in loras.items() if name != "train_style_01"})
    layers = dict(loras["train_style_01"].layers)
    short = LoRA(dict(list(layers.items())[1:]), name="short")
    make(loras=loras | {"train_style_01": short})  # LoRAs may have different layers
    first = next(iter(layers))
    wide = LoRA(layers | {first: LowRank(torch.ones(3, 1), torch.ones(1, 4), 1.0)}, name="wide")
    with pytest.raises(ValueError, match="wide were made for different base models: 1 layers"):
        make(loras=loras | {"train_style_01": wide})


def test_loras_of_a_zoo(loras: dict[str, LoRA], tmp_path: Path) -> None:
    save(loras["train_style_00"], tmp_path / "train_style_00.safetensors")
    assert (
        load_loras(tmp_path, ["train_style_00"])["train_style_00"].layers.keys()
        == loras["train_style_00"].layers.keys()
    )
    with pytest.raises(FormatError, match="train_style_01.safetensors does not exist"):
        load_loras(tmp_path, ["train_style_00", "train_style_01"])


def test_a_pair_as_one_concept_has_both_equally_often(concepts: dict[str, Concept]) -> None:
    content, style = concepts["train_content_00"], concepts["train_style_00"]
    single = replace(style, images=style.images[:1], captions=style.captions[:1])
    joint = joint_concept(Pair(content, single))
    assert joint.images == (*content.images, *style.images[:1] * 3)
    assert joint.captions == ("a sks cat",) * 3 + (style.captions[0],) * 3
    assert (joint.name, joint.phrase) == ("train_content_00+train_style_00", "a sks cat in szn style")
    swapped = joint_concept(Pair(replace(content, images=content.images[:2], captions=("a", "b")), style))
    assert (swapped.captions, len(swapped.images)) == (("a", "b", "a", *style.captions), 6)


def test_one_lora_is_trained_on_both_concepts(backbone: Backbone, concepts: dict[str, Concept], tmp_path: Path) -> None:
    pair = Pair(concepts["train_content_00"], concepts["train_style_00"])
    recipe = Recipe(rank=2, alphas=(2.0,), steps=2, images=4, learning_rate=1e-2)
    folders = {"folder": tmp_path / "loras", "runs": tmp_path / "runs"}
    (path,) = train_zoo(backbone, [joint_concept(pair)], recipe, **folders, group=1, checkpoint_every=2)
    assert path.name == "train_content_00+train_style_00.safetensors"
    assert read_card(path)["captions"] == [*pair.content.captions, *pair.style.captions]
    assert all(delta.delta().any() for delta in load(path).layers.values())


def test_loras_whose_deltas_depend_on_the_base(base: Path, backbone: Backbone, tmp_path: Path) -> None:
    recipe = Recipe(rank=2, alphas=(2.0,), steps=1, images=1, learning_rate=1e-2, algorithm="dora")
    units = Units(backbone, recipe, ["a"])
    concept = Concept("a", "content", "a cat", (), ())
    write_unit(units, 0, concept, tmp_path / "a.safetensors", dtype="fp32")
    assert load_loras(tmp_path, ["a"], base)["a"].layers.keys() == units.lora(0).layers.keys()
    for given in (None, "owner/model"):  # a hub id
        with pytest.raises(FormatError, match="base"):
            load_loras(tmp_path, ["a"], given)
