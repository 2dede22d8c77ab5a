"""Vocabulary of module names, which restores the dots of kohya's paths.

kohya's keys join the names in a path with underscores, and names can contain underscores too.
"""

from __future__ import annotations

import re
from functools import cache

# All names in the paths of layers in the models of `lorarar.lora.families`: diffusers names, the authors' names, and
# the names of transformers for the text encoders. Numbers are names too.
_NAMES = """
down_blocks mid_block up_blocks attentions resnets downsamplers upsamplers transformer_blocks
attn attn1 attn2 to_q to_k to_v to_out ff net proj proj_in proj_out processor norm norm1 norm2 norm3
conv conv1 conv2 conv_in conv_out conv_norm_out conv_shortcut time_emb_proj
time_embedding add_embedding linear_1 linear_2
input_blocks middle_block output_blocks in_layers out_layers emb_layers skip_connection op time_embed label_emb out
text_model encoder layers embeddings token_embedding position_embedding self_attn q_proj k_proj v_proj out_proj
mlp fc1 fc2 layer_norm1 layer_norm2 final_layer_norm text_projection
block layer SelfAttention DenseReluDense q k v o wi wi_0 wi_1 wo shared
single_transformer_blocks add_q_proj add_k_proj add_v_proj to_add_out norm_q norm_k norm_added_q norm_added_k
ff_context norm1_context linear proj_mlp time_text_embed timestep_embedder text_embedder guidance_embedder
x_embedder context_embedder norm_out pos_embed
double_blocks single_blocks img_attn txt_attn qkv img_mlp txt_mlp img_mod txt_mod lin linear1 linear2 modulation
query_norm key_norm img_in txt_in time_in vector_in guidance_in in_layer out_layer final_layer adaLN_modulation
joint_blocks x_block context_block ln_q ln_k t_embedder y_embedder
txt_norm noise_refiner context_refiner attention feed_forward w1 w2 w3 attention_norm1 attention_norm2
ffn_norm1 ffn_norm2 cap_embedder all_x_embedder all_final_layer 2-1 q_norm k_norm
linear_in linear_out to_qkv_mlp_proj time_guidance_embed double_stream_modulation_img double_stream_modulation_txt
single_stream_modulation double_stream_blocks single_stream_blocks to_q_t to_k_t to_v_t to_out_t ff_i ff_t w1 w2 w3
shared_experts experts gate q_rms_norm k_rms_norm q_rms_norm_t k_rms_norm_t caption_projection p_embedder
pooled_embedder time_caption_embed caption_embedder linear_3 ffn time_proj condition_embedder time_embedder
image_embedder patch_embedding blocks refiner_blocks token_refiner time_embed emb audio_time_embed audio_attn1
audio_attn2 audio_to_video_attn video_to_audio_attn audio_ff audio_proj_in audio_proj_out audio_caption_projection
prompt_adaln audio_prompt_adaln av_cross_attn_video_scale_shift av_cross_attn_audio_scale_shift
av_cross_attn_video_a2v_gate av_cross_attn_audio_v2a_gate to_gate to_gate_logits up down time_mod_proj text_fusion
layerwise_blocks projector patch_embed gate_layer text_norm modulation
text_transformer_blocks visual_transformer_blocks text_modulation visual_modulation self_attention cross_attention
to_query to_key to_value query_norm key_norm time_embeddings text_embeddings pooled_text_embeddings visual_embeddings
adaln_modulation input_proj llm_cond_proj llm_cond_norm t_embedding mlp_in mlp_out adaln_proj
"""
# The longest name comes first, so that "linear_1" is not read as "linear" and "1".
_NAME = re.compile(rf"(?:^|_)({'|'.join(sorted(_NAMES.split(), key=len, reverse=True))}|\d+)(?=_|$)")


@cache
def dotted_path(joined: str) -> str | None:
    """Return the path whose names were joined with underscores; None if a name is unknown.

    >>> dotted_path("down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0")
    'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0'
    """
    names = _NAME.findall(joined)
    return ".".join(names) if names and "_".join(names) == joined else None
