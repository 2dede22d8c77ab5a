"""Corpus of small LoRA files of all kinds, each with the expected outcome.

The references are dense arithmetic in float64. They follow the formulas of the algorithms and share no code with the
package.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from lorarar.formats.dialects.cloneofsimo import numbered_paths
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.families.transformer import TransformerShape

Outcome = Literal["exact", "needs the base", "approximate on request", "refused"]
KOHYA = (".lora_down.weight", ".lora_up.weight")
PEFT = (".lora_A.weight", ".lora_B.weight")
DOTS = (".lora.down.weight", ".lora.up.weight")
SGM = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
SGM_FF = "lora_unet_output_blocks_0_1_transformer_blocks_3_ff_net_0_proj"
SGM_CONV = "lora_unet_input_blocks_4_0_in_layers_2"
Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
FF = "up_blocks.0.attentions.0.transformer_blocks.3.ff.net.0.proj"
CONV = "down_blocks.1.resnets.0.conv1"
OUT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"
WIDTH = 6  # of the small artificial models, see `shrink_transformers`; UNets have their real widths
SD3_WIDTH, QWEN_WIDTH = 14, 10


def shrink_transformers(monkeypatch: pytest.MonkeyPatch, width: int = WIDTH) -> None:
    """Make all transformers narrow, because names and widths must agree: FLUX.1 and Z-Image `width` wide."""
    others = {"sd3": SD3_WIDTH, "sd35-medium": SD3_WIDTH, "sd35-large": 12, "qwen-image": QWEN_WIDTH}
    for key, family in list(FAMILIES.items()):
        if family.keeps_names:
            monkeypatch.delitem(FAMILIES, key)  # type: ignore[arg-type]
        elif isinstance(family.shape, TransformerShape):
            narrow = replace(family, shape=replace(family.shape, width=others.get(key, width)))
            monkeypatch.setitem(FAMILIES, key, narrow)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Case:
    """LoRA file with the expected outcome.

    Args:
        tensors: Key -> tensor.
        outcome: Expected outcome of reading: "exact" deltas; exact deltas with the base's weights only; exact dense
            deltas, which the dialects of factors accept only after truncation; or an error.
        deltas: Layer path -> delta in float64, kernels flattened.
        dialect: Expected dialect.
        header: Metadata of the file.
        beside: Content of adapter_config.json beside the file, if there is one.
        base: Layer path -> weight of the base.
        message: Regular expression for the expected error message.
        warning: Expected part of the warning.
        data: Bytes of the file, if it is not a complete safetensors file.
    """

    tensors: Mapping[str, Tensor]
    outcome: Outcome = "exact"
    deltas: Mapping[str, Tensor] = field(default_factory=dict)
    dialect: str = "kohya"
    header: Mapping[str, str] | None = None
    beside: Mapping[str, object] | None = None
    base: Mapping[str, Tensor] = field(default_factory=dict)
    message: str = ""
    warning: str = ""
    data: bytes | None = None


def rand(*shape: int, seed: int = 0) -> Tensor:
    """Return normal random numbers in float32."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def pair(
    stem: str, out: int, width: int, ends: tuple[str, str] = KOHYA, rank: int = 2, seed: int = 0
) -> dict[str, Tensor]:
    """Return down and up factors under a stem."""
    return {stem + ends[0]: rand(rank, width, seed=seed), stem + ends[1]: rand(out, rank, seed=seed + 1)}


def product(tensors: Mapping[str, Tensor], scale: float = 1.0) -> Tensor:
    """Return scale up down for the first two tensors, down first."""
    down, up = list(tensors.values())[:2]
    return scale * (up.double().flatten(1) @ down.double().flatten(1))


def lora(stem: str, path: str, ends: tuple[str, str], dialect: str, *, out: int = 640, width: int = 640) -> Case:
    """Return a file with one plain layer without alpha."""
    tensors = pair(stem, out, width, ends)
    return Case(tensors, deltas={path: product(tensors)}, dialect=dialect)


