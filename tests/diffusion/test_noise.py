"""lorarar.diffusion.noise against diffusers' schedulers and written-out formulas."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor
from torch.testing import assert_close

from lorarar.diffusion.noise import Diffusion, Flow, Noise, noise_of

TIMESTEPS = torch.tensor([3, 900])


def latents(seed: int) -> Tensor:
    return torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_diffusion_is_that_of_the_scheduler(kind: str) -> None:
    ddpm = DDPMScheduler(beta_schedule="scaled_linear", beta_end=0.012, prediction_type=kind)
    noise = noise_of(EulerDiscreteScheduler.from_config(ddpm.config))
    x, n = latents(0), latents(1)
    assert noise.steps == 1000
    assert_close(noise.add(x, n, TIMESTEPS), ddpm.add_noise(x, n, TIMESTEPS))
    a = ddpm.alphas_cumprod[TIMESTEPS].view(2, 1, 1, 1)
    expected = {"epsilon": n, "v_prediction": ddpm.get_velocity(x, n, TIMESTEPS), "sample": x}
    assert_close(noise.target(x, n, TIMESTEPS), expected[kind])
    assert_close(noise.level(TIMESTEPS), 1 - a.flatten())
    assert noise.model_timesteps(TIMESTEPS) is TIMESTEPS


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_is_that_of_the_scheduler(shift: float) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    noise = noise_of(scheduler)
    x, n = latents(0), latents(1)
    assert noise.steps == 1000
    straight = (TIMESTEPS + 1) / 1000
    sigma = shift * straight / (1 + (shift - 1) * straight)
    assert_close(noise.model_timesteps(TIMESTEPS), 1000 * sigma)
    expected = [
        scheduler.scale_noise(x[i : i + 1], noise.model_timesteps(TIMESTEPS)[i : i + 1], n[i : i + 1]) for i in range(2)
    ]
    assert_close(noise.add(x, n, TIMESTEPS), torch.cat(expected))
    assert_close(noise.target(x, n, TIMESTEPS), n - x)
    assert_close(noise.level(TIMESTEPS), sigma**2 / (sigma**2 + (1 - sigma) ** 2))
    assert noise.model_timesteps(torch.tensor([999])) == 1000


def test_a_scheduler_that_was_used_or_shifts_by_resolution_changes_nothing() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    scheduler.set_timesteps(5, mu=1.0)
    noise = noise_of(scheduler)
    assert isinstance(noise, Flow)
    assert_close(noise.sigmas, torch.arange(1, 1001) / 1000)


@pytest.mark.parametrize(
    "noise",
    [
        *(Diffusion(torch.linspace(0.9, 0.1, 1000), k) for k in ("epsilon", "v_prediction", "sample")),
        Flow(torch.rand(1000)),
    ],
)
def test_the_target_stands_for_the_clean_latents(noise: Noise) -> None:
    x, n = latents(0), latents(1)
    noisy, target = noise.add(x, n, TIMESTEPS), noise.target(x, n, TIMESTEPS)
    assert_close(noise.clean(noisy, target, TIMESTEPS), x, rtol=1e-4, atol=1e-5)


def test_weighted_differences_are_those_of_clean_samples_in_flow_matching_alone() -> None:
    x, p, q = latents(0), latents(1), latents(2)
    flow = Flow(torch.rand(1000))
    clean = flow.clean(x, p, TIMESTEPS) - flow.clean(x, q, TIMESTEPS)
    assert_close(flow.weight(TIMESTEPS).view(-1, 1, 1, 1) * (q - p), clean, rtol=1e-4, atol=1e-5)
    assert torch.equal(Diffusion(torch.rand(1000), "epsilon").weight(TIMESTEPS), torch.ones(len(TIMESTEPS)))


@pytest.mark.parametrize(("prediction", "divisor"), [("epsilon", 4.0), ("v_prediction", 5.0), ("sample", 1.0)])
def test_a_limited_signal_to_noise_ratio_weighs_timesteps(prediction: str, divisor: float) -> None:
    noise = Diffusion(torch.tensor([0.8, 0.5]), prediction)  # ratios of 4 and 1
    found = noise.min_snr_weight(torch.tensor([0, 1]), 2.0)
    assert_close(found, torch.tensor([2.0 / divisor, 1.0 if prediction != "v_prediction" else 0.5]))
    with pytest.raises(ValueError, match="a diffusion base for recipe.min_snr_gamma, found flow matching"):
        Flow(torch.tensor([0.5])).min_snr_weight(torch.tensor([0]), 2.0)


def test_an_unknown_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match="epsilon, v_prediction or sample, found 'flow'"):
        noise_of(DDPMScheduler(prediction_type="flow"))
