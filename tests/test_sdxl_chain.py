"""The whole chain on SDXL's own structure, shrunken and with random weights: what the toy base is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lorarar.backbone import load_backbone
from lorarar.concepts import load_concepts
from lorarar.config import TrainConfig, ZooConfig
from lorarar.dreambooth import DreamBoothTraining, Recipe
from lorarar.files import merge_files
from lorarar.formats import load
from lorarar.generation import Sampling, generate_files
from lorarar.lora import projection
from lorarar.mergers.files import load_merger
from lorarar.mergers.recipe import MergerRecipe
from lorarar.objective import Weights
from lorarar.runs import merger_training, run_train, run_zoo
from lorarar.toyworld.vocabulary import build_tokenizer

WIDTHS = (8, 16)  # of the two text encoders; SDXL: 768, 1280


def text_config(width: int) -> CLIPTextConfig:
    tokenizer = build_tokenizer()
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def shrunken_sdxl() -> StableDiffusionXLPipeline:
    """SDXL's configuration with 16, 32, 64 channels in place of 320, 640, 1280, and 64 pixels in place of 1024."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=(16, 32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 2),
        attention_head_dim=(1, 2, 4),
        cross_attention_dim=sum(WIDTHS),
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=WIDTHS[1] + 6 * 4,
        norm_num_groups=8,
        use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.13025,
    )
    tokenizer = build_tokenizer()
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text_config(WIDTHS[0])),
        text_encoder_2=CLIPTextModelWithProjection(text_config(WIDTHS[1])),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type="epsilon",
            steps_offset=1,
            timestep_spacing="leading",
        ),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sdxl")
    shrunken_sdxl().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def zoo(sdxl: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The LoRAs of all six concepts, by the function that `lorarar zoo` runs."""
    path = tmp_path_factory.mktemp("zoo")
    paths = run_zoo(
        ZooConfig(
            base=str(sdxl),
            manifests=(folder / "concepts.yaml",),
            images=folder / "images",
            splits=folder / "concepts.yaml",
            split="tiny",
            output=path / "loras",
            runs=path / "runs",
            recipe=Recipe(rank=2, alphas=(2.0,), steps=3, images=1, learning_rate=1e-2),
            group=3,
            gradient_checkpointing=True,
        )
    )
    assert len(paths) == 6
    return path / "loras"


def config(sdxl: Path, folder: Path, zoo: Path, runs: Path, *, gradient_checkpointing: bool) -> TrainConfig:
    return TrainConfig(
        base=str(sdxl),
        manifests=(folder / "concepts.yaml",),
        images=folder / "images",
        splits=folder / "concepts.yaml",
        split="tiny",
        loras=zoo,
        runs=runs,
        merger="paper",
        options={"hidden": 8},
        recipe=MergerRecipe(steps=4, learning_rate=1e-3),
        weights=Weights(combined=1.0),
        pairs=2,
        validate_every=2,
        wandb="disabled",
        gradient_checkpointing=gradient_checkpointing,
    )


def test_the_base_is_read_as_sdxl(sdxl: Path) -> None:
    backbone = load_backbone(sdxl)
    assert backbone.resolution == 64  # SDXL: 128 * 8 = 1024
    assert backbone.encode_images(torch.rand(1, 3, 64, 64)).shape == (1, 4, 8, 8)
    noise = torch.randn(1, 4, 8, 8)
    assert backbone.target(torch.zeros(1, 4, 8, 8), noise, torch.tensor([10])) is noise


def test_from_concepts_to_images(sdxl: Path, folder: Path, zoo: Path, tmp_path: Path) -> None:
    merger = run_train(config(sdxl, folder, zoo, tmp_path / "train", gradient_checkpointing=True))
    content, style = zoo / "validation_content_00.safetensors", zoo / "validation_style_00.safetensors"
    merged = tmp_path / "merged.safetensors"
    found = merge_files((content, style), merged, hypernetwork=merger, dtype="fp32")
    lora = load(merged)
    assert len(lora.layers) == found["layers"]
    assert {f.rank for f in lora.layers.values()} == {4}
    assert {projection(layer) for layer in lora.layers} == {"to_q", "to_k", "to_v", "to_out"}
    sampling = Sampling(steps=2, guidance=5.0)
    prompt = "a sks cat in szn style"
    paths = generate_files(str(sdxl), [merged], prompt, [0, 1], sampling, tmp_path / "images")
    pictures = [np.asarray(Image.open(path)) for path in paths]
    assert [picture.shape for picture in pictures] == [(64, 64, 3)] * 2
    assert (pictures[0] != pictures[1]).any()
    plain = generate_files(str(sdxl), [], prompt, [0], sampling, tmp_path / "plain")
    assert (np.asarray(Image.open(plain[0])) != pictures[0]).any()
    pipeline = load_backbone(sdxl).pipeline
    pipeline.load_lora_weights(merged)
    assert len(pipeline.get_active_adapters()) == 1


def test_in_bf16_what_is_trained_stays_in_float32(sdxl: Path, folder: Path, zoo: Path, tmp_path: Path) -> None:
    """The shipped SDXL configurations' precision, from fp16 LoRA files; bf16 keeps about two digits."""
    whole = config(sdxl, folder, zoo, tmp_path / "32", gradient_checkpointing=False)
    short = replace(whole, runs=tmp_path / "bf16", precision="bf16-mixed")
    modules = [merger_training(c) for c in (whole, short)]
    assert modules[1].backbone.dtype == torch.bfloat16
    assert modules[1].data.encoded["train_content_00"].latents.dtype == torch.float32
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = modules[1].losses(modules[1].data.training_batch(0))
    with torch.no_grad():
        expected = modules[0].losses(modules[0].data.training_batch(0))
    assert found["similarity"] == pytest.approx(expected["similarity"], rel=1e-5)
    assert found["content"] == pytest.approx(expected["content"], rel=0.3)
    weights = load_merger(run_train(short)).state_dict()
    assert all(w.dtype == torch.float32 and w.isfinite().all() for w in weights.values())
    training = DreamBoothTraining(
        modules[1].backbone,
        next(iter(load_concepts([folder / "concepts.yaml"], folder / "images").values())),
        Recipe(rank=2, alphas=(2.0,), steps=1, images=1, learning_rate=1e-2),
    )
    assert {p.dtype for p in training.denoiser.parameters() if p.requires_grad} == {torch.float32}


def test_checkpointing_leaves_the_gradients_as_they_are(sdxl: Path, folder: Path, zoo: Path, tmp_path: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        module = merger_training(config(sdxl, folder, zoo, tmp_path, gradient_checkpointing=checkpointing))
        assert module.backbone.denoiser.is_gradient_checkpointing == checkpointing
        module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign] # there is no trainer
        calls = []
        block = module.backbone.denoiser.mid_block.attentions[0].transformer_blocks[0].attn1
        block.register_forward_hook(lambda *_, calls=calls: calls.append(torch.is_grad_enabled()))
        module.losses(module.data.training_batch(0), backward=True)
        assert len(calls) == (4 if checkpointing else 3)  # teachers, base, merged; again in backward
        gradients.append({name: p.grad for name, p in module.merger.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7)
