"""Cases about LoRA files: what the reports describe, built small and tried."""

from __future__ import annotations

import hashlib
import json

import torch
from files import (
    FOLDER,
    UP,
    Case,
    K,
    Outcome,
    Q,
    command,
    deltas,
    header_of,
    kohya,
    merge,
    on_disk,
    peft,
    plain,
    random,
    refused,
    same,
    told,
    write,
)
from lycoris.modules import LokrModule

import lorarar
from lorarar.formats import save
from lorarar.formats.algorithms.layer import layer_deltas
from lorarar.formats.algorithms.scaling import Scaling

FLUX, ADAPTER = "transformer.transformer_blocks.18.attn.to_q", "adapter_model.safetensors"


def pissa() -> Outcome:
    return refused(write(ADAPTER, peft(f"base_model.model.{Q}"), init_lora_weights="pissa"), "pissa", "base")


def qalora() -> Outcome:
    return refused(write(ADAPTER, peft(f"base_model.model.{Q}", width=20), use_qalora=True), "QALoRA")


def compiled() -> Outcome:
    return plain(write("x.safetensors", peft(f"unet._orig_mod.{Q}") | peft(f"unet._orig_mod.{K}")), Q, K)


def compiled_kohya() -> Outcome:
    return plain(write("x.safetensors", kohya(f"_orig_mod.{Q}")), Q)


def adapter_name() -> Outcome:
    return plain(write("x.safetensors", peft(f"unet.{Q}", adapter=".default_0")), Q)


def flux_control() -> Outcome:
    tensors = peft(FLUX, 3072, 3072) | peft("transformer.x_embedder", 3072, 128)
    tensors |= peft("transformer.single_transformer_blocks.37.attn.to_q", 3072, 3072)
    return refused(write("x.safetensors", tensors, {"ss_base_model_version": "flux1"}), "control LoRA", "128")


def flux_control_of_bfl() -> Outcome:
    tensors = peft("double_blocks.0.img_attn.proj", 3072, 3072)
    return refused(
        write("x.safetensors", tensors | {"double_blocks.0.img_attn.norm.key_norm.scale": random(128)}), "norm scales"
    )


def control_lora() -> Outcome:
    tensors = {"lora_controlnet": torch.zeros(0), "input_blocks.4.1.proj_in.up": random(4, 2)}
    return refused(write("x.safetensors", tensors | {"zero_convs.0.0.weight": random(2, 2)}), "control LoRA")


def ip_adapter() -> Outcome:
    return refused(write("x.safetensors", {"9.to_k_lora.up.weight": random(4, 2)}), "IP-Adapter")


def whole_modules() -> Outcome:
    tensors = peft(f"base_model.model.{Q}") | {"base_model.model.conv_in.weight": random(320, 4, 3, 3)}
    return refused(write(ADAPTER, tensors, modules_to_save=["conv_in"]), "whole weights")


def packed() -> Outcome:
    return refused(write("x.safetensors", {"transformer_blocks.0.qkv_proj.lora_down": random(3072, 4)}), "SVDQuant")


def alpha_in_header() -> Outcome:
    return told(write("x.safetensors", peft(f"unet.{Q}", rank=128), {"alpha": "8"}), "alpha", "0.0625")


def muted_layers() -> Outcome:
    first, second = write("a.safetensors", kohya(Q, alpha=0.0) | kohya(K, alpha=4.0)), write("b.safetensors", kohya(Q))
    found = deltas(merge(first, second, merger="direct"))
    return same(found, {Q: deltas(second)[Q], K: deltas(first)[K]})


def dora_of_zero_rows() -> Outcome:
    weight, up = torch.randn(4, 3), torch.randn(4, 2)
    weight[1] = up[1] = 0
    parts = {"up": up, "down": torch.randn(2, 3), "dora_scale": torch.full((4, 1), 5.0)}
    finite = bool(layer_deltas(parts, Scaling(), lambda: weight)[""].delta().isfinite().all())
    return Outcome("right" if finite else "wrong", "finite" if finite else "NaN")


def dora_of_both_axes() -> Outcome:
    weight, up, down = random(4, 3), random(4, 2), random(2, 3)
    outcomes = []
    for dim, shape in ((1, (4, 1)), (0, (1, 3))):
        scale = random(*shape).abs() + 1
        moved = (weight + up @ down).double()
        expected = scale * moved / moved.norm(dim=dim, keepdim=True) - weight
        found = layer_deltas({"up": up, "down": down, "dora_scale": scale}, Scaling(), lambda: weight)[""]
        outcomes.append(same({"": found.delta().double()}, {"": expected}, 1e-5))
    return max(outcomes, key=lambda outcome: outcome.verdict == "wrong")


