"""Table of families: base models with the same layers."""

from __future__ import annotations

from collections.abc import Mapping

from lorarar.lora.families.family import Family
from lorarar.lora.families.image import IMAGE_FAMILIES
from lorarar.lora.families.transformer import Stack, TransformerShape, modules
from lorarar.lora.families.unet import UNetShape
from lorarar.lora.families.video import VIDEO_FAMILIES

_ATTENTION = "attn.{to_q,to_k,to_v,to_out.0,norm_q,norm_k}"
_ADDED = "attn.{add_q_proj,add_k_proj,add_v_proj,to_add_out,norm_added_q,norm_added_k}"
_TIME_TEXT = "time_text_embed.{timestep,text}_embedder.linear_{1,2}"
# A block of FLUX and SD3.
_JOINT = modules(_ATTENTION, _ADDED, "{ff,ff_context}.net.{0.proj,2}", "{norm1,norm1_context}.linear")
_REFINER = modules(
    "attention.{to_q,to_k,to_v,to_out.0,norm_q,norm_k}",
    "feed_forward.{w1,w2,w3}",
    "{attention_norm,ffn_norm}{1,2}",
    "adaLN_modulation.0",
)
_SD3_OUTSIDE = modules("pos_embed.proj", "context_embedder", "norm_out.linear", "proj_out", _TIME_TEXT)


def _sd3(width: int, count: int, dual: bool) -> TransformerShape:
    extra = modules("attn2.{to_q,to_k,to_v,to_out.0,norm_q,norm_k}") if dual else frozenset[str]()
    return TransformerShape(
        width=width,
        stacks={"transformer_blocks": Stack(count, _JOINT | extra)},
        outside=_SD3_OUTSIDE,
        text=(768, 1280, 0),
    )


