"""The whole chain of every shipped configuration, on shrunken pipelines of the family's own structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lorarar.datasets.concepts import load_concepts
from lorarar.diffusion.generation import generate_files
from lorarar.diffusion.loading import load_backbone
from lorarar.diffusion.settings import Sampling
from lorarar.formats.loading import load
from lorarar.hypernetwork.checkpoint import load_network, save_merger
from lorarar.lora.lora import projection
from lorarar.mergers.files import merge_files
from lorarar.mergers.request import FileMerge, MergeRequest
from lorarar.storage.config import load_config
from lorarar.storage.run_folder import ConfigError
from lorarar.training.peft_training import PeftTraining
from lorarar.training.settings import Recipe
from lorarar.workflows.schemas import TrainConfig, ZooConfig
from lorarar.workflows.train import merger_training, run_train
from lorarar.workflows.zoo import run_zoo
from tests import ROOT
from tests.pipelines import SHRUNKEN

CONFIGS = ROOT / "configs"
UNET = {"to_q", "to_k", "to_v", "to_out"}
JOINT = UNET | {"add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"}
PROJECTIONS = {"sd15": UNET, "sdxl": UNET, "koala": UNET, "sd3": JOINT, "flux": JOINT}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's shrunken pipeline, made once."""

    def made(family: str) -> Path:
        path = tmp_path_factory.getbasetemp() / f"shrunken_{family}"
        if not path.exists():
            SHRUNKEN[family]().save_pretrained(path)
        return path

    return made


def overrides(base: Path, folder: Path, runs: Path) -> list[str]:
    """Overrides that make a shipped configuration small: another base, tiny concepts, the CPU."""
    return [
        f"base={base}",
        f"manifests=[{folder / 'concepts.yaml'}]",
        f"images={folder / 'images'}",
        f"splits={folder / 'concepts.yaml'}",
        "split=tiny",
        f"runs={runs}",
        "device=cpu",
        "dtype=fp32",
    ]


@pytest.fixture(scope="module")
def zoo(base: Callable[[str], Path], folder: Path) -> Callable[[str], Path]:
    """The folder of the LoRAs of all six concepts, by the function that `lorarar zoo` runs, made once."""

    def made(family: str) -> Path:
        loras = base(family).with_name(f"loras_{family}")
        if not loras.exists():
            small = [*overrides(base(family), folder, loras / "runs"), f"output={loras}", "group=3"]
            small += ["recipe.rank=2", "recipe.alphas=[2]", "recipe.steps=3", "recipe.learning_rate=0.01"]
            assert len(run_zoo(load_config(ZooConfig, CONFIGS / "zoo" / f"{family}.yaml", small))) == 6
        return loras

    return made


@pytest.fixture(scope="module")
def config(base: Callable[[str], Path], zoo: Callable[[str], Path], folder: Path) -> Callable[..., TrainConfig]:
    """A family's shipped training configuration, made small."""

    def made(family: str, runs: Path) -> TrainConfig:
        path = CONFIGS / "train" / f"{family}.yaml"
        size = "hidden" if load_config(TrainConfig, path).merger == "paper" else "width"
        small = [*overrides(base(family), folder, runs), f"loras={zoo(family)}", "wandb=disabled", f"options.{size}=8"]
        small += ["recipe.steps=2", "recipe.learning_rate=0.001", "validate_every=2", "pairs=2"]
        small += ["loss_weights.combined=1.0", "loss_weights.distillation=0.5", "synthetic_pairs=1"]
        return load_config(TrainConfig, path, small)

    return made


# SD1.5 and KOALA are UNets like SDXL.
FAMILIES = [pytest.param(f, marks=[pytest.mark.slow] if f in ("sd15", "koala") else []) for f in SHRUNKEN]