def kohya_sdxl() -> Case:
    unet, ff = pair(SGM, 640, 640), pair(SGM_FF, 10240, 1280, rank=1, seed=4)
    first = pair("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", 768, 768, seed=6)
    second = pair("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 1280, 1280, seed=8)
    alphas = {f"{SGM}.alpha": torch.tensor(1.0), f"{SGM_FF}.alpha": torch.tensor(0.0)}
    deltas = {
        Q: product(unet, 0.5),
        FF: product(ff, 0.0),  # an alpha of 0 mutes the layer
        f"text_encoder.{TEXT}": product(first),
        f"text_encoder_2.{TEXT}": product(second),
    }
    return Case(unet | ff | first | second | alphas, deltas=deltas, warning="1 of 4 layers have alpha 0")


def kohya_sd15() -> Case:
    unet = pair("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", 320, 768)
    conv = {
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": rand(2, 320, 1, 1),
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": rand(320, 2, 1, 1),
    }
    text = pair("lora_te_text_model_encoder_layers_0_self_attn_q_proj", 768, 768)
    deltas = {
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k": product(unet),
        "down_blocks.0.attentions.0.proj_in": product(conv),
        f"text_encoder.{TEXT}": product(text),
    }
    return Case(unet | conv | text, deltas=deltas)


def locon() -> Case:
    tensors = {
        f"{SGM_CONV}.lora_down.weight": rand(2, 320, 3, 3),
        f"{SGM_CONV}.lora_up.weight": rand(640, 2, 1, 1),
        f"{SGM_CONV}.alpha": torch.tensor(1.0),
    }
    return Case(tensors, deltas={CONV: product(tensors, 0.5)})


def tucker() -> Case:
    down, mid, up = rand(2, 320, 1, 1), rand(2, 2, 3, 3, seed=1), rand(640, 2, 1, 1, seed=2)
    delta = torch.einsum("oa,abhw,bi->oihw", up.double()[:, :, 0, 0], mid.double(), down.double()[:, :, 0, 0])
    parts = {"lora_down.weight": down, "lora_mid.weight": mid, "lora_up.weight": up}
    return Case({f"{SGM_CONV}.{name}": part for name, part in parts.items()}, deltas={CONV: delta.flatten(1)})


def loha() -> Case:
    a1, b1, a2, b2 = rand(640, 2), rand(2, 640, seed=1), rand(640, 2, seed=2), rand(2, 640, seed=3)
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2, "alpha": torch.tensor(1.0)}
    delta = 0.5 * (a1.double() @ b1.double()) * (a2.double() @ b2.double())
    return Case({f"{SGM}.{name}": part for name, part in parts.items()}, deltas={Q: delta})


def loha_tucker() -> Case:
    parts = {f"hada_t{i}": rand(2, 2, 3, 3, seed=i) for i in (1, 2)}
    parts |= {f"hada_w{i}_a": rand(2, 640, seed=2 + i) for i in (1, 2)}
    parts |= {f"hada_w{i}_b": rand(2, 320, seed=4 + i) for i in (1, 2)}
    one, two = (
        torch.einsum("abhw,ao,bi->oihw", *(parts[f"hada_{n}"].double() for n in (f"t{i}", f"w{i}_a", f"w{i}_b")))
        for i in (1, 2)
    )
    return Case({f"{SGM_CONV}.{name}": part for name, part in parts.items()}, deltas={CONV: (one * two).flatten(1)})


def lokr_factored(stem: str = SGM, dialect: str = "kohya") -> Case:
    w1, a, b = rand(4, 4), rand(160, 2, seed=1), rand(2, 160, seed=2)
    parts = {"lokr_w1": w1, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(1.0)}
    delta = 0.5 * torch.kron(w1.double(), a.double() @ b.double())
    return Case({f"{stem}.{name}": part for name, part in parts.items()}, deltas={Q: delta}, dialect=dialect)


def lokr_full() -> Case:
    w1, w2 = rand(8, 8), rand(80, 80, seed=1)
    # Both factors full: the alpha beside them is ignored.
    parts = {"lokr_w1": w1, "lokr_w2": w2, "alpha": torch.tensor(4.0)}
    delta = torch.kron(w1.double(), w2.double())
    tensors = {f"{SGM}.{name}": part for name, part in parts.items()}
    return Case(tensors, "approximate on request", {Q: delta})


