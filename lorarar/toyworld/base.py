"""The toy base: a tiny, genuine StableDiffusionXLPipeline, trained from scratch on renders."""

from __future__ import annotations

import lightning
import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lorarar.backbone import Backbone, Conditioning
from lorarar.toyworld.attributes import Style, Subject, neutral_looks
from lorarar.toyworld.autoencoder import LATENT_CHANNELS
from lorarar.toyworld.captions import base_caption
from lorarar.toyworld.reader import to_tensor
from lorarar.toyworld.renderer import render
from lorarar.toyworld.vocabulary import LENGTH, build_tokenizer
from lorarar.toyworld.world import world

TEXT_WIDTHS = (48, 64)


def build_pipeline(autoencoder: AutoencoderKL) -> StableDiffusionXLPipeline:
    """The toy base with a trained autoencoder and everything else randomly initialised."""
    tokenizer = build_tokenizer()
    first = CLIPTextModel(_text_config(tokenizer, TEXT_WIDTHS[0], layers=2))
    second = CLIPTextModelWithProjection(_text_config(tokenizer, TEXT_WIDTHS[1], layers=3))
    for encoder in (first, second):
        # Rare tokens keep this start; it has about the size that trained embeddings reach.
        torch.nn.init.normal_(encoder.get_input_embeddings().weight, std=0.2)
    return StableDiffusionXLPipeline(
        vae=autoencoder,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_build_unet(),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type="sample",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
            set_alpha_to_one=True,
        ),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def _text_config(tokenizer: CLIPTokenizer, width: int, layers: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _build_unet() -> UNet2DConditionModel:
    time_width = 8
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(80, 144),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        attention_head_dim=4,
        cross_attention_dim=sum(TEXT_WIDTHS),
        addition_embed_type="text_time",
        addition_time_embed_dim=time_width,
        projection_class_embeddings_input_dim=TEXT_WIDTHS[1] + 6 * time_width,
        norm_num_groups=16,
        use_linear_projection=True,
    )


class BaseTraining(lightning.LightningModule):
    """Denoising with clean-sample prediction, weight 1/max(1 - abar, 0.15); all but the autoencoder learns."""

    def __init__(
        self, autoencoder: AutoencoderKL, *, seed: int, steps: int, batch: int, learning_rate: float, renders: int
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.seed, self.steps, self.batch, self.learning_rate = seed, steps, batch, learning_rate
        self.pipeline = build_pipeline(autoencoder)
        self.backbone = Backbone(self.pipeline, frozen=False)
        self.unet, self.first, self.second = (
            self.pipeline.unet,
            self.pipeline.text_encoder,
            self.pipeline.text_encoder_2,
        )
        # SDXL reads the last but one layer of its first encoder: nothing after that has a gradient.
        self.first.encoder.layers[-1].requires_grad_(False)
        self.first.final_layer_norm.requires_grad_(False)
        self.pairs, self.latents = _pretraining_set(self.backbone, renders, seed)

    def training_step(self, batch: int, index: int) -> Tensor:
        """One step on a batch that is a function of (seed, step, process)."""
        random = np.random.default_rng((self.seed, self.global_step, self.global_rank))
        chosen = random.integers(len(self.pairs), size=self.batch)
        latents = self.latents[chosen].to(self.device)
        noise = torch.from_numpy(random.standard_normal(latents.shape, dtype=np.float32)).to(self.device)
        timesteps = torch.from_numpy(random.integers(1000, size=self.batch)).to(self.device)
        captions = [base_caption(*self.pairs[i], world(), random) for i in chosen]
        predicted = self.backbone.predict(
            self.backbone.add_noise(latents, noise, timesteps), timesteps, self._encode(captions)
        )
        share = 1 - self.backbone.noise.alphas_cumprod.to(self.device)[timesteps]
        errors = (predicted - latents).square().mean(dim=(1, 2, 3))
        loss = (errors / share.clamp(min=0.15)).mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def _encode(self, captions: list[str]) -> Conditioning:
        """Zeros for an empty caption, as the pipeline gives for one (force_zeros_for_empty_prompt)."""
        conditioning = self.backbone.encode_prompts(captions)
        told = torch.tensor([[float(caption != "")] for caption in captions], device=self.device)
        return Conditioning(conditioning.embeddings * told[..., None], conditioning.pooled * told)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient's norm to 1."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def configure_optimizers(self):  # noqa: ANN201 - Lightning's own type is a union of ten
        """AdamW, warmed up and then annealed to 0 by a cosine."""
        learned = [p for part in (self.unet, self.first, self.second) for p in part.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(learned, self.learning_rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, self.steps + 1, pct_start=0.05)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _pretraining_set(backbone: Backbone, count: int, seed: int) -> tuple[list[tuple[Subject, Style]], Tensor]:
    """Pairs of the base's own sets, half of each with a name, and the latents of their renders."""
    random = np.random.default_rng(seed)
    known = world()
    named_subjects, named_styles = list(known.subject_names), list(known.style_names)
    subjects = list(known.subjects["base"])
    styles = [*known.styles["base"], *neutral_looks()]
    pairs, latents = [], []
    for start in range(0, count, 500):
        images = []
        for _ in range(min(500, count - start)):
            subject = _pick(named_subjects if random.random() < 0.5 else subjects, random)
            style = _pick(named_styles if random.random() < 0.5 else styles, random)
            pairs.append((subject, style))
            images.append(render(subject, style, int(random.integers(2**31))))
        latents.append(backbone.encode_images(to_tensor(images)))
    return pairs, torch.cat(latents)


def _pick(members: list, random: np.random.Generator):  # noqa: ANN202
    return members[random.integers(len(members))]
