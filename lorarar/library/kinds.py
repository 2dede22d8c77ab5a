"""Kinds: whether a LoRA is a content or a style, with a probability.

A file may state its kind. Otherwise a logistic regression on the spectrum predicts it, for those families whose LoRAs
it was fitted to and measured on. For other families there is no prediction, and none for LoRAs unlike the fitted ones:
LoHa and LoKr have other spectra.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorarar.library.fingerprints import VERSION, Vector, fingerprint_lora
from lorarar.lora import LoRA
from lorarar.storage import write_json

MODELS = Path(__file__).parent / "kind_models"
_KINDS = ("content", "style")
_FARTHEST = 1.5  # root mean square of standardised numbers; LoRAs like the fitted ones have about 1, LoHa 3, LoKr 4
_SUREST = 0.99  # some tens of LoRAs cannot show that errors are rarer


@dataclass(frozen=True)
class PredictedKind:
    """Kind of a LoRA.

    Attributes:
        kind: "content" or "style".
        probability: Probability of this kind, .5 to 1; 1 where the file states it.
        stated: Whether the file states it.
    """

    kind: str
    probability: float
    stated: bool


@dataclass(frozen=True)
class KindModel:
    """Logistic regression p(style) = sigmoid(weights . (x - mean) / deviation + bias).

    Attributes:
        version: Version of the fingerprints.
        mean, deviation, weights: One number for each entry of the spectrum.
        bias: Bias.
        fitted_to: What it was fitted to, for the reader of the file.
    """

    version: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    fitted_to: str = ""

    def is_like(self, spectrum: NDArray[np.floating]) -> bool:
        """Return whether a spectrum is like those that the model was fitted to; it says nothing of others."""
        scaled = (spectrum - np.array(self.mean)) / np.array(self.deviation)
        return float(np.sqrt((scaled**2).mean())) <= _FARTHEST

    def style_probability(self, spectrum: NDArray[np.floating]) -> float:
        """Return the probability of a style."""
        scaled = (spectrum - np.array(self.mean)) / np.array(self.deviation)
        probability = (1 + np.tanh((scaled @ np.array(self.weights) + self.bias) / 2)) / 2
        return float(np.clip(probability, 1 - _SUREST, _SUREST))


def kind_of(lora: LoRA, spectrum: Vector | None = None) -> PredictedKind | None:
    """Return the kind that the file states, else the predicted one; None for LoRAs that no model knows.

    Args:
        lora: The LoRA.
        spectrum: Its fingerprint "spectrum"; None computes it.
    """
    stated = lora.metadata.get("kind", "")
    if stated in _KINDS:
        return PredictedKind(stated, 1.0, stated=True)
    model = kind_model(lora.family)
    if model is None:
        return None
    spectrum = fingerprint_lora(lora).vectors["spectrum"] if spectrum is None else spectrum
    if not model.is_like(spectrum):
        return None
    probability = model.style_probability(spectrum)
    return PredictedKind(_KINDS[probability >= 0.5], max(probability, 1 - probability), stated=False)


@cache
def kind_model(family: str) -> KindModel | None:
    """Return the model for a family; None where none was measured, or where it is for other fingerprints."""
    path = MODELS / f"{family}.json"
    if not family or not path.is_file():
        return None
    model = KindModel(**json.loads(path.read_text(encoding="utf-8")))
    return model if model.version == VERSION else None


def fit_kinds(
    spectra: NDArray[np.floating], kinds: Sequence[str], *, penalty: float = 1.0, fitted_to: str = ""
) -> KindModel:
    """Fit a logistic regression with an L2 penalty by Newton's method.

    Args:
        spectra: Fingerprints (n, d).
        kinds: "content" or "style" for each.
        penalty: Weight of the squared length of the weights.
        fitted_to: A remark for the file.
    """
    mean, deviation = spectra.mean(0), np.maximum(spectra.std(0), 1e-3)
    design = np.concatenate([(spectra - mean) / deviation, np.ones((len(spectra), 1))], axis=1).astype(np.float64)
    target = np.array([kind == "style" for kind in kinds], np.float64)
    ridge = penalty * np.eye(design.shape[1])
    ridge[-1, -1] = 1e-6  # the bias is free
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = (1 + np.tanh(design @ weights / 2)) / 2
        gradient = design.T @ (p - target) + ridge @ weights
        hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    bias = round(float(weights[-1]), 5)
    return KindModel(VERSION, _rounded(mean), _rounded(deviation), _rounded(weights[:-1]), bias, fitted_to)


def _rounded(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)


def save_kinds(model: KindModel, path: Path) -> None:
    """Write a model as JSON."""
    write_json(path, asdict(model))
