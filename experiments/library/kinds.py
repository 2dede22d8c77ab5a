"""Fit and measure the prediction of kinds for the embedded family.

    python experiments/library/kinds.py

It is fitted to the 80 training LoRAs of the shipped zoo, its penalty is chosen by the log loss on the 16 validation
LoRAs, and it is measured on the 16 test LoRAs and on the LoRAs of train.py, whose images, starts, ranks and lengths it
has not seen. The model goes to the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from lorarar import load
from lorarar.evaluation.statistics import Rate, wilson
from lorarar.library import fingerprint_lora
from lorarar.library.fingerprints import VERSION
from lorarar.library.kinds import MODELS, KindModel
from lorarar.storage import write_json

HERE, SHIPPED, TRAINED = Path(__file__).parent, Path("data/embedded/loras"), Path("runs/library/loras")
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def main() -> None:
    """Fit, measure, write results."""
    torch.set_num_threads(1)
    spectra, kinds = spectra_of(sorted(SHIPPED.glob("train_*.safetensors")))
    unseen = spectra_of(sorted(SHIPPED.glob("validation_*.safetensors")))
    remark = "40 contents and 40 styles of data/embedded/loras"
    models = {penalty: fit(spectra, kinds, penalty, remark) for penalty in PENALTIES}
    losses = {penalty: log_loss(model, *unseen) for penalty, model in models.items()}
    best = min(losses, key=lambda penalty: losses[penalty])
    model = models[best]
    write_json(MODELS / "embedded.json", asdict(model))
    sets = {"test LoRAs of the shipped zoo": sorted(SHIPPED.glob("test_*.safetensors"))}
    ways = sorted({path.name.rpartition("_")[0].split("_")[0].rstrip("01") for path in TRAINED.glob("*.safetensors")})
    sets |= {way: sorted(TRAINED.glob(f"{way}[01]_*.safetensors")) for way in ways}
    results = {}
    for name, paths in sets.items():
        spectra, kinds = spectra_of(paths)
        styles = np.array([model.style_probability(row) for row in spectra])
        like = ~np.isnan(styles)
        right = (styles >= 0.5) == (np.array(kinds) == "style")
        sure = like & (np.maximum(styles, 1 - styles) >= 0.9)
        share = wilson(Rate(int(right[like].sum()), int(like.sum()))) if like.any() else None
        results[name] = {
            "loras": len(right),
            "contents": kinds.count("content"),
            "predicted": int(like.sum()),
            "right": [round(v, 3) for v in (share.mean, share.low, share.high)] if share else None,
            "sure": int(sure.sum()),
            "wrong and sure": int((sure & ~right).sum()),
        }
        print(name, results[name], flush=True)
    write_json(HERE / "kinds.json", {"penalty": best, "validation log loss": losses, "results": results})


def fit(spectra: NDArray[np.float64], kinds: Sequence[str], penalty: float, remark: str) -> KindModel:
    """Return a logistic regression on standardised spectra with an L2 penalty."""
    mean, deviation = spectra.mean(0), np.maximum(spectra.std(0), 1e-3)
    fitted = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000).fit((spectra - mean) / deviation, kinds)
    numbers = (tuple(round(float(value), 5) for value in values) for values in (mean, deviation, fitted.coef_[0]))
    return KindModel(VERSION, *numbers, round(float(fitted.intercept_[0]), 5), remark)


def log_loss(model: KindModel, spectra: NDArray[np.float64], kinds: Sequence[str]) -> float:
    """Return the mean negative log probability of the right kinds."""
    styles = np.array([model.style_probability(row) for row in spectra])
    right = np.where(np.array(kinds) == "style", styles, 1 - styles)
    return round(float(-np.nanmean(np.log(np.maximum(right, 1e-12)))), 4)


def spectra_of(paths: Sequence[Path]) -> tuple[NDArray[np.float64], list[str]]:
    """Return the spectra (n, d) and the kinds of files, by their names."""
    rows = [fingerprint_lora(load(path)).vectors["spectrum"] for path in paths]
    return np.stack(rows).astype(np.float64), ["style" if "_style_" in path.name else "content" for path in paths]


if __name__ == "__main__":
    main()
