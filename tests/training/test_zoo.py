"""lorarar.training.zoo: many LoRAs at once equal those that peft trains one by one; resume; refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from lorarar.datasets.concepts import Concept
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.conditioning import Conditioning
from lorarar.diffusion.loading import load_backbone
from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.lora.lora import LoRA
from lorarar.storage.cards import ArtefactError, read_card
from lorarar.storage.run_folder import ConfigError
from lorarar.training import zoo
from lorarar.training.algorithms import TRAINED
from lorarar.training.batches import NoisyBatch, encode_concept, noisy_batch, sample_noise, step_generator
from lorarar.training.layers import trained_layers
from lorarar.training.peft_training import PeftTraining
from lorarar.training.settings import AlgorithmName, Recipe
from lorarar.training.trainer import DivergenceError, fit
from lorarar.training.units import clip_each
from lorarar.training.zoo import ZooTraining, train_zoo
from tests.tiny import dense
from tests.training.algorithms.library import by_role, library_module, start_of

RECIPE = Recipe(rank=2, alphas=(4.0, 1.0, 2.0), steps=5, images=2, learning_rate=1e-2)


@pytest.fixture
def three(concepts: dict[str, Concept]) -> list[Concept]:
    return [concepts[name] for name in ("train_content_00", "train_style_00", "train_style_01")]


def deltas(lora: LoRA) -> Tensor:
    return torch.cat([dense(factors).flatten() for factors in lora.layers.values()])


@pytest.mark.parametrize("clip", [1.0, 1e-5])
def test_one_of_three_equals_the_one_that_peft_trains_alone(
    base: Path, backbone: Backbone, three: list[Concept], clip: float, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPE, clip=clip)
    together = ZooTraining(backbone, three, recipe)
    assert len({lora.layers[together.units.layers[0].path].scale for lora in together.loras()}) > 1
    fit(together, steps=recipe.steps, folder=tmp_path / "zoo", accelerator="cpu")
    for concept, lora in zip(three, together.loras(), strict=True):
        alone = PeftTraining(load_backbone(base, device="cpu"), concept, recipe)
        fit(alone, steps=recipe.steps, folder=tmp_path / concept.name, accelerator="cpu")
        expected, found = deltas(alone.lora()), deltas(lora)
        assert lora.layers.keys() == alone.lora().layers.keys()
        assert expected.norm() > 0.1
        assert (found - expected).norm() / expected.norm() < 1e-4


def test_the_small_clip_is_active(backbone: Backbone, three: list[Concept], tmp_path: Path) -> None:
    ends = []
    for clip in (1.0, 1e-5):
        module = ZooTraining(backbone, three, dataclasses.replace(RECIPE, clip=clip))
        fit(module, steps=RECIPE.steps, folder=tmp_path / str(clip), accelerator="cpu")
        ends.append(deltas(module.loras()[0]))
    assert (ends[0] - ends[1]).norm() / ends[0].norm() > 1e-2


def test_clipping_is_each_loras_own() -> None:
    small, large = torch.tensor([[0.3, 0.4]]), torch.tensor([[30.0, 40.0]])
    parameters = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2, 1))]
    parameters[0].grad = torch.cat([small, large])
    parameters[1].grad = torch.zeros(2, 1)
    clip_each(parameters, 1.0)
    assert_close(parameters[0].grad, torch.tensor([[0.3, 0.4], [0.6, 0.8]]))


def run(backbone: Backbone, concepts: list[Concept], folder: Path, recipe: Recipe = RECIPE) -> list[Path]:
    return train_zoo(
        backbone, concepts, recipe, folder=folder / "loras", runs=folder / "runs", group=2, checkpoint_every=3
    )


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Training breaks at that step, once; returns the steps that were begun, for the first LoRA."""
    begun: list[int] = []
    original = ZooTraining._batch

    def batch(self: ZooTraining, name: str, encoded: object) -> object:
        if name == "train_content_00":
            begun.append(self.global_step)
            if begun.count(step) == 1 and self.global_step == step:
                raise RuntimeError("the machine went down")
        return original(self, name, encoded)  # type: ignore[arg-type]

    monkeypatch.setattr(ZooTraining, "_batch", batch)
    return begun


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    backbone: Backbone, three: list[Concept], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = run(backbone, three, tmp_path / "whole")
    begun = interrupt(monkeypatch, step=4)
    with pytest.raises(RuntimeError, match="went down"):
        run(backbone, three, tmp_path / "broken")
    again = run(backbone, three, tmp_path / "broken")
    assert begun == [0, 1, 2, 3, 4, 3, 4]
    for a, b in zip(whole, again, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert list((tmp_path / "broken" / "runs").iterdir()) == []


def test_a_group_is_trained_whole_after_an_interrupt_while_its_files_were_written(
    backbone: Backbone, three: list[Concept], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = run(backbone, three, tmp_path / "whole")
    original = zoo.write_unit

    def write_one(units: object, number: int, *others: object, **settings: object) -> None:
        if number:
            raise KeyboardInterrupt
        original(units, number, *others, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(zoo, "write_unit", write_one)
    with pytest.raises(KeyboardInterrupt):
        run(backbone, three, tmp_path / "broken")
    monkeypatch.setattr(zoo, "write_unit", original)
    again = run(backbone, three, tmp_path / "broken")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in whole]


def test_a_step_in_parts_and_with_kept_latents_is_the_same(
    backbone: Backbone, three: list[Concept], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPE, steps=2, images=3)
    ends = []
    for name, settings in (("whole", {}), ("parts", {"accumulate": 2, "latents": tmp_path})):
        module = ZooTraining(backbone, three[:2], recipe, **settings)  # type: ignore[arg-type]
        fit(module, steps=2, folder=tmp_path / name, accelerator="cpu")
        ends.append(torch.cat([deltas(lora) for lora in module.loras()]))
    assert (ends[0] - ends[1]).norm() / ends[0].norm() < 1e-4
    monkeypatch.setattr(Backbone, "_encode_images", None)  # the images of both are in the folder
    ZooTraining(backbone, three[:2], recipe, latents=tmp_path)


def test_adam_in_eight_bits_trains_nearly_the_same(backbone: Backbone, three: list[Concept], tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    recipe, ends = dataclasses.replace(RECIPE, rank=32), []
    for bits in (False, True):
        module = ZooTraining(backbone, three[:1], dataclasses.replace(recipe, eight_bit=bits))
        fit(module, steps=3, folder=tmp_path / str(bits), accelerator="cpu")
        states = [state for group in module.trainer.optimizers for state in group.state.values()]
        assert (
            any(value.dtype == torch.uint8 for state in states for value in state.values() if isinstance(value, Tensor))
            == bits
        )
        ends.append(deltas(module.loras()[0]))
    difference = (ends[0] - ends[1]).norm() / ends[0].norm()
    assert 0 < difference < 0.2


RICH = dataclasses.replace(
    RECIPE,
    algorithm="loha",
    text_encoders=True,
    text_encoder_learning_rate=1e-3,
    rank_dropout=0.2,
    module_dropout=0.1,
    schedule="cosine",
    warmup_steps=2,
    min_snr_gamma=5.0,
)


def test_dropout_schedule_and_text_encoders_resume_to_the_same_bytes(
    backbone: Backbone, three: list[Concept], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = run(backbone, three[:1], tmp_path / "whole", RICH)
    interrupt(monkeypatch, step=4)
    with pytest.raises(RuntimeError, match="went down"):
        run(backbone, three[:1], tmp_path / "broken", RICH)
    assert run(backbone, three[:1], tmp_path / "broken", RICH)[0].read_bytes() == whole[0].read_bytes()
    stored = read_stored(whole[0])
    assert set(stored.algorithms.values()) == {"loha"}
    assert sum(path.startswith("text_encoder") for path in stored.layers) == 4 * 5  # two encoders of 2 and 3 layers
    trained = {path: layer.delta().norm() for path, layer in load(whole[0]).layers.items()}
    unused = {path for path, norm in trained.items() if not norm}  # SDXL takes the state before an encoder's last layer
    assert unused == {path for path in trained if ".layers.1." in path and path.startswith("text_encoder.")}


def test_a_diverged_lora_is_named_and_the_others_are_written(
    backbone: Backbone, three: list[Concept], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = run(backbone, three, tmp_path / "whole")
    original = ZooTraining._batch

    def batch(self: ZooTraining, name: str, encoded: object) -> NoisyBatch:
        noisy = original(self, name, encoded)  # type: ignore[arg-type]
        spoilt = name == "train_content_00" and self.global_step >= 2
        return dataclasses.replace(noisy, target=noisy.target * float("nan")) if spoilt else noisy

    monkeypatch.setattr(ZooTraining, "_batch", batch)
    with pytest.raises(DivergenceError, match=r"training of 1 LoRAs: train_content_00 \(step 2\); lower recipe.learn"):
        run(backbone, three, tmp_path / "part")
    assert [path.read_bytes() for path in whole[1:]] == [
        (tmp_path / "part" / "loras" / path.name).read_bytes() for path in whole[1:]
    ]
    assert not (tmp_path / "part" / "loras" / whole[0].name).exists()
    module = ZooTraining(backbone, three[:2], RECIPE)
    fit(module, steps=3, folder=tmp_path / "module", accelerator="cpu")
    assert module.diverged_units() == {"train_content_00": 2}
    assert all(bool(parameter.isfinite().all()) for parameter in module.parameters())
    with pytest.raises(DivergenceError, match="train_content_00"):  # alone, at once
        fit(ZooTraining(backbone, three[:1], RECIPE), steps=5, folder=tmp_path / "alone", accelerator="cpu")


def test_a_rank_above_a_layers_size_is_named(backbone: Backbone, three: list[Concept]) -> None:
    with pytest.raises(ValueError, match=r"recipe.rank=500 is above the 80 x 80 weight of down_blocks.*: at most 80"):
        ZooTraining(backbone, three, dataclasses.replace(RECIPE, rank=500))
    with pytest.raises(ValueError, match="boft needs an even size of at most recipe.rank=2 that divides the 80 rows"):
        ZooTraining(backbone, three, dataclasses.replace(RECIPE, algorithm="boft"))
    with pytest.raises(ConfigError, match="convolutions with recipe.preset=full, found lora: set recipe.algorithm=loc"):
        ZooTraining(backbone, three, dataclasses.replace(RECIPE, preset="full"))
    with pytest.raises(ValueError, match="conv1 is a convolution: set recipe.algorithm=locon"):
        ZooTraining(backbone, three, dataclasses.replace(RECIPE, targets=("conv1",)))
    with pytest.raises(ValueError, match=r"layers named \['to_nothing'\] in the base, found none"):
        ZooTraining(backbone, three, dataclasses.replace(RECIPE, targets=("to_nothing",)))


def test_the_loss_of_the_class_is_added_with_its_weight(backbone: Backbone, three: list[Concept]) -> None:
    concept = dataclasses.replace(three[0], class_prompt="a cat", prior=three[1].images)
    recipe = dataclasses.replace(RECIPE, prior_images=3, prior_loss_weight=0.5)
    module = ZooTraining(backbone, [concept], recipe)
    noisy = NoisyBatch(torch.zeros(4, 1), torch.zeros(4), Conditioning(torch.zeros(4, 1), None), torch.zeros(4, 1))
    assert_close(module._losses(torch.tensor([[1.0], [3.0], [2.0], [4.0]]), noisy), torch.tensor([5.0 + 0.5 * 10.0]))
    share = module._batch(concept.name, *module.encoded[0])
    assert share.captions[2:] == ("a cat", "a cat")
    assert len(share.noisy) == 4
    with pytest.raises(ValueError, match="images of the class of train_content_00 for recipe.prior_images, found none"):
        ZooTraining(backbone, three, recipe)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [name for name in TRAINED if name not in ("lora", "boft")])
def test_one_of_two_equals_the_one_that_lycoris_trains_alone(
    algorithm: AlgorithmName, base: Path, backbone: Backbone, three: list[Concept], tmp_path: Path
) -> None:
    """From the same parts, on the same images and noise, on all layers of the preset full."""
    recipe = dataclasses.replace(RECIPE, algorithm=algorithm, preset="full", weight_decay=0.0, learning_rate=2e-3)
    together = ZooTraining(backbone, three[:2], recipe)
    parts = together.units.unit(1)
    fit(together, steps=recipe.steps, folder=tmp_path / "zoo", accelerator="cpu")
    alone = load_backbone(base, device="cpu")
    encoded = encode_concept(alone, three[1])
    modules = {
        layer.path: library_module(layer, recipe, parts[layer.path], three[1].name)
        for layer in trained_layers(alone, recipe)
    }
    trained = [parameter for module in modules.values() for parameter in module.parameters()]
    optimiser = torch.optim.AdamW(trained, recipe.learning_rate, weight_decay=0.0)
    for step in range(recipe.steps):
        random = step_generator(recipe.seed, three[1].name, step)
        timesteps, noise = sample_noise(alone, encoded.latents, recipe.images, random)
        noisy = noisy_batch(alone, encoded, timesteps, noise, random)
        loss = (alone.predict(noisy.noisy, noisy.timesteps, noisy.conditioning) - noisy.target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, recipe.clip)
        optimiser.step()
    moved = difference = 0.0
    for path, roles in together.units.unit(1).items():
        for role, theirs in by_role(modules[path], roles).items():
            origin = start_of(modules[path], role)
            moved += float((roles[role] - parts[path][role]).square().sum())
            difference += float((roles[role] - (theirs.detach() - origin)).square().sum())
    assert moved > 0
    assert (difference / moved) ** 0.5 < 5e-3


@pytest.mark.slow
def test_another_recipe_does_not_resume_from_an_old_checkpoint(
    backbone: Backbone, three: list[Concept], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = dataclasses.replace(RECIPE, learning_rate=2e-2)
    whole = run(backbone, three, tmp_path / "whole", other)
    interrupt(monkeypatch, step=4)
    with pytest.raises(RuntimeError, match="went down"):
        run(backbone, three, tmp_path / "broken")
    again = run(backbone, three, tmp_path / "broken", other)
    assert whole[0].read_bytes() == again[0].read_bytes()


def test_other_concepts_do_not_resume_from_an_old_checkpoint(
    backbone: Backbone, three: list[Concept], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    others = [three[0], three[2]]
    whole = run(backbone, others, tmp_path / "whole")
    interrupt(monkeypatch, step=4)
    with pytest.raises(RuntimeError, match="went down"):
        run(backbone, three, tmp_path / "broken")
    again = run(backbone, others, tmp_path / "broken")
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in again]


def test_finished_loras_are_kept_and_checked(
    backbone: Backbone, three: list[Concept], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = run(backbone, three, tmp_path)
    assert [path.name for path in paths] == [f"{concept.name}.safetensors" for concept in three]
    assert load(paths[1]).metadata["phrase"] == "szn style"
    assert read_card(paths[1])["captions"] == list(three[1].captions)
    monkeypatch.setattr(zoo, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert run(backbone, three, tmp_path) == paths
    with pytest.raises(ArtefactError, match=r"found one of another recipe: learning_rate: 0.01 there, 0.02 here"):
        run(backbone, three, tmp_path, dataclasses.replace(RECIPE, learning_rate=2e-2))
    paths[2].write_bytes(paths[2].read_bytes() + b"x")
    with pytest.raises(ArtefactError, match="train_style_01.safetensors differs from its card"):
        run(backbone, three, tmp_path)
