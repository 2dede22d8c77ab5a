"""A measurement of renders with known faults, shared by the tests of its parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.datasets.records import Item
from lorarar.datasets.references import References
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.export import Measurement
from lorarar.evaluation.metrics.run import (
    measure_metrics,
    read_content_classes,
)
from tests.evaluation.metrics.hash_encoder import HashEncoder
from tests.evaluation.metrics.toy import FAULTS, of_base, write_items, write_references

TRIGGERS = ("sks", "in szn style")


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metrics")


@pytest.fixture(scope="session")
def references(toy_folder: Path) -> References:
    return write_references(toy_folder)


@pytest.fixture(scope="session")
def items(toy_folder: Path) -> list[Item]:
    return write_items(toy_folder, FAULTS | {"base": of_base})


@pytest.fixture(scope="session")
def encoders() -> Encoders:
    tower = load_encoder("tower")
    return Encoders(tower, load_encoder("pixels"), tower, HashEncoder())


@pytest.fixture(scope="session")
def measurement(toy_folder: Path, references: References, items: list[Item], encoders: Encoders) -> Measurement:
    classes = read_content_classes(toy_folder / "references" / "references.yaml", references)
    return measure_metrics(
        items, references, toy_folder / "images", encoders, triggers=TRIGGERS, content_classes=classes
    )
