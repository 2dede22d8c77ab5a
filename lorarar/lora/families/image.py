"""Newer image models, whose files keep the names that their trainers gave them."""

from __future__ import annotations

from lorarar.lora.families.family import Family, newer_family
from lorarar.lora.families.transformer import sized

_ATTENTION = "attn.{to_q,to_k,to_v,to_out.0}"
_ADDED = "attn.{add_q_proj,add_k_proj,add_v_proj,to_add_out}"
_NORMS = "attn.{norm_q,norm_k}"
_ADDED_NORMS = "attn.{norm_added_q,norm_added_k}"


def _flux2(key: str, name: str, width: int, double: int, single: int, variant_of: str = "") -> Family:
    square, wide = (width, width), (6 * width, width)
    joint = {
        _ATTENTION: square,
        _ADDED: square,
        "{ff,ff_context}.linear_in": wide,
        "{ff,ff_context}.linear_out": (width, 3 * width),
    }
    fused = {"attn.to_qkv_mlp_proj": (9 * width, width), "attn.to_out": (width, 4 * width)}
    return newer_family(
        key,
        f"FLUX.2 {name}",
        {
            "transformer_blocks": sized(double, joint, _NORMS, _ADDED_NORMS),
            "single_transformer_blocks": sized(single, fused, _NORMS),
        },
        "time_guidance_embed.{timestep,guidance}_embedder.linear_{1,2}",
        "{double_stream_modulation_img,double_stream_modulation_txt,single_stream_modulation,norm_out}.linear",
        "{x,context}_embedder",
        "proj_out",
        width=width,
        version=f"flux_2_{name.lower().replace(' ', '_')}",
        architecture=f"Flux.2-{name.replace(' ', '-')}",
        variant_of=variant_of,
    )


def _hidream() -> Family:
    width = 2560
    square, shared, inner = (width, width), 3584, 6912
    image = {
        "block.attn1.{to_q,to_k,to_v,to_out}": square,
        "block.ff_i.shared_experts.{w1,w3}": (shared, width),
        "block.ff_i.shared_experts.w2": (width, shared),
        "block.ff_i.experts.{0,1,2,3}.{w1,w3}": (inner, width),
        "block.ff_i.experts.{0,1,2,3}.w2": (width, inner),
        "block.ff_i.gate": (4, width),
    }
    text = {
        "block.attn1.{to_q_t,to_k_t,to_v_t,to_out_t}": square,
        "block.ff_t.{w1,w3}": (inner, width),
        "block.ff_t.w2": (width, inner),
    }
    norms = ("block.attn1.{q_rms_norm,k_rms_norm}", "block.adaLN_modulation.1")
    return newer_family(
        "hidream",
        "HiDream",
        {
            "double_stream_blocks": sized(16, image | text, *norms, "block.attn1.{q_rms_norm_t,k_rms_norm_t}"),
            "single_stream_blocks": sized(32, image, *norms),
            "caption_projection": sized(49, {}, "linear"),
        },
        "t_embedder.timestep_embedder.linear_{1,2}",
        "p_embedder.pooled_embedder.linear_{1,2}",
        "x_embedder.proj",
        "final_layer.{linear,adaLN_modulation.1}",
        width=width,
        architecture="hidream-i1",
    )


