"""Newer video models, whose files keep the names that their trainers gave them."""

from __future__ import annotations

from lorarar.lora.families.family import Family, newer_family
from lorarar.lora.families.transformer import sized

_ATTENTION = "attn.{to_q,to_k,to_v,to_out.0}"
_ADDED = "attn.{add_q_proj,add_k_proj,add_v_proj,to_add_out}"
_NORMS = "attn.{norm_q,norm_k}"
_ADDED_NORMS = "attn.{norm_added_q,norm_added_k}"


def _wan(size: str, width: int, inner: int, count: int) -> Family:
    square = (width, width)
    layers = {
        "{attn1,attn2}.{to_q,to_k,to_v,to_out.0}": square,
        "attn2.{add_k_proj,add_v_proj}": square,
        "ffn.net.0.proj": (inner, width),
        "ffn.net.2": (width, inner),
    }
    return newer_family(
        f"wan-{size.lower()}",
        f"Wan {size}",
        {"blocks": sized(count, layers, "{attn1,attn2}.{norm_q,norm_k}", "attn2.norm_added_k", "norm2")},
        "condition_embedder.{time,text}_embedder.linear_{1,2}",
        "condition_embedder.image_embedder.{norm1,norm2,ff.net.0.proj,ff.net.2}",
        "condition_embedder.time_proj",
        "patch_embedding",
        "proj_out",
        width=width,
        version="wan",
        architecture="wan2.1",
        resolution=480 if size == "1.3B" else 720,
    )


def _ltx(key: str, label: str, width: int, count: int) -> Family:
    square = (width, width)
    layers = {
        "{attn1,attn2}.{to_q,to_k,to_v,to_out.0}": square,
        "ff.net.0.proj": (4 * width, width),
        "ff.net.2": (width, 4 * width),
    }
    return newer_family(
        key,
        label,
        {"transformer_blocks": sized(count, layers, "{attn1,attn2}.{norm_q,norm_k}")},
        "time_embed.emb.timestep_embedder.linear_{1,2}",
        "time_embed.linear",
        "caption_projection.linear_{1,2}",
        "proj_in",
        "proj_out",
        width=width,
        resolution=512,
    )


def _ltx2() -> Family:
    video, audio = (4096, 4096), (2048, 2048)
    layers = {
        "{attn1,attn2}.{to_q,to_k,to_v,to_out.0}": video,
        "{audio_attn1,audio_attn2}.{to_q,to_k,to_v,to_out.0}": audio,
        "audio_to_video_attn.{to_k,to_v}": audio,
        "audio_to_video_attn.to_q": (2048, 4096),
        "audio_to_video_attn.to_out.0": (4096, 2048),
        "video_to_audio_attn.{to_k,to_v}": (2048, 4096),
        "video_to_audio_attn.{to_q,to_out.0}": audio,
        "ff.net.0.proj": (16384, 4096),
        "ff.net.2": (4096, 16384),
        "audio_ff.net.0.proj": (8192, 2048),
        "audio_ff.net.2": (2048, 8192),
    }
    attentions = "{attn1,attn2,audio_attn1,audio_attn2,audio_to_video_attn,video_to_audio_attn}"
    modulations = (
        "{time_embed,audio_time_embed,av_cross_attn_video_scale_shift,av_cross_attn_audio_scale_shift,"
        "av_cross_attn_video_a2v_gate,av_cross_attn_audio_v2a_gate,prompt_adaln,audio_prompt_adaln}"
    )
    return newer_family(
        "ltx2",
        "LTX-2",
        {"transformer_blocks": sized(48, layers, f"{attentions}.{{norm_q,norm_k,to_gate_logits}}")},
        f"{modulations}.{{linear,emb.timestep_embedder.linear_1,emb.timestep_embedder.linear_2}}",
        "{caption_projection,audio_caption_projection}.linear_{1,2}",
        "{proj_in,audio_proj_in,proj_out,audio_proj_out}",
        width=4096,
        resolution=768,
    )


def _hunyuan_video() -> Family:
    width = 3072
    square, wide, narrow = (width, width), (4 * width, width), (width, 4 * width)
    joint = {_ATTENTION: square, _ADDED: square, "{ff,ff_context}.net.0.proj": wide, "{ff,ff_context}.net.2": narrow}
    single = {"attn.{to_q,to_k,to_v}": square, "proj_mlp": wide, "proj_out": (width, 5 * width)}
    refiner = {_ATTENTION: square, "ff.net.0.proj": wide, "ff.net.2": narrow}
    return newer_family(
        "hunyuan-video",
        "HunyuanVideo",
        {
            "transformer_blocks": sized(20, joint, _NORMS, _ADDED_NORMS, "{norm1,norm1_context}.linear"),
            "single_transformer_blocks": sized(40, single, _NORMS, "norm.linear"),
            "context_embedder.token_refiner.refiner_blocks": sized(2, refiner, "norm1", "norm2", "norm_out.linear"),
        },
        "{time_text_embed,context_embedder.time_text_embed}.{timestep,text,guidance}_embedder.linear_{1,2}",
        "x_embedder.proj",
        "context_embedder.proj_in",
        "norm_out.linear",
        "proj_out",
        width=width,
        version="hunyuan_video",
        resolution=720,
        variant_of="flux",
    )


def _kandinsky5(size: str, width: int, count: int, text_count: int) -> Family:
    inner, square = 4 * width, (width, width)
    attention = {
        "self_attention.{to_query,to_key,to_value,out_layer}": square,
        "feed_forward.in_layer": (inner, width),
        "feed_forward.out_layer": (width, inner),
    }
    cross = {"cross_attention.{to_query,to_key,to_value,out_layer}": square}
    norms = "self_attention.{query_norm,key_norm}"
    return newer_family(
        f"kandinsky5-{size.replace(' ', '-').lower()}",
        f"Kandinsky 5 {size}",
        {
            "text_transformer_blocks": sized(text_count, attention, norms, "text_modulation.out_layer"),
            "visual_transformer_blocks": sized(
                count, attention | cross, norms, "cross_attention.{query_norm,key_norm}", "visual_modulation.out_layer"
            ),
        },
        "time_embeddings.{in_layer,out_layer}",
        "{text_embeddings,pooled_text_embeddings}.{in_layer,norm}",
        "visual_embeddings.in_layer",
        "out_layer.{out_layer,modulation.out_layer}",
        width=width,
        version="kandinsky5",
        architecture="Kandinsky-5",
        resolution=1024 if size == "Image" else 512,
    )


VIDEO_FAMILIES = (
    _wan("14B", width=5120, inner=13824, count=40),
    _wan("5B", width=3072, inner=14336, count=30),
    _wan("1.3B", width=1536, inner=8960, count=30),
    _hunyuan_video(),
    _ltx("ltx-video", "LTX-Video", width=2048, count=28),
    _ltx("ltx-video-13b", "LTX-Video 13B", width=4096, count=48),
    _ltx2(),
    _kandinsky5("Lite", width=1792, count=32, text_count=2),
    _kandinsky5("Image", width=2560, count=50, text_count=2),
    _kandinsky5("Pro", width=4096, count=60, text_count=4),
)