def lokr_of_whole_sides() -> Outcome:
    module = LokrModule("x", torch.nn.Linear(320, 320), lora_dim=4096, alpha=16, factor=4)
    for parameter in module.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(0))
    stem = f"lora_unet_{Q.replace('.', '_')}"
    path = write("x.safetensors", {f"{stem}.{key}": part.detach() for key, part in module.state_dict().items()})
    return same(deltas(path), {Q: module.get_diff_weight(1)[0].detach().double()}, 1e-5)


def no_alpha_comes_back() -> Outcome:
    path = write("x.safetensors", peft(f"unet.{Q}", rank=16))
    save(lorarar.load(path), FOLDER / "back.safetensors", format="kohya", dtype="fp32", force=True)
    return same(deltas(FOLDER / "back.safetensors"), deltas(path))


def text_encoder_of_comfyui() -> Outcome:
    stem = "text_encoders.clip_g.transformer.text_model.encoder.layers.0.mlp.fc1"
    path = write("x.safetensors", peft(stem, 5120, 1280) | peft("diffusion_model.input_blocks.4.1.proj_in", 640, 640))
    save(lorarar.load(path), FOLDER / "clip.safetensors", dtype="fp32", force=True)
    key = "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"
    return Outcome("right" if key in on_disk(FOLDER / "clip.safetensors") else "wrong", key)


def norms_of_comfyui() -> Outcome:
    tensors = peft("diffusion_model.double_blocks.0.img_attn.proj", 3072, 3072)
    tensors |= {"diffusion_model.double_blocks.0.img_attn.norm.key_norm.diff": random(128)}
    tensors |= {"diffusion_model.double_blocks.0.img_attn.proj.diff_b": random(3072)}
    block = "transformer_blocks.0.attn"
    return plain(write("x.safetensors", tensors), f"{block}.norm_k", f"{block}.to_out.0")


def resized() -> Outcome:
    tensors = kohya(Q, rank=512, alpha=256.0)
    tensors |= {"lora_unet_conv_out.lora_down.weight": random(16, 320, 3, 3)}
    tensors |= {"lora_unet_conv_out.lora_up.weight": random(4, 16, 1, 1)}
    path = write("x.safetensors", tensors)
    done = command("convert", path, "-o", FOLDER / "resized.safetensors", "--rank", "320", "--dtype", "fp32", "--force")
    return same(deltas(FOLDER / "resized.safetensors"), deltas(path), 1e-5) if not done.returncode else _failed(done)


def resized_flux() -> Outcome:
    path = write("x.safetensors", peft(FLUX, 3072, 3072, rank=8))
    done = command("convert", path, "-o", FOLDER / "flux.safetensors", "--rank", "4", "--force")
    return Outcome("right", done.stdout.strip().partition(": ")[2]) if not done.returncode else _failed(done)


def rank_above_width() -> Outcome:
    cross = Q.replace("attn1", "attn2")
    first, second = (
        write(f"{name}.safetensors", kohya(Q, rank=384) | peft(f"unet.{cross}", 320, 768, 384)) for name in "ab"
    )
    expected = {path: deltas(first)[path] + deltas(second)[path] for path in (Q, cross)}
    return same(deltas(merge(first, second, merger="direct")), expected)


def negative_weight() -> Outcome:
    first, second = write("a.safetensors", kohya(Q, alpha=2.0)), write("b.safetensors", kohya(Q, rank=8, alpha=16.0))
    found = deltas(merge(first, second, merger="direct", weights=[1, -1]))
    return same(found, {Q: deltas(first)[Q] - deltas(second)[Q]})


def svd_scales_once() -> Outcome:
    path = write("a.safetensors", kohya(Q, alpha=16.0))
    return same(deltas(merge(path, path, merger="svd", rank=4, weights=[0.5, 0.5])), deltas(path), 1e-5)


def svd_of_equal_values() -> Outcome:
    stem = f"lora_unet_{Q.replace('.', '_')}"
    halves = {f"{stem}.lora_down.weight": torch.eye(8, 320).half(), f"{stem}.lora_up.weight": torch.eye(320, 8).half()}
    found = deltas(merge(write("a.safetensors", halves), write("b.safetensors", halves), merger="svd", rank=8))
    return same(found, {Q: 2 * torch.eye(320).double() * (torch.arange(320) < 8)}, 1e-5)


def small_values() -> Outcome:
    path = write("a.safetensors", kohya(Q, rank=16, alpha=0.01))
    save(lorarar.load(path), FOLDER / "half.safetensors", dtype="fp16", force=True)
    return same(deltas(FOLDER / "half.safetensors"), deltas(path), 1e-3)