def _lumina2() -> Family:
    width, inner = 2304, 9216
    block = {
        "attn.{to_q,to_out.0}": (width, width),
        "attn.{to_k,to_v}": (width // 3, width),
        "feed_forward.{linear_1,linear_3}": (inner, width),
        "feed_forward.linear_2": (width, inner),
    }
    norms = (_NORMS, "{ffn_norm1,ffn_norm2,norm2}")
    modulated = ("norm1.{norm,linear}", *norms)
    return newer_family(
        "lumina2",
        "Lumina 2",
        {
            "layers": sized(26, block, *modulated),
            "noise_refiner": sized(2, block, *modulated),
            "context_refiner": sized(2, block, "norm1", *norms),
        },
        "time_caption_embed.{timestep_embedder.linear_1,timestep_embedder.linear_2}",
        "time_caption_embed.caption_embedder.{0,1}",
        "x_embedder",
        "norm_out.linear_{1,2}",
        width=width,
    )


def _krea2() -> Family:
    def block(width: int, keys: int, inner: int) -> dict[str, tuple[int, int]]:
        return {
            "attn.{to_q,to_out.0,to_gate}": (width, width),
            "attn.{to_k,to_v}": (keys, width),
            "ff.{gate,up}": (inner, width),
            "ff.down": (width, inner),
        }

    norms = (_NORMS, "norm1", "norm2")
    text = sized(2, block(2560, 2560, 6912), *norms)
    return newer_family(
        "krea2",
        "Krea 2",
        {
            "transformer_blocks": sized(28, block(6144, 1536, 16384), *norms),
            "text_fusion.layerwise_blocks": text,
            "text_fusion.refiner_blocks": text,
        },
        "img_in",
        "time_embed.linear_{1,2}",
        "time_mod_proj",
        "text_fusion.projector",
        "txt_in.{linear_1,linear_2,norm}",
        "final_layer.{linear,norm}",
        width=6144,
        version="krea2",
        architecture="Krea-2",
    )


def _anima() -> Family:
    width = 2048
    block = {
        "attn1.{to_q,to_k,to_v,to_out.0}": (width, width),
        "attn2.{to_q,to_out.0}": (width, width),
        "attn2.{to_k,to_v}": (width, 1024),
        "ff.net.0.proj": (4 * width, width),
        "ff.net.2": (width, 4 * width),
        "{norm1,norm2,norm3}.linear_1": (256, width),
        "{norm1,norm2,norm3}.linear_2": (3 * width, 256),
    }
    return newer_family(
        "anima",
        "Anima",
        {"transformer_blocks": sized(28, block, "{attn1,attn2}.{norm_q,norm_k}")},
        "patch_embed.proj",
        "time_embed.{norm,t_embedder.linear_1,t_embedder.linear_2}",
        "norm_out.linear_{1,2}",
        "proj_out",
        width=width,
    )


def _qwen_image_2() -> Family:
    width, inner = 4096, 12288
    block = {
        _ATTENTION: (width, width),
        "img_mlp.{proj,gate_layer}": (inner, width),
        "img_mlp.out": (width, inner),
    }
    return newer_family(
        "qwen-image-2.1",
        "Qwen-Image 2.1",
        {"transformer_blocks": sized(32, block, _NORMS)},
        "time_text_embed.timestep_embedder.linear_{1,2}",
        "txt_in.{in_layer,out_layer,text_norm}",
        "img_in",
        "modulation.1",
        "norm_out.linear",
        "proj_out",
        width=width,
    )


def _ideogram4() -> Family:
    width, inner = 4608, 12288
    block = {
        "attention.{to_q,to_k,to_v,to_out.0}": (width, width),
        "feed_forward.{w1,w3}": (inner, width),
        "feed_forward.w2": (width, inner),
        "adaln_modulation": (4 * width, 512),
    }
    norms = ("attention.{norm_q,norm_k}", "{attention_norm,ffn_norm}{1,2}")
    return newer_family(
        "ideogram4",
        "Ideogram 4",
        {"layers": sized(34, block, *norms)},
        "input_proj",
        "llm_cond_{proj,norm}",
        "t_embedding.mlp_{in,out}",
        "adaln_proj",
        "final_layer.{linear,adaln_modulation}",
        "embed_image_indicator",
        width=width,
        version="ideogram4",
        architecture="Ideogram-4",
    )


IMAGE_FAMILIES = (
    _flux2("flux2-dev", "dev", width=6144, double=8, single=48),
    _flux2("flux2-klein-9b", "klein 9B", width=4096, double=8, single=24),
    _flux2("flux2-klein-4b", "klein 4B", width=3072, double=5, single=20, variant_of="flux"),
    _hidream(),
    _lumina2(),
    _krea2(),
    _anima(),
    _qwen_image_2(),
    _ideogram4(),
)
