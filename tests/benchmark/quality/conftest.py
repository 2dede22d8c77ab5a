"""A benchmark of the embedded default that takes seconds: two contents, two styles, two sampling steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lorarar.benchmark.quality.config import QualityConfig, RowConfig
from lorarar.storage.locations import EMBEDDED

SPLITS = {"train": ("train", 2), "validation": ("validation", 2), "test": ("test", 2)}


@pytest.fixture(scope="session")
def splits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits of the first concepts of each of the embedded default's."""
    names = {
        part: {f"{kind}s": [f"{split}_{kind}_{i:02d}" for i in range(count)] for kind in ("content", "style")}
        for part, (split, count) in SPLITS.items()
    }
    path = tmp_path_factory.mktemp("splits") / "splits.yaml"
    path.write_text(yaml.safe_dump({"splits": {"tiny": names}}))
    return path


@pytest.fixture
def config(tmp_path: Path, splits_file: Path) -> QualityConfig:
    return QualityConfig(
        output=tmp_path / "output",
        runs=tmp_path / "runs",
        trainings=tmp_path / "trained",
        base=str(EMBEDDED / "base"),
        manifests=(EMBEDDED / "concepts.yaml",),
        images=EMBEDDED / "images",
        splits=splits_file,
        split="tiny",
        loras=EMBEDDED / "loras",
        methods=[RowConfig("base", "base"), RowConfig("direct", "merger", "direct")],
        seeds=(0, 1),
        classifier=EMBEDDED / "classifier.safetensors",
        steps=2,
        group=3,
    )


@pytest.fixture
def tuned(config: QualityConfig) -> QualityConfig:
    """With a row that is tuned."""
    row = RowConfig("scalars", "merger", "direct", tried=[{"weights": [0.0, 0.0]}, {"weights": [0.7, 0.9]}])
    return replace(config, methods=[*config.methods, row], budget=2)
