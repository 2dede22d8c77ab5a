"""lorarar.training.batches: functions of (seed, what, step), and what they give a training step."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from lorarar.datasets.concepts import Concept, load_images
from lorarar.diffusion.backbone import Backbone
from lorarar.training.batches import encode_concept, noisy_batch, sample_noise, step_generator


def test_a_concept_is_encoded_with_its_captions(backbone: Backbone, concepts: dict[str, Concept]) -> None:
    style = concepts["train_style_00"]
    encoded = encode_concept(backbone, style)
    assert_close(encoded.latents, backbone.encode_images(load_images(style.images, 32)))
    assert encoded.latents.shape == (3, 16, 8, 8)
    assert_close(encoded.conditioning.embeddings, backbone.encode_prompts(style.captions).embeddings)
    assert not encoded.conditioning.embeddings.requires_grad


def test_random_numbers_depend_on_the_parts_alone() -> None:
    torch.manual_seed(5)
    first = torch.rand(3, generator=step_generator(0, "cat", 7))
    torch.manual_seed(6)
    assert torch.equal(first, torch.rand(3, generator=step_generator(0, "cat", 7)))
    for other in ((1, "cat", 7), (0, "dog", 7), (0, "cat", 8)):
        assert not torch.equal(first, torch.rand(3, generator=step_generator(*other)))


def test_a_draw_shows_every_image_before_any_twice(backbone: Backbone, concepts: dict[str, Concept]) -> None:
    encoded = encode_concept(backbone, concepts["train_style_00"])
    for step in range(5):
        random = step_generator(0, step)
        timesteps, noise = sample_noise(backbone, encoded.latents, 7, random)
        found = noisy_batch(backbone, encoded, timesteps, noise, random)
        shown = [next(i for i in range(3) if torch.equal(encoded.latents[i], t)) for t in found.target]  # "sample"
        assert sorted(shown[:3]) == sorted(shown[3:6]) == [0, 1, 2]
        assert_close(found.conditioning.pooled, encoded.conditioning.pooled[torch.tensor(shown)])
        assert_close(found.noisy, backbone.add_noise(encoded.latents[torch.tensor(shown)], noise, timesteps))


def test_timesteps_cover_the_whole_range(backbone: Backbone, concepts: dict[str, Concept]) -> None:
    encoded = encode_concept(backbone, concepts["train_content_00"])
    timesteps, noise = sample_noise(backbone, encoded.latents, 20_000, step_generator(0))
    assert (timesteps.min(), timesteps.max()) == (0, 999)
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.std()) - 1) < 0.01