_FAMILIES = (
    Family(
        key="sd15",
        label="Stable Diffusion 1",
        base_model_version="sd_v1",
        architecture="stable-diffusion-v1",
        resolution=512,
        denoiser="unet",
        shape=UNetShape(
            channels=(320, 640, 1280, 1280), depths=(1, 1, 1, 0), middle=1, cross=768, layers_per_block=2, text=(768,)
        ),
        sgm=True,
    ),
    Family(
        key="sd2",
        label="Stable Diffusion 2",
        base_model_version="sd_v2",
        architecture="stable-diffusion-v2-768-v",
        resolution=768,
        denoiser="unet",
        shape=UNetShape(
            channels=(320, 640, 1280, 1280), depths=(1, 1, 1, 0), middle=1, cross=1024, layers_per_block=2, text=(1024,)
        ),
        sgm=True,
    ),
    Family(
        key="sdxl",
        label="Stable Diffusion XL",
        base_model_version="sdxl_base_v1-0",
        architecture="stable-diffusion-xl-v1-base",
        resolution=1024,
        denoiser="unet",
        shape=UNetShape(
            channels=(320, 640, 1280),
            depths=(0, 2, 10),
            middle=10,
            cross=2048,
            layers_per_block=2,
            text=(768, 1280),
            added=True,
        ),
        sgm=True,
    ),
    Family(
        key="koala",
        label="KOALA-700M",
        base_model_version="",
        architecture="koala-700m",
        resolution=1024,
        denoiser="unet",
        shape=UNetShape(
            channels=(320, 640, 1280),
            depths=(0, 2, 5),
            middle=0,
            cross=2048,
            layers_per_block=1,
            text=(768, 1280),
            added=True,
            whole=True,
        ),
    ),
    Family(
        key="embedded",
        label="the embedded toy base",
        base_model_version="",
        architecture="lorarar-embedded",
        resolution=32,
        denoiser="unet",
        shape=UNetShape(
            channels=(80, 144), depths=(1, 1), middle=1, cross=112, layers_per_block=1, text=(48, 64), added=True
        ),
    ),
    Family(
        key="flux",
        label="FLUX.1",
        base_model_version="flux1",
        architecture="flux-1-dev",
        resolution=1024,
        denoiser="transformer",
        shape=TransformerShape(
            width=3072,
            stacks={
                "transformer_blocks": Stack(19, _JOINT),
                "single_transformer_blocks": Stack(
                    38, modules("attn.{to_q,to_k,to_v,norm_q,norm_k}", "norm.linear", "proj_mlp", "proj_out")
                ),
            },
            outside=modules(
                "{x,context}_embedder",
                "norm_out.linear",
                "proj_out",
                _TIME_TEXT,
                "time_text_embed.guidance_embedder.linear_{1,2}",
            ),
            text=(768, 0),
        ),
    ),
    Family(
        key="chroma",
        label="Chroma",
        base_model_version="chroma",
        architecture="chroma",
        resolution=1024,
        denoiser="transformer",
        # FLUX.1 without its modulation layers.
        shape=TransformerShape(
            width=3072,
            stacks={
                "transformer_blocks": Stack(19, modules(_ATTENTION, _ADDED, "{ff,ff_context}.net.{0.proj,2}")),
                "single_transformer_blocks": Stack(
                    38, modules("attn.{to_q,to_k,to_v,norm_q,norm_k}", "proj_mlp", "proj_out")
                ),
            },
            outside=modules("{x,context}_embedder", "proj_out"),
        ),
        variant_of="flux",
    ),
    Family(
        key="sd3",
        label="Stable Diffusion 3",
        base_model_version="",
        architecture="stable-diffusion-3-m",
        resolution=1024,
        denoiser="transformer",
        shape=_sd3(1536, 24, dual=False),
    ),
    Family(
        key="sd35-medium",
        label="Stable Diffusion 3.5 medium",
        base_model_version="",
        architecture="stable-diffusion-3-5-medium",
        resolution=1024,
        denoiser="transformer",
        shape=_sd3(1536, 24, dual=True),
    ),
    Family(
        key="sd35-large",
        label="Stable Diffusion 3.5 large",
        base_model_version="",
        architecture="stable-diffusion-3-5-large",
        resolution=1024,
        denoiser="transformer",
        shape=_sd3(2432, 38, dual=False),
    ),
    Family(
        key="qwen-image",
        label="Qwen-Image",
        base_model_version="",
        architecture="qwen-image",
        resolution=1328,
        denoiser="transformer",
        shape=TransformerShape(
            width=3072,
            stacks={
                "transformer_blocks": Stack(
                    60, modules(_ATTENTION, _ADDED, "{img,txt}_mlp.net.{0.proj,2}", "{img,txt}_mod.1")
                )
            },
            outside=modules(
                "img_in",
                "txt_in",
                "txt_norm",
                "norm_out.linear",
                "proj_out",
                "time_text_embed.timestep_embedder.linear_{1,2}",
            ),
        ),
    ),
    Family(
        key="z-image",
        label="Z-Image",
        base_model_version="",
        architecture="z-image",
        resolution=1024,
        denoiser="transformer",
        shape=TransformerShape(
            width=3840,
            stacks={
                "layers": Stack(30, _REFINER),
                "noise_refiner": Stack(2, _REFINER),
                "context_refiner": Stack(2, _REFINER - {"adaLN_modulation.0"}),
            },
            outside=modules(
                "all_final_layer.2-1.{adaLN_modulation.1,linear}",
                "all_x_embedder.2-1",
                "cap_embedder.{0,1}",
                "t_embedder.mlp.{0,2}",
            ),
        ),
    ),
    *IMAGE_FAMILIES,
    *VIDEO_FAMILIES,
)
FAMILIES: Mapping[str, Family] = {family.key: family for family in _FAMILIES}
# A file does not state the layers_per_block of its UNet. All families with sgm names have the same value, and this
# assignment fails if a new one differs.
(SGM_LAYERS_PER_BLOCK,) = {family.layers_per_block for family in _FAMILIES if family.layers_per_block}
