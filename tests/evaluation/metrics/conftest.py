"""A measurement of renders with known faults, shared by the tests of its parts; tiny encoders with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    BitImageProcessorPil,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
)

from lorarar.datasets.records import Item
from lorarar.datasets.references import References
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.export import Measurement
from lorarar.evaluation.metrics.run import (
    measure_metrics,
    read_content_classes,
)
from lorarar.worlds.toy.judge.model import build_processor
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


@pytest.fixture(scope="session")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=24, num_hidden_layers=5, num_attention_heads=2, image_size=28, patch_size=14)
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_mean=[0.4] * 3, image_std=[0.2] * 3
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    tokenizer: PreTrainedTokenizerFast = build_processor(["a red cat in ink style"]).tokenizer
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vocabulary = {"vocab_size": len(tokenizer), "max_position_embeddings": 8, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config=sizes | vocabulary, vision_config=sizes | {"image_size": 28, "patch_size": 7}, projection_dim=12
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder
