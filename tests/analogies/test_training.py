"""lorarar.analogies.training and examples: the loss, its gradients, resuming, layouts, folders of analogies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lorarar.analogies.examples import answers, arrange, folder_examples, grid
from lorarar.analogies.training import AnalogyTraining
from lorarar.datasets.images import save_image
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.editing import conditioned
from lorarar.diffusion.loading import load_backbone
from lorarar.mergers.optimised.recipe import MergerRecipe
from lorarar.training.batches import step_generator
from lorarar.training.trainer import fit
from tests.analogies.cases import random_analogies


def module_for(backbone: Backbone, steps: int = 1) -> AnalogyTraining:
    analogies, examples = random_analogies(backbone)
    recipe = MergerRecipe(steps=steps, learning_rate=0.01)
    return AnalogyTraining(analogies.trained.basis, backbone, examples, recipe, batch=2, prompt="a", seed=0)


def test_without_its_up_factors_a_basis_has_the_loss_of_the_base(backbone: Backbone) -> None:
    module = module_for(backbone)
    with torch.no_grad():
        for up in module.basis.up:
            up.zero_()
        rows = torch.tensor([2, 0])
        found = module.loss(rows, step_generator(1))
        random = step_generator(1)
        times = torch.randint(1000, (2,), generator=random)
        latents = module.examples.target[rows]
        noise = torch.randn(latents.shape, generator=random)
        words = backbone.encode_prompts(["a", "a"])
        with conditioned(backbone.denoiser, module.examples.condition[rows]):
            predicted = backbone.predict(backbone.add_noise(latents, noise, times), times, words)
    assert float(found) == pytest.approx(float((predicted - latents).square().mean()), rel=1e-4)
    assert {name.partition(".")[0] for name in module.state_dict()} == {"basis"}
    assert module.examples.tasks.tolist() == [0, 1, 0]


@pytest.mark.slow
def test_a_resumed_training_equals_an_uninterrupted_one(backbone: Backbone, base: Path, tmp_path: Path) -> None:
    whole, first, second = module_for(backbone), *(module_for(load_backbone(base, device="cpu")) for _ in range(2))
    for module, steps, name in ((whole, 4, "whole"), (first, 2, "parts"), (second, 4, "parts")):
        fit(module, steps=steps, folder=tmp_path / name, accelerator="cpu", checkpoint_every=2)
    for one, other in zip(whole.basis.parameters(), second.basis.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    untrained = module_for(load_backbone(base, device="cpu"))
    assert not torch.allclose(untrained.basis.keys, whole.basis.keys)


def test_layouts() -> None:
    images = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 3, 2, 2)
    assert grid(images)[0, 0, ::2, ::2].tolist() == [[0, 1], [2, 3]]
    target, condition = arrange(images, "grid")
    assert condition[0, 0, 0, ::2, ::2].tolist() == [[0, 1], [2, 2]]
    assert answers(target, "grid").unique().tolist() == [3]
    target, condition = arrange(images, "images")
    assert condition[0, :, 0, 0, 0].tolist() == [0, 1, 2]
    assert answers(target, "images").unique().tolist() == [3]


def test_a_folder_of_analogies(tmp_path: Path) -> None:
    for task in ("blue", "red"):
        for i, role in enumerate(("before", "after", "image", "target")):
            (tmp_path / task / "x").mkdir(parents=True, exist_ok=True)
            save_image(torch.full((3, 8, 8), i / 3), tmp_path / task / "x" / f"{role}.png")
    images, names = folder_examples(tmp_path, 4)
    assert names == ["blue", "red"]
    assert images[:, :, 0, 0, 0].tolist() == [[0, 85, 170, 255]] * 2
    (tmp_path / "red" / "x" / "after.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected TASK/NAME/.* in .*, found no .*red/x/after.png: add it"):
        folder_examples(tmp_path, 4)
