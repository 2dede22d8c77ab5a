"""Tables of the names of video models, see `lorarar.formats.naming.schemes`."""

# HunyuanVideo by Tencent, as musubi-tuner and diffusion-pipe write it.
HUNYUAN = """
double_blocks.#: transformer_blocks.#
  img_attn_qkv attn.to_q attn.to_k attn.to_v
  txt_attn_qkv attn.add_q_proj attn.add_k_proj attn.add_v_proj
  img_attn_proj attn.to_out.0
  txt_attn_proj attn.to_add_out
  img_attn_q_norm attn.norm_q
  img_attn_k_norm attn.norm_k
  txt_attn_q_norm attn.norm_added_q
  txt_attn_k_norm attn.norm_added_k
  img_mlp.fc1 ff.net.0.proj
  img_mlp.fc2 ff.net.2
  txt_mlp.fc1 ff_context.net.0.proj
  txt_mlp.fc2 ff_context.net.2
  img_mod.linear norm1.linear
  txt_mod.linear norm1_context.linear
single_blocks.#: single_transformer_blocks.#
  linear1 attn.to_q attn.to_k attn.to_v 4*proj_mlp
  linear2 proj_out
  modulation.linear norm.linear
  q_norm attn.norm_q
  k_norm attn.norm_k
time_in.mlp.0 time_text_embed.timestep_embedder.linear_1
time_in.mlp.2 time_text_embed.timestep_embedder.linear_2
guidance_in.mlp.0 time_text_embed.guidance_embedder.linear_1
guidance_in.mlp.2 time_text_embed.guidance_embedder.linear_2
vector_in.in_layer time_text_embed.text_embedder.linear_1
vector_in.out_layer time_text_embed.text_embedder.linear_2
final_layer.linear proj_out
final_layer.adaLN_modulation.1 ~norm_out.linear
txt_in.individual_token_refiner.blocks.#: context_embedder.token_refiner.refiner_blocks.#
  self_attn_qkv attn.to_q attn.to_k attn.to_v
  self_attn_proj attn.to_out.0
  mlp.fc1 ff.net.0.proj
  mlp.fc2 ff.net.2
"""
HUNYUAN_COMFYUI = """
txt_in.individual_token_refiner.blocks.#: context_embedder.token_refiner.refiner_blocks.#
  self_attn.qkv attn.to_q attn.to_k attn.to_v
  self_attn.proj attn.to_out.0
  mlp.0 ff.net.0.proj
  mlp.2 ff.net.2
"""
HUNYUAN_TEXT = """
  norm1
  norm2
  adaLN_modulation.1 norm_out.linear
img_in.proj x_embedder.proj
txt_in.input_embedder context_embedder.proj_in
txt_in.t_embedder.mlp.0 context_embedder.time_text_embed.timestep_embedder.linear_1
txt_in.t_embedder.mlp.2 context_embedder.time_text_embed.timestep_embedder.linear_2
txt_in.c_embedder.linear_1 context_embedder.time_text_embed.text_embedder.linear_1
txt_in.c_embedder.linear_2 context_embedder.time_text_embed.text_embedder.linear_2
"""
# Wan by Alibaba, 2.1 and 2.2.
WAN = """
blocks.#:
  self_attn.q attn1.to_q
  self_attn.k attn1.to_k
  self_attn.v attn1.to_v
  self_attn.o attn1.to_out.0
  self_attn.norm_q attn1.norm_q
  self_attn.norm_k attn1.norm_k
  cross_attn.q attn2.to_q
  cross_attn.k attn2.to_k
  cross_attn.v attn2.to_v
  cross_attn.o attn2.to_out.0
  cross_attn.norm_q attn2.norm_q
  cross_attn.norm_k attn2.norm_k
  cross_attn.k_img attn2.add_k_proj
  cross_attn.v_img attn2.add_v_proj
  cross_attn.norm_k_img attn2.norm_added_k
  ffn.0 ffn.net.0.proj
  ffn.2 ffn.net.2
  norm3 norm2
patch_embedding
time_embedding.0 condition_embedder.time_embedder.linear_1
time_embedding.2 condition_embedder.time_embedder.linear_2
time_projection.1 condition_embedder.time_proj
text_embedding.0 condition_embedder.text_embedder.linear_1
text_embedding.2 condition_embedder.text_embedder.linear_2
img_emb.proj.0 condition_embedder.image_embedder.norm1
img_emb.proj.1 condition_embedder.image_embedder.ff.net.0.proj
img_emb.proj.3 condition_embedder.image_embedder.ff.net.2
img_emb.proj.4 condition_embedder.image_embedder.norm2
head.head proj_out
"""
# LTX-Video and LTX-2 by Lightricks: `@` is an attention; the other layers of a block have the same name in both.
LTX_NORMS = """
transformer_blocks.#:
  @.q_norm @.norm_q
  @.k_norm @.norm_k
"""
LTX_OUTSIDE = """
patchify_proj proj_in
audio_patchify_proj audio_proj_in
"""
# `@` is a modulation, `>` its name in diffusers.
LTX_MODULATION = """
@.emb.timestep_embedder.linear_1 >.emb.timestep_embedder.linear_1
@.emb.timestep_embedder.linear_2 >.emb.timestep_embedder.linear_2
@.linear >.linear
"""
LTX_MODULATIONS = {
    "adaln_single": "time_embed",
    "audio_adaln_single": "audio_time_embed",
    "av_ca_video_scale_shift_adaln_single": "av_cross_attn_video_scale_shift",
    "av_ca_audio_scale_shift_adaln_single": "av_cross_attn_audio_scale_shift",
    "av_ca_a2v_gate_adaln_single": "av_cross_attn_video_a2v_gate",
    "av_ca_v2a_gate_adaln_single": "av_cross_attn_audio_v2a_gate",
    "prompt_adaln_single": "prompt_adaln",
    "audio_prompt_adaln_single": "audio_prompt_adaln",
}
