"""lorarar.training.targets: inputs of the objective's terms; the terms themselves are tested with the trainers."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lorarar.datasets.concepts import Concept
from lorarar.datasets.splits import Split
from lorarar.diffusion.adaptation import adapted
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.conditioning import join_conditionings
from lorarar.lora.lora import LoRA
from lorarar.mergers.loss_weights import LossWeights
from lorarar.training.pairs import PairData
from lorarar.training.targets import combined_inputs, distillation_inputs, term_inputs, term_targets

NAME = "train_content_01+train_style_00"


@pytest.fixture
def data(
    backbone: Backbone, concepts: dict[str, Concept], splits: dict[str, Split], loras: dict[str, LoRA]
) -> PairData:
    """One training pair with a synthetic image; the validation pair has none."""
    synthetic = {NAME: torch.randn(1, *backbone.latent_shape)}
    return PairData(backbone, concepts, splits, loras, pairs=1, images=2, seed=0, synthetic=synthetic)


def test_combined_inputs_alternate_between_the_prompt_and_no_prompt(data: PairData) -> None:
    batch = data.training_batch(0)[0]
    inputs = combined_inputs(batch)
    noisy, timesteps, conditioning = inputs.noisy, inputs.timesteps, inputs.conditioning
    assert torch.equal(noisy, torch.cat([batch.content.noisy, batch.style.noisy]))
    assert timesteps.tolist() == batch.content.timesteps.tolist() * 2
    first = int(timesteps[0]) % 2
    for part in (conditioning.embeddings, conditioning.pooled):
        assert not part[1 - first :: 2].any()
    assert torch.equal(conditioning.embeddings[first::2], batch.combined.embeddings.expand(2, -1, -1))
    assert torch.equal(conditioning.pooled[first::2], batch.combined.pooled.expand(2, -1))


def test_distillation_inputs_are_the_synthetic_images_with_and_without_the_prompt(data: PairData) -> None:
    batch = data.training_batch(0)[0]
    assert batch.synthetic is not None
    inputs = distillation_inputs(batch, batch.combined)
    assert torch.equal(inputs.noisy, batch.synthetic.noisy.repeat(2, 1, 1, 1))
    assert torch.equal(inputs.conditioning.embeddings[:2], batch.combined.embeddings.expand(2, -1, -1))
    assert not inputs.conditioning.embeddings[2:].any()


def test_a_pair_without_synthetic_images_is_refused(data: PairData, backbone: Backbone) -> None:
    pairs, weights = data.validation_batch(0), LossWeights(fidelity=0.0, distillation=1.0)
    message = r"synthetic images of validation_content_00.* found none: give both concepts a description"
    with pytest.raises(ValueError, match=message):
        term_inputs(pairs[0], weights)
    with pytest.raises(ValueError, match=message):
        term_targets(backbone, pairs, weights)


def test_targets_have_the_shapes_of_their_inputs(data: PairData, backbone: Backbone) -> None:
    pairs, weights = data.training_batch(0), LossWeights(combined=1.0, distillation=1.0)
    inputs, (targets,) = term_inputs(pairs[0], weights), term_targets(backbone, pairs, weights)
    assert list(inputs) == ["content", "style", "combined", "distillation"]
    assert {name: target.shape for name, target in targets.items()} == {
        name: term.noisy.shape for name, term in inputs.items()
    }


def test_the_cycle_draws_an_image_by_the_other_lora_and_noises_it_again(data: PairData, backbone: Backbone) -> None:
    (batch,) = data.training_batch(0)
    (targets,) = term_targets(backbone, [batch], LossWeights(cycle=1.0))
    assert batch.content is not None
    assert batch.style is not None
    own, other = batch.loras
    for name, side, (first, second) in (
        ("content", batch.content, (other, own)),
        ("style", batch.style, (own, other)),
    ):
        with torch.no_grad():
            prompts = join_conditionings([batch.combined] * 2)
            with adapted(backbone.denoiser, first):
                predicted = backbone.predict(side.noisy, side.timesteps, prompts)
            drawn = backbone.noise.clean(side.noisy, predicted, side.timesteps)
            true, zeros = backbone.noise.clean(side.noisy, side.target, side.timesteps), torch.zeros_like(drawn)
            signal = backbone.noise.add(true, zeros, side.timesteps)
            noise = (side.noisy - signal) / backbone.noise.add(zeros, torch.ones_like(drawn), side.timesteps)
            noisy = backbone.noise.add(drawn, noise, side.timesteps)
            with adapted(backbone.denoiser, second):
                expected = backbone.predict(noisy, side.timesteps, side.conditioning)
        assert_close(targets[f"cycle_{name}"], expected, rtol=1e-3, atol=1e-3)
        assert (targets[f"cycle_{name}"] - targets[name]).abs().max() > 1e-3
