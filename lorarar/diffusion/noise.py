"""Noise schedule: how noise is added and what the model predicts, in diffusion and in flow matching.

Callers count timesteps in integers from 0 (clean) to steps - 1 (noise), whatever unit the model takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor


class Noise(Protocol):
    """A noise schedule, for n latents (n, channels, h, w), noise of the same shape and timesteps (n,)."""

    @property
    def steps(self) -> int:
        """Return the number of timesteps; the last is steps - 1."""

    def add(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noisy latents."""

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the model should predict."""

    def clean(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """Return the clean latents that a prediction implies."""

    def level(self, timesteps: Tensor) -> Tensor:
        """Return the noise's share of the variance of the noisy latents, (n,).

        That is its squared weight over the sum of both squared weights.
        """

    def weight(self, timesteps: Tensor) -> Tensor:
        """Return the factor of differences of predictions in the objective of mergers, (n,)."""

    def min_snr_weight(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Return the weight of the loss at each timestep, (n,), with a limited signal-to-noise ratio.

        Raises:
            ValueError: The schedule has no such weights.
        """

    def model_timesteps(self, timesteps: Tensor) -> Tensor:
        """Return the timesteps as the model takes them, (n,)."""


@dataclass(frozen=True)
class Diffusion:
    """Diffusion: sqrt(abar) x + sqrt(1 - abar) noise; the model predicts noise, velocity or the clean sample.

    Attributes:
        alphas_cumprod: abar of each timestep, (steps,).
        prediction: Prediction type: epsilon, v_prediction or sample.

    Raises:
        ValueError: The prediction type is another one.
    """

    alphas_cumprod: Tensor
    prediction: str

    def __post_init__(self) -> None:
        if self.prediction not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(
                f"expected prediction type epsilon, v_prediction or sample, found {self.prediction!r}: check the "
                "scheduler's configuration in the base model's folder"
            )

    @property
    def steps(self) -> int:
        """Return the number of timesteps."""
        return len(self.alphas_cumprod)

    def add(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noisy latents."""
        signal, noisy = self._weights(latents, timesteps)
        return signal * latents + noisy * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the model should predict."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "sample":
            return latents
        signal, noisy = self._weights(latents, timesteps)
        return signal * noise - noisy * latents

    def clean(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """Return the clean latents that a prediction implies."""
        if self.prediction == "sample":
            return predicted
        signal, weight = self._weights(noisy, timesteps)
        if self.prediction == "epsilon":
            return (noisy - weight * predicted) / signal
        return signal * noisy - weight * predicted

    def level(self, timesteps: Tensor) -> Tensor:
        """Return the noise's share of the variance, (n,)."""
        return 1 - self.alphas_cumprod.to(timesteps.device)[timesteps]

    def weight(self, timesteps: Tensor) -> Tensor:
        """Return 1, as in the papers."""
        return torch.ones_like(timesteps, dtype=torch.float32)

    def min_snr_weight(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Return min(SNR, gamma), over SNR where the model predicts noise, over SNR + 1 where it predicts velocity.

        SNR = abar / (1 - abar). Reference: Hang et al., arXiv 2303.09556, section 3.4.
        """
        abar = self.alphas_cumprod.to(timesteps.device)[timesteps]
        ratio = abar / (1 - abar)
        divisor = {"epsilon": ratio, "v_prediction": ratio + 1, "sample": torch.ones_like(ratio)}[self.prediction]
        return ratio.clamp(max=gamma) / divisor

    def model_timesteps(self, timesteps: Tensor) -> Tensor:
        """Return the timesteps unchanged."""
        return timesteps

    def _weights(self, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        abar = self.alphas_cumprod.to(latents)[timesteps].view(-1, 1, 1, 1)
        return abar**0.5, (1 - abar) ** 0.5


@dataclass(frozen=True)
class Flow:
    """Flow matching: (1 - sigma) x + sigma noise; the model predicts the velocity, noise - x.

    Attributes:
        sigmas: sigma of each timestep t, (steps,): (t + 1) / steps, moved by the scheduler's own shift s to
            s sigma / (1 + (s - 1) sigma). A shift that depends on the resolution (FLUX) serves sampling alone.

    Reference:
        Esser et al., arXiv 2403.03206, equations 13 and 23.
    """

    sigmas: Tensor

    @property
    def steps(self) -> int:
        """Return the number of timesteps."""
        return len(self.sigmas)

    def add(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noisy latents."""
        sigma = self.sigmas.to(latents)[timesteps].view(-1, 1, 1, 1)
        return (1 - sigma) * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the model should predict."""
        return noise - latents

    def clean(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """Return the clean latents that a prediction implies."""
        return noisy - self.sigmas.to(noisy)[timesteps].view(-1, 1, 1, 1) * predicted

    def level(self, timesteps: Tensor) -> Tensor:
        """Return the noise's share of the variance, (n,)."""
        square = self.sigmas.to(timesteps.device)[timesteps] ** 2
        return square / (square + (1 - square**0.5) ** 2)

    def weight(self, timesteps: Tensor) -> Tensor:
        """Return sigma: sigma times a difference of velocities is the difference of the implied clean samples.

        Differences of velocities themselves are largest at low noise, where the image is already decided.
        """
        return self.sigmas.to(timesteps.device)[timesteps]

    def min_snr_weight(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Refuse: the weights were made for diffusion."""
        raise ValueError("expected a diffusion base for recipe.min_snr_gamma, found flow matching: set it to null")

    def model_timesteps(self, timesteps: Tensor) -> Tensor:
        """Return sigma in thousandths."""
        return self.sigmas.to(timesteps.device)[timesteps] * self.steps


def noise_of(scheduler: Any) -> Noise:
    """Return the noise schedule of a pipeline's scheduler.

    Raises:
        ValueError: The model predicts something other than noise, velocity or the clean sample.
    """
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        fresh = FlowMatchEulerDiscreteScheduler.from_config(scheduler.config)
        return Flow(fresh.sigmas[: fresh.config.num_train_timesteps].flip(0).to(torch.float32))
    ddpm = DDPMScheduler.from_config(scheduler.config)
    return Diffusion(ddpm.alphas_cumprod, ddpm.config.prediction_type)