def lokr_tucker() -> Case:
    w1, t2, a, b = rand(8, 8), rand(2, 2, 3, 3, seed=1), rand(2, 80, seed=2), rand(2, 40, seed=3)
    w2 = torch.einsum("abhw,ao,bi->oihw", t2.double(), a.double(), b.double()).contiguous()
    delta = torch.kron(w1.double()[:, :, None, None], w2)
    parts = {"lokr_w1": w1, "lokr_t2": t2, "lokr_w2_a": a, "lokr_w2_b": b}
    return Case({f"{SGM_CONV}.{name}": part for name, part in parts.items()}, deltas={CONV: delta.flatten(1)})


def full() -> Case:
    tensors = {f"{SGM_CONV}.diff": rand(640, 320, 3, 3), f"{SGM_CONV}.diff_b": rand(640)}
    deltas = {CONV: tensors[f"{SGM_CONV}.diff"].double().flatten(1), f"{CONV}.bias": rand(640).double()}
    return Case(tensors, "approximate on request", deltas)


def norm() -> Case:
    stem = "lora_unet_input_blocks_4_0_out_layers_0"
    tensors = {f"{stem}.w_norm": rand(640), f"{stem}.b_norm": rand(640, seed=1)} | pair(SGM, 640, 640)
    name = "down_blocks.1.resnets.0.norm2"
    deltas = {name: rand(640).double(), f"{name}.bias": rand(640, seed=1).double(), Q: product(pair(SGM, 640, 640))}
    return Case(tensors, deltas=deltas)


def dora() -> Case:
    base, magnitude = rand(640, 640, seed=7).double(), rand(640, 1, seed=8).abs() + 1
    tensors = pair(SGM, 640, 640)
    changed = base + product(tensors)
    delta = magnitude.double() * changed / changed.norm(dim=1, keepdim=True) - base
    return Case(tensors | {f"{SGM}.dora_scale": magnitude}, "needs the base", {Q: delta}, base={Q: base.float()})


def dora_of_peft() -> Case:
    base, magnitude = rand(640, 640, seed=7).double(), rand(640, seed=8).abs() + 1
    stem = f"base_model.model.{Q}"
    tensors = pair(stem, 640, 640, PEFT)
    changed = base + product(tensors, 3.0)
    delta = magnitude.double()[:, None] * changed / changed.norm(dim=1, keepdim=True) - base
    return Case(
        tensors | {f"{stem}.lora_magnitude_vector": magnitude},
        "needs the base",
        {Q: delta},
        dialect="peft",
        beside={"r": 2, "lora_alpha": 6, "use_dora": True},
        base={Q: base.float()},
    )


def ia3() -> Case:
    base = rand(640, 640, seed=7)
    tensors = {f"{SGM}.weight": rand(640, 1), f"{SGM}.on_input": torch.tensor(False)}
    return Case(tensors, "needs the base", {Q: base.double() * rand(640, 1).double()}, base={Q: base})


def oft() -> Case:
    base, blocks = rand(640, 640, seed=7), 0.1 * rand(4, 160, 160)
    skew = (blocks - blocks.mT).double()
    rotations = (torch.eye(160) + skew) @ torch.linalg.inv(torch.eye(160).double() - skew)
    rotated = torch.einsum("kmn,kmi->kni", rotations, base.double().reshape(4, 160, 640)).reshape(640, 640)
    tensors = {f"{SGM}.oft_blocks": blocks, f"{SGM}.alpha": torch.tensor(0.0)}
    return Case(tensors, "needs the base", {Q: rotated - base.double()}, base={Q: base})


def boft() -> Case:
    """Return two stages with blocks of 4 on 8 rows. The first mixes neighbours, the second mixes rows 4 apart."""
    base, blocks = rand(8, 6, seed=7), 0.3 * rand(2, 2, 4, 4)
    skew = (blocks - blocks.mT).double()
    eye, rows = torch.eye(4, dtype=torch.float64), base.double()
    turns = (eye + skew) @ torch.linalg.inv(eye - skew)
    for turn, order in zip(turns, ([0, 2, 1, 3, 4, 6, 5, 7], [0, 4, 1, 5, 2, 6, 3, 7]), strict=True):
        mixed = torch.cat([turn[k] @ rows[order[4 * k : 4 * k + 4]] for k in range(2)])
        rows = mixed[torch.tensor(order).argsort()]
    stem = f"lora_unet_{Q.replace('.', '_')}"
    return Case({f"{stem}.oft_blocks": blocks}, "needs the base", {Q: rows - base.double()}, base={Q: base})