def block_weight_times_weight() -> Outcome:
    first, second = (write(f"{name}.safetensors", kohya(Q) | kohya(UP, 1280)) for name in "ab")
    found = deltas(merge(first, second, merger="direct", weights=[0.5, 1], blocks={"up_blocks.1": [0.5, 1]}))
    share = {Q: 0.5, UP: 0.25}
    return same(found, {path: share[path] * deltas(first)[path] + deltas(second)[path] for path in share})


def merged_with_itself() -> Outcome:
    path = write("a.safetensors", kohya(Q, alpha=2.0))
    return same(deltas(merge(path, path, merger="direct", weights=[0.5, 0.5])), deltas(path))


def text_encoder_weight() -> Outcome:
    texts = [f"lora_te{n}_text_model_encoder_layers_0_mlp_fc1" for n in (1, 2)]
    tensors = kohya("input_blocks.4.1.proj_in", 640)
    for text, width in zip(texts, (768, 1280), strict=True):
        tensors |= {f"{text}.lora_down.weight": random(4, width), f"{text}.lora_up.weight": random(4 * width, 4)}
    path = write("a.safetensors", tensors)
    found = deltas(merge(path, path, merger="direct", weights=[1, 0], text_encoder=0))
    left = {key for key, delta in found.items() if bool(delta.any())}
    return Outcome("right" if left == {"down_blocks.1.attentions.0.proj_in"} else "wrong", f"left: {sorted(left)}")


def hash_of_the_weights() -> Outcome:
    path = write("a.safetensors", kohya(Q), {"sshs_model_hash": "e3b0c442", "modelspec.hash_sha256": "0x00"})
    command("merge", path, path, "-o", FOLDER / "hash.safetensors", "--merger", "direct", "--force")
    data, header = (FOLDER / "hash.safetensors").read_bytes(), header_of(FOLDER / "hash.safetensors")
    start = 8 + int.from_bytes(data[:8], "little")
    right = header["modelspec.hash_sha256"] == "0x" + hashlib.sha256(data[start:]).hexdigest()
    return Outcome("right" if right and "sshs_model_hash" not in header else "wrong", "modelspec.hash_sha256")


def odd_names() -> Outcome:
    path = write("this.is a [LoRA] v1.5 \u00fc_0.8.safetensors", kohya(Q))
    done = command(
        "merge", path, path, "-o", FOLDER / "m.v1.5 (x).safetensors", "--merger", "direct", "--force", "--json"
    )
    return Outcome("right", str(json.loads(done.stdout)["layers"])) if not done.returncode else _failed(done)


def inpainting() -> Outcome:
    tensors = {"unet.conv_in.lora_A.weight": random(4, 9, 3, 3), "unet.conv_in.lora_B.weight": random(320, 4, 1, 1)}
    return told(write("x.safetensors", tensors | peft(f"unet.{Q}")), "inpainting")


def _failed(done: object) -> Outcome:
    return Outcome("wrong", str(getattr(done, "stderr", ""))[-200:])


CASES: dict[str, Case] = {
    "transformers#34468": pissa,
    "peft#3761": qalora,
    "diffusers#9279": compiled,
    "sd-scripts#1024": compiled_kohya,
    "diffusers#11675": adapter_name,
    "diffusers#10180": flux_control,
    "ComfyUI-KJNodes#146": flux_control_of_bfl,
    "diffusers#5800": control_lora,
    "IP-Adapter#315": ip_adapter,
    "unsloth#3454": whole_modules,
    "nunchaku#84": packed,
    "sglang#36082": alpha_in_header,
    "supermerger#414": muted_layers,
    "peft#2049": dora_of_zero_rows,
    "LyCORIS#216": dora_of_both_axes,
    "ComfyUI#15114": lokr_of_whole_sides,
    "LoRA-Merger-ComfyUI#17": no_alpha_comes_back,
    "LoRA-Merger-ComfyUI#18": text_encoder_of_comfyui,
    "diffusers#10985": norms_of_comfyui,
    "sd-scripts#2422": resized,
    "kohya_ss#3475": resized_flux,
    "diffusers#4593": rank_above_width,
    "peft#2918": negative_weight,
    "peft#3111": svd_scales_once,
    "ComfyUI-LoRA-Optimizer#9": svd_of_equal_values,
    "sd-scripts#93": small_values,
    "supermerger#463": block_weight_times_weight,
    "supermerger#21": merged_with_itself,
    "sdnext#4987": text_encoder_weight,
    "sd-scripts#1722": hash_of_the_weights,
    "InvokeAI#3452": odd_names,
    "diffusers#2161": inpainting,
}
