"""Tables of the names of image models, see `lorarar.formats.naming.schemes`."""

# FLUX by Black Forest Labs, whose names ComfyUI also gives to HunyuanVideo.
BFL_DOUBLE = """
double_blocks.#: transformer_blocks.#
  img_attn.qkv attn.to_q attn.to_k attn.to_v
  txt_attn.qkv attn.add_q_proj attn.add_k_proj attn.add_v_proj
  img_attn.proj attn.to_out.0
  txt_attn.proj attn.to_add_out
  img_attn.norm.query_norm attn.norm_q
  img_attn.norm.key_norm attn.norm_k
  txt_attn.norm.query_norm attn.norm_added_q
  txt_attn.norm.key_norm attn.norm_added_k
"""
BFL_FEED_FORWARD = """
  img_mlp.0 ff.net.0.proj
  img_mlp.2 ff.net.2
  txt_mlp.0 ff_context.net.0.proj
  txt_mlp.2 ff_context.net.2
  img_mod.lin norm1.linear
  txt_mod.lin norm1_context.linear
"""
BFL_SINGLE = """
single_blocks.#: single_transformer_blocks.#
  linear1 attn.to_q attn.to_k attn.to_v 4*proj_mlp
  linear2 proj_out
  modulation.lin norm.linear
  norm.query_norm attn.norm_q
  norm.key_norm attn.norm_k
"""
XLABS = "  qkv attn.to_q attn.to_k attn.to_v"  # rows of linear1, which XLabs trains alone
BFL_OUTSIDE = """
txt_in context_embedder
time_in.in_layer time_text_embed.timestep_embedder.linear_1
time_in.out_layer time_text_embed.timestep_embedder.linear_2
vector_in.in_layer time_text_embed.text_embedder.linear_1
vector_in.out_layer time_text_embed.text_embedder.linear_2
guidance_in.in_layer time_text_embed.guidance_embedder.linear_1
guidance_in.out_layer time_text_embed.guidance_embedder.linear_2
final_layer.linear proj_out
final_layer.adaLN_modulation.1 ~norm_out.linear
"""
FLUX2 = """
  img_mlp.0 ff.linear_in
  img_mlp.2 ff.linear_out
  txt_mlp.0 ff_context.linear_in
  txt_mlp.2 ff_context.linear_out
single_blocks.#: single_transformer_blocks.#
  linear1 attn.to_qkv_mlp_proj
  linear2 attn.to_out
  norm.query_norm attn.norm_q
  norm.key_norm attn.norm_k
img_in x_embedder
txt_in context_embedder
time_in.in_layer time_guidance_embed.timestep_embedder.linear_1
time_in.out_layer time_guidance_embed.timestep_embedder.linear_2
guidance_in.in_layer time_guidance_embed.guidance_embedder.linear_1
guidance_in.out_layer time_guidance_embed.guidance_embedder.linear_2
double_stream_modulation_img.lin double_stream_modulation_img.linear
double_stream_modulation_txt.lin double_stream_modulation_txt.linear
single_stream_modulation.lin single_stream_modulation.linear
final_layer.linear proj_out
final_layer.adaLN_modulation.1 ~norm_out.linear
"""
# SD3 by Stability. The last block's context modulation has two parts, all others six.
SD3 = """
joint_blocks.#: transformer_blocks.#
  x_block.attn.qkv attn.to_q attn.to_k attn.to_v
  context_block.attn.qkv attn.add_q_proj attn.add_k_proj attn.add_v_proj
  x_block.attn2.qkv attn2.to_q attn2.to_k attn2.to_v
  x_block.attn.proj attn.to_out.0
  x_block.attn2.proj attn2.to_out.0
  context_block.attn.proj attn.to_add_out
  x_block.attn.ln_q attn.norm_q
  x_block.attn.ln_k attn.norm_k
  x_block.attn2.ln_q attn2.norm_q
  x_block.attn2.ln_k attn2.norm_k
  context_block.attn.ln_q attn.norm_added_q
  context_block.attn.ln_k attn.norm_added_k
  x_block.mlp.fc1 ff.net.0.proj
  x_block.mlp.fc2 ff.net.2
  context_block.mlp.fc1 ff_context.net.0.proj
  context_block.mlp.fc2 ff_context.net.2
  x_block.adaLN_modulation.1 norm1.linear
  context_block.adaLN_modulation.1 ~norm1_context.linear
x_embedder.proj pos_embed.proj
context_embedder
t_embedder.mlp.0 time_text_embed.timestep_embedder.linear_1
t_embedder.mlp.2 time_text_embed.timestep_embedder.linear_2
y_embedder.mlp.0 time_text_embed.text_embedder.linear_1
y_embedder.mlp.2 time_text_embed.text_embedder.linear_2
final_layer.linear proj_out
final_layer.adaLN_modulation.1 ~norm_out.linear
"""
# Z-Image, and Lumina 2 after it: `@` is layers, noise_refiner or context_refiner.
Z_IMAGE = """
@.#:
  attention.qkv attention.to_q attention.to_k attention.to_v
  attention.out attention.to_out.0
  attention.q_norm attention.norm_q
  attention.k_norm attention.norm_k
"""
Z_IMAGE_OUTSIDE = """
x_embedder all_x_embedder.2-1
final_layer.linear all_final_layer.2-1.linear
final_layer.adaLN_modulation.1 all_final_layer.2-1.adaLN_modulation.1
"""
# 24 query heads, 8 heads for keys and values.
LUMINA = """
@.#:
  attention.qkv 3*attn.to_q attn.to_k attn.to_v
  attention.out attn.to_out.0
  attention.q_norm attn.norm_q
  attention.k_norm attn.norm_k
  feed_forward.w1 feed_forward.linear_1
  feed_forward.w2 feed_forward.linear_2
  feed_forward.w3 feed_forward.linear_3
  attention_norm2 norm2
  ffn_norm1
  ffn_norm2
"""
LUMINA_MODULATED = """
@.#:
  attention_norm1 norm1.norm
  adaLN_modulation.1 norm1.linear
"""
LUMINA_OUTSIDE = """
context_refiner.#:
  attention_norm1 norm1
x_embedder
t_embedder.mlp.0 time_caption_embed.timestep_embedder.linear_1
t_embedder.mlp.2 time_caption_embed.timestep_embedder.linear_2
cap_embedder.0 time_caption_embed.caption_embedder.0
cap_embedder.1 time_caption_embed.caption_embedder.1
final_layer.adaLN_modulation.1 norm_out.linear_1
final_layer.linear norm_out.linear_2
"""
IDEOGRAM = """
layers.#:
  attention.qkv attention.to_q attention.to_k attention.to_v
  attention.o attention.to_out.0
  attention.norm_q
  attention.norm_k
  feed_forward.w1
  feed_forward.w2
  feed_forward.w3
  attention_norm1
  attention_norm2
  ffn_norm1
  ffn_norm2
  adaln_modulation
input_proj
llm_cond_norm
llm_cond_proj
t_embedding.mlp_in
t_embedding.mlp_out
adaln_proj
final_layer.linear
final_layer.adaln_modulation
embed_image_indicator
"""
# `@` is a block's name, `>` its name in diffusers.
KREA = """
@: >
  attn.wq attn.to_q
  attn.wk attn.to_k
  attn.wv attn.to_v
  attn.wo attn.to_out.0
  attn.gate attn.to_gate
  mlp.gate ff.gate
  mlp.up ff.up
  mlp.down ff.down
  attn.qknorm.qnorm attn.norm_q
  attn.qknorm.knorm attn.norm_k
  prenorm norm1
  postnorm norm2
"""
KREA_OUTSIDE = """
first img_in
last.norm final_layer.norm
last.linear final_layer.linear
tmlp.0 time_embed.linear_1
tmlp.2 time_embed.linear_2
tproj.1 time_mod_proj
txtmlp.0 txt_in.norm
txtmlp.1 txt_in.linear_1
txtmlp.3 txt_in.linear_2
txtfusion.projector text_fusion.projector
"""
# Anima, which is built on Cosmos-Predict2.
ANIMA = """
blocks.#: transformer_blocks.#
  self_attn.q_proj attn1.to_q
  self_attn.k_proj attn1.to_k
  self_attn.v_proj attn1.to_v
  self_attn.output_proj attn1.to_out.0
  self_attn.q_norm attn1.norm_q
  self_attn.k_norm attn1.norm_k
  cross_attn.q_proj attn2.to_q
  cross_attn.k_proj attn2.to_k
  cross_attn.v_proj attn2.to_v
  cross_attn.output_proj attn2.to_out.0
  cross_attn.q_norm attn2.norm_q
  cross_attn.k_norm attn2.norm_k
  mlp.layer1 ff.net.0.proj
  mlp.layer2 ff.net.2
  adaln_modulation_self_attn.1 norm1.linear_1
  adaln_modulation_self_attn.2 norm1.linear_2
  adaln_modulation_cross_attn.1 norm2.linear_1
  adaln_modulation_cross_attn.2 norm2.linear_2
  adaln_modulation_mlp.1 norm3.linear_1
  adaln_modulation_mlp.2 norm3.linear_2
x_embedder.proj.1 patch_embed.proj
t_embedder.1.linear_1 time_embed.t_embedder.linear_1
t_embedder.1.linear_2 time_embed.t_embedder.linear_2
t_embedding_norm time_embed.norm
final_layer.adaln_modulation.1 norm_out.linear_1
final_layer.adaln_modulation.2 norm_out.linear_2
final_layer.linear proj_out
"""
