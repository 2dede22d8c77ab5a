"""Shared fixtures: a tiny random toy base, a folder of concepts, quiet libraries."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the libraries are first imported
os.environ["WANDB_MODE"] = "offline"

import logging
from pathlib import Path

import diffusers
import pytest
import torch
import transformers

from lorarar.datasets.concepts import Concept, load_concepts
from lorarar.datasets.splits import Split, load_splits
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.loading import load_backbone
from lorarar.lora.lora import LoRA
from lorarar.worlds.stages.autoencoder import build_autoencoder
from lorarar.worlds.stages.pipelines import build_pipeline, new_parts
from lorarar.worlds.stages.recipes import Shape
from lorarar.worlds.toy.definition import TOY
from tests.tiny import lora_for, write_concepts

for library in (diffusers, transformers):
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
torch.set_num_threads(1)  # two threads that wait for each other are ten times slower on a busy machine


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy base with random weights, on disk."""
    path = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    build_pipeline(new_parts(build_autoencoder(), TOY, Shape()), Shape()).save_pretrained(path)
    return path


@pytest.fixture
def backbone(base: Path) -> Backbone:
    """The toy base, loaded anew, so that a test may change it."""
    return load_backbone(base, device="cpu")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Concepts on disk: two contents and two styles to train on, one of each for validation."""
    path = tmp_path_factory.mktemp("concepts")
    write_concepts(path)
    return path


@pytest.fixture(scope="session")
def concepts(folder: Path) -> dict[str, Concept]:
    return load_concepts([folder / "concepts.yaml"], folder / "images")


@pytest.fixture(scope="session")
def splits(folder: Path) -> dict[str, Split]:
    return load_splits(folder / "concepts.yaml", "tiny")


@pytest.fixture
def loras(backbone: Backbone, concepts: dict[str, Concept]) -> dict[str, LoRA]:
    """A random LoRA of the toy base for each concept."""
    return {name: lora_for(backbone.denoiser, (2,), seed=1000 * i, name=name) for i, name in enumerate(concepts)}
