"""Kinds: whether a LoRA is a content or a style, with a probability.

A file may state its kind. Otherwise a logistic regression on the spectrum predicts it, for those families whose LoRAs
it was fitted to and measured on. For other families there is no prediction, and none for LoRAs unlike the fitted ones:
LoHa and LoKr have other spectra.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorarar.library.fingerprints import VERSION, Fingerprint, fingerprint_lora
from lorarar.lora import LoRA

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

    def style_probability(self, spectrum: NDArray[np.floating]) -> float:
        """Return the probability of a style; NaN for a spectrum unlike those that the model was fitted to."""
        scaled = (spectrum - np.array(self.mean)) / np.array(self.deviation)
        if np.sqrt((scaled**2).mean()) > _FARTHEST:
            return float("nan")
        score = scaled @ np.array(self.weights) + self.bias
        return float(np.clip((1 + np.tanh(score / 2)) / 2, 1 - _SUREST, _SUREST))


def kind_of(lora: LoRA, fingerprint: Fingerprint | None = None) -> PredictedKind | None:
    """Return the kind that the file states, else the predicted one; None for LoRAs that no model knows.

    Args:
        lora: The LoRA.
        fingerprint: Its fingerprints; None computes them.
    """
    stated = lora.metadata.get("kind", "")
    if stated in _KINDS:
        return PredictedKind(stated, 1.0, stated=True)
    model = kind_model(lora.family)
    if model is None:
        return None
    style = model.style_probability((fingerprint or fingerprint_lora(lora)).vectors["spectrum"])
    return None if np.isnan(style) else PredictedKind(_KINDS[style >= 0.5], max(style, 1 - style), stated=False)


@cache
def kind_model(family: str) -> KindModel | None:
    """Return the model for a family; None where none was measured, or where it is for other fingerprints."""
    path = MODELS / f"{family}.json"
    if not family or not path.is_file():
        return None
    model = KindModel(**json.loads(path.read_text(encoding="utf-8")))
    return model if model.version == VERSION else None