def dora_by_column() -> Case:
    """Return DoRA as older LyCORIS stores it: one magnitude for each input."""
    base, magnitude = rand(640, 640, seed=7).double(), rand(1, 640, seed=8).abs() + 1
    tensors = pair(SGM, 640, 640)
    changed = base + product(tensors)
    delta = magnitude.double() * changed / changed.norm(dim=0, keepdim=True) - base
    return Case(tensors | {f"{SGM}.dora_scale": magnitude}, "needs the base", {Q: delta}, base={Q: base.float()})


def truncated() -> Case:
    """Return a file whose header declares more bytes than the file has."""
    data = safetensors_bytes(pair(SGM, 640, 640))
    return refused({}, "not a complete safetensors file", data=data[: len(data) // 2])


def glora() -> Case:
    base = rand(640, 640, seed=7)
    parts = {"a1": rand(640, 2), "a2": rand(2, 640, seed=1), "b1": rand(640, 2, seed=2), "b2": rand(2, 640, seed=3)}
    wide = {name: part.double() for name, part in parts.items()}
    delta = base.double() @ wide["a1"] @ wide["a2"] + wide["b1"] @ wide["b2"]
    return Case(
        {f"{SGM}.{name}.weight": part for name, part in parts.items()}, "needs the base", {Q: delta}, base={Q: base}
    )


def bundle() -> Case:
    tensors = pair(SGM, 640, 640)
    more = {"bundle_emb.token.string_to_param.*": rand(1, 768)}
    return Case(tensors | more, deltas={Q: product(tensors)}, warning="contains 1 learned embeddings")


def current_text() -> Case:
    stem = f"text_encoder_2.{TEXT}"
    tensors = pair(stem, 1280, 1280, (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"))
    return Case(tensors, deltas={stem: product(tensors)}, dialect="diffusers")


def header_alpha() -> Case:
    tensors = pair(f"unet.{Q}", 640, 640, PEFT)
    header = {"lora_adapter_metadata": json.dumps({"unet.r": 2, "unet.lora_alpha": 8})}
    return Case(tensors, deltas={Q: product(tensors, 4.0)}, dialect="diffusers", header=header)


def rslora() -> Case:
    tensors = pair(f"base_model.model.{Q}", 640, 640, PEFT, rank=4)
    config = {"r": 4, "lora_alpha": 6, "use_rslora": True}
    return Case(tensors, deltas={Q: product(tensors, 3.0)}, dialect="peft", beside=config)


def cloneofsimo() -> Case:
    header = {"unet": '["CrossAttention", "Attention", "GEGLU"]'}
    tensors: dict[str, Tensor] = {}
    deltas: dict[str, Tensor] = {}
    for i, path in enumerate(numbered_paths(header, "", 144)):
        layer = {f"unet:{i}:down": rand(1, WIDTH, seed=i), f"unet:{i}:up": rand(WIDTH, 1, seed=i + 500)}
        tensors |= layer
        deltas[path] = product(layer)
    return Case(tensors, deltas=deltas, dialect="cloneofsimo", header=header)


def malformed() -> Case:
    stem = f"lora_unet_unet_{Q.replace('.', '_')}"
    return lora(stem, Q, ("_lora_down.weight", "_lora_up.weight"), "malformed kohya")


def fused(stem: str, ends: tuple[str, str], names: Mapping[str, int], dialect: str, width: int = WIDTH) -> Case:
    """Return one stored layer whose rows are several layers, in shares of the width."""
    tensors = pair(stem, sum(names.values()) * width, width, ends)
    rows = product(tensors).split([share * width for share in names.values()])
    return Case(tensors, deltas=dict(zip(names, rows, strict=True)), dialect=dialect)


def modulation() -> Case:
    """Return a modulation whose shift and scale are swapped. The file needs a block of FLUX to be identified."""
    stem = "lora_unet_final_layer_adaLN_modulation_1"
    block = pair("lora_unet_double_blocks_0_img_attn_proj", WIDTH, WIDTH)
    last = pair(stem, 2 * WIDTH, WIDTH, seed=5)
    shift, scale = product(last).chunk(2)
    deltas = {"transformer_blocks.0.attn.to_out.0": product(block), "norm_out.linear": torch.cat([scale, shift])}
    return Case(block | last, deltas=deltas)


def mixed_names() -> Case:
    other = pair("lora_unet_up_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 1280, 1280, seed=3)
    tensors = pair(SGM, 640, 640)
    deltas = {Q: product(tensors), "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": product(other)}
    return Case(tensors | other, deltas=deltas, warning="mixes block names of Stability and diffusers")


def mixed_dialects() -> Case:
    text = pair(f"text_encoder.{TEXT}", 768, 768, PEFT)
    tensors = pair(SGM, 640, 640)
    deltas = {Q: product(tensors), f"text_encoder.{TEXT}": product(text)}
    return Case(tensors | text, deltas=deltas, warning="mixes the dialects kohya")


def refused(tensors: Mapping[str, Tensor], message: str, **more: object) -> Case:
    return Case(tensors, "refused", message=message, **more)  # type: ignore[arg-type]


QKV = {f"transformer_blocks.0.attn.{name}": 1 for name in ("to_q", "to_k", "to_v")}
ADDED = {f"transformer_blocks.0.attn.{name}": 1 for name in ("add_q_proj", "add_k_proj", "add_v_proj")}
SINGLE = {f"single_transformer_blocks.0.attn.{name}": 1 for name in ("to_q", "to_k", "to_v")}
Z_QKV = {f"layers.0.attention.{name}": 1 for name in ("to_q", "to_k", "to_v")}
OLD = (".down.weight", ".up.weight")
FLUX_Q, QWEN_MLP = "transformer_blocks.0.attn.to_q", "transformer_blocks.0.img_mlp.net.2"
_SMALL = {"out": WIDTH, "width": WIDTH}

CASES: Mapping[str, Callable[[], Case]] = {
    "kohya, SDXL in sgm names, both text encoders": kohya_sdxl,
    "kohya, SD 1.5 in diffusers names, text encoder": kohya_sd15,
    "kohya, SDXL in diffusers names": lambda: lora(f"lora_unet_{Q.replace('.', '_')}", Q, KOHYA, "kohya"),
    "LoCon": locon,
    "LoCon, Tucker": tucker,
    "LoHa": loha,
    "LoHa, Tucker": loha_tucker,
    "LoKr, factored": lokr_factored,
    "LoKr, both full": lokr_full,
    "LoKr, Tucker": lokr_tucker,
    "full difference and bias": full,
    "norms": norm,
    "DoRA": dora,
    "DoRA of peft": dora_of_peft,
    "DoRA by column": dora_by_column,
    "BOFT": boft,
    "IA3": ia3,
    "OFT": oft,
    "GLoRA": glora,
    "SimpleTuner": lambda: lokr_factored(f"lycoris_{Q.replace('.', '_')}", "SimpleTuner"),
    "bundled embedding": bundle,
    "diffusers, old": lambda: lora(f"unet.{Q[:-5]}.processor.to_q_lora", Q, OLD, "diffusers (old)"),
    "diffusers, old, without unet": lambda: lora(
        f"{OUT[:-9]}.processor.to_out_lora", OUT, OLD, "diffusers (old)", out=1280, width=1280
    ),
    "diffusers, current": lambda: lora(f"unet.{Q}", Q, DOTS, "diffusers"),
    "diffusers, current, text encoder": current_text,
    "diffusers, alpha in the header": header_alpha,
    "PEFT with unet": lambda: lora(f"unet.{Q}", Q, PEFT, "diffusers"),
    "PEFT, rsLoRA in its configuration": rslora,
    "PEFT, bare": lambda: lora(Q, Q, PEFT, "peft"),
    "PEFT, of a text encoder": lambda: lora(
        f"base_model.model.{TEXT}", f"text_encoder.{TEXT}", PEFT, "peft", out=768, width=768
    ),
    "PEFT, adapter's name": lambda: lora(
        f"base_model.model.{Q}", Q, (".lora_A.default.weight", ".lora_B.default.weight"), "peft"
    ),
    "double prefix": lambda: lora(f"unet.unet.{Q}", Q, PEFT, "diffusers"),
    "ComfyUI, SDXL": lambda: lora(
        "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q", Q, KOHYA, "ComfyUI"
    ),
    "cloneofsimo": cloneofsimo,
    "malformed mixture": malformed,
    "FLUX, kohya, fused": lambda: fused("lora_unet_double_blocks_0_img_attn_qkv", KOHYA, QKV, "kohya"),
    "FLUX, kohya, single block": lambda: fused(
        "lora_unet_single_blocks_0_linear1", KOHYA, SINGLE | {"single_transformer_blocks.0.proj_mlp": 4}, "kohya"
    ),
    "FLUX, kohya, last modulation": modulation,
    "FLUX, OneTrainer": lambda: lora(
        f"lora_transformer_{FLUX_Q.replace('.', '_')}", FLUX_Q, KOHYA, "OneTrainer", **_SMALL
    ),
    "FLUX, XLabs": lambda: fused("double_blocks.0.processor.qkv_lora2", OLD, ADDED, "XLabs"),
    "FLUX, XLabs, single block": lambda: fused("single_blocks.0.processor.qkv_lora", OLD, SINGLE, "XLabs"),
    "FLUX, diffusers": lambda: lora(f"transformer.{FLUX_Q}", FLUX_Q, PEFT, "diffusers", **_SMALL),
    "FLUX, ai-toolkit": lambda: fused("diffusion_model.double_blocks.0.txt_attn.qkv", PEFT, ADDED, "ComfyUI"),
    "SD3, kohya": lambda: fused("lora_unet_joint_blocks_0_x_block_attn_qkv", KOHYA, QKV, "kohya", SD3_WIDTH),
    "SD3, diffusers": lambda: lora(
        "transformer.transformer_blocks.0.attn2.to_q", "transformer_blocks.0.attn2.to_q", PEFT, "diffusers",
        out=SD3_WIDTH, width=SD3_WIDTH,
    ),
    "Qwen-Image, kohya": lambda: lora(
        f"lora_unet_{QWEN_MLP.replace('.', '_')}", QWEN_MLP, KOHYA, "kohya", out=QWEN_WIDTH, width=4 * QWEN_WIDTH
    ),
    "Qwen-Image, ComfyUI": lambda: lora(
        f"diffusion_model.{QWEN_MLP}", QWEN_MLP, PEFT, "ComfyUI", out=QWEN_WIDTH, width=4 * QWEN_WIDTH
    ),
    "Z-Image, ComfyUI, fused": lambda: fused("diffusion_model.layers.0.attention.qkv", PEFT, Z_QKV, "ComfyUI"),
    "mixed block names": mixed_names,
    "mixed dialects": mixed_dialects,
    "one layer in two layouts": lambda: refused(
        pair(SGM, 640, 640) | pair(f"unet.{Q}", 640, 640, PEFT), f"contains layer {Q} twice.*mixes two dialects"
    ),
    "a whole model": lambda: refused(
        {"model.diffusion_model.out.2.weight": rand(4, 320, 3, 3)}, "1 of 1 keys belong to no supported LoRA dialect"
    ),
    "a partner is missing": lambda: refused(
        {f"{SGM}.lora_up.weight": rand(640, 2)}, "1 of 1 layers have missing or superfluous parts"
    ),
    "ranks differ": lambda: refused(
        {f"{SGM}.lora_down.weight": rand(3, 640), f"{SGM}.lora_up.weight": rand(640, 2)}, f"layer {Q}: .*rank"
    ),
    "not a number": lambda: refused(pair(SGM, 640, 640) | {f"{SGM}.alpha": torch.tensor(float("nan"))}, "NaN"),
    "quantised": lambda: refused(
        pair(SGM, 640, 640) | {f"{SGM}.lora_up.weight": torch.ones(640, 2, dtype=torch.int8)}, "int8"
    ),
    "sgm numbers of an unknown model": lambda: refused(pair(SGM, 384, 384), "Stability's block numbers"),
    "early OFT": lambda: refused({f"{SGM}.oft_diag": rand(4, 8, 8)}, "oft_diag"),
    "git-LFS pointer": lambda: refused(
        {}, "git-LFS pointer", data=b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
    ),
    "truncated": truncated,
    "a pickle": lambda: refused({}, "is a pickled checkpoint, not a safetensors file", data=b"\x80\x02}q\x00." * 20),
    "nothing": lambda: refused({}, "is empty", data=b""),
}  # fmt: skip