@pytest.mark.parametrize("family", FAMILIES)
def test_from_concepts_to_images(
    family: str,
    base: Callable[[str], Path],
    zoo: Callable[[str], Path],
    config: Callable[..., TrainConfig],
    tmp_path: Path,
) -> None:
    settings = config(family, tmp_path / "train")
    network = run_train(settings)
    assert load_network(network).kind == settings.merger
    loras = zoo(family)
    merged = tmp_path / "merged.safetensors"
    both = (loras / "validation_content_00.safetensors", loras / "validation_style_00.safetensors")
    found = merge_files(FileMerge(both, merged, MergeRequest(network=network), dtype="fp32"))
    lora = load(merged)
    assert len(lora.layers) == found["layers"]
    assert {f.rank for f in lora.layers.values()} == {4}
    assert {projection(layer) for layer in lora.layers} == PROJECTIONS[family]
    sampling = Sampling(steps=2, guidance=5.0)
    images = _load(
        generate_files(str(base(family)), [merged], "a sks cat in szn style", [0, 1], sampling, tmp_path / "a")
    )
    assert [picture.shape for picture in images] == [(64, 64, 3)] * 2
    assert (images[0] != images[1]).any()
    again = _load(generate_files(str(base(family)), [merged], "a sks cat in szn style", [1], sampling, tmp_path / "b"))
    assert (again[0] == images[1]).mean() > 0.99  # a batch of another size may round differently
    plain = _load(generate_files(str(base(family)), [], "a sks cat in szn style", [0], sampling, tmp_path / "c"))
    assert (plain[0] != images[0]).any()
    pipeline = load_backbone(base(family), device="cpu").pipeline
    pipeline.load_lora_weights(merged)
    assert len(pipeline.get_active_adapters()) == 1


def _load(paths: list[Path]) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in paths]


@pytest.mark.slow
def test_in_bf16_what_is_trained_stays_in_float32(
    config: Callable[..., TrainConfig], folder: Path, tmp_path: Path
) -> None:
    """The shipped SDXL configurations' precision, from fp16 LoRA files; bf16 keeps about two digits."""
    whole = config("sdxl", tmp_path / "32")
    short = replace(whole, runs=tmp_path / "bf16", dtype="bf16")
    modules = [merger_training(c) for c in (whole, short)]
    assert modules[1].backbone.dtype == torch.bfloat16
    assert modules[1].data.encoded["train_content_00"].latents.dtype == torch.float32
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = modules[1].losses(modules[1].data.training_batch(0))
    with torch.no_grad():
        expected = modules[0].losses(modules[0].data.training_batch(0))
    assert found["similarity"] == pytest.approx(expected["similarity"], rel=1e-5)
    assert found["content"] == pytest.approx(expected["content"], rel=0.3)
    weights = load_network(run_train(short)).module.state_dict()
    assert all(w.dtype == torch.float32 and w.isfinite().all() for w in weights.values())
    training = PeftTraining(
        modules[1].backbone,
        next(iter(load_concepts([folder / "concepts.yaml"], folder / "images").values())),
        Recipe(rank=2, alphas=(2.0,), steps=1, images=1, learning_rate=1e-2),
    )
    assert {p.dtype for p in training.denoiser.parameters() if p.requires_grad} == {torch.float32}


@pytest.mark.slow
def test_training_goes_on_from_a_merger_of_its_kind(config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    settings = config("sdxl", tmp_path / "runs")
    first = merger_training(settings).merger
    with torch.no_grad():
        first.output.bias += 3.0
    save_merger(first, tmp_path / "first.safetensors")
    found = merger_training(replace(settings, init=tmp_path / "first.safetensors")).merger
    assert found.training
    assert torch.equal(found.output.bias, first.output.bias)
    with pytest.raises(ConfigError, match=r"kind 'constant' in .*first.safetensors, found 'paper': set merger=paper"):
        merger_training(replace(settings, merger="constant", options={}, init=tmp_path / "first.safetensors"))


def test_another_base_at_the_same_path_gets_synthetic_images_of_its_own(
    config: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config("sdxl", tmp_path / "runs" / "a")
    merger_training(settings)
    cached = set((tmp_path / "runs" / "synthetic").rglob("*.safetensors"))
    merger_training(settings)
    assert set((tmp_path / "runs" / "synthetic").rglob("*.safetensors")) == cached
    assert len(cached) == 1
    other = load_backbone(settings.base, device="cpu")
    next(other.denoiser.parameters()).data += 1.0
    monkeypatch.setattr("lorarar.workflows.zoo.load_backbone", lambda *_, **__: other)
    merger_training(settings)
    assert len(set((tmp_path / "runs" / "synthetic").rglob("*.safetensors"))) == 2


@pytest.mark.slow
def test_checkpointing_leaves_the_gradients_as_they_are(config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        module = merger_training(replace(config("sdxl", tmp_path), gradient_checkpointing=checkpointing))
        assert module.backbone.denoiser.is_gradient_checkpointing == checkpointing
        module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign] # there is no trainer
        calls = []
        block = module.backbone.denoiser.mid_block.attentions[0].transformer_blocks[0].attn1
        block.register_forward_hook(lambda *_, calls=calls: calls.append(torch.is_grad_enabled()))
        module.losses(module.data.training_batch(0), backward=True)
        # teachers, base, base with the descriptions, merged model; the last again in backward
        assert len(calls) == (5 if checkpointing else 4)
        gradients.append({name: p.grad for name, p in module.merger.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7)
