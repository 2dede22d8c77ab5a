"""Script: the node that composes LoRAs while sampling, in ComfyUI's own samplers, on narrow models.

python comfyui_sampling.py COMFYUI FOLDER prints a line of JSON: for each case the number of calls of the model, and the
largest relative error of what ComfyUI's weights differ by in a call from what the method's schedule holds for its step.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

import comfyui_source as source  # it makes ComfyUI importable

# isort: split
import comfy.lora
import comfy.model_base
import comfy.model_patcher
import comfy.sample
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import torch

from lorarar.formats import encode_lora
from lorarar.lora import LoRA, LowRank, input_weights, is_text_encoder, weight_loras
from lorarar.mergers import MERGERS
from lorarar.mergers.methods import Step

STEPS, STYLE_WEIGHT = 6, 0.75
FLUX = {**source.FLUX, "context_in_dim": 32, "vec_in_dim": 768, "hidden_size": 64, "num_heads": 4, "depth": 1,
        "depth_single_blocks": 1, "axes_dim": [4, 6, 6], "guidance_embed": False}  # fmt: skip
BLOCK = "attentions.0.transformer_blocks.0"
WIDTHS = {"down_blocks.0": 32, "down_blocks.2": 128, "mid_block": 128, "up_blocks.3": 32}
LAYERS: dict[str, dict[str, tuple[int, int]]] = {
    "sd15": {
        **{f"{block}.{BLOCK}.attn1.to_{part}": (n, n) for block, n in WIDTHS.items() for part in ("q", "v", "out.0")},
        **{f"{block}.{BLOCK}.attn2.to_k": (n, 768) for block, n in WIDTHS.items()},
    },
    "flux": {
        **{f"transformer_blocks.0.attn.to_{part}": (64, 64) for part in "qkv"},
        **{f"single_transformer_blocks.0.attn.to_{part}": (64, 64) for part in "qkv"},
        "single_transformer_blocks.0.proj_mlp": (256, 64),
        "transformer_blocks.0.ff.net.0.proj": (256, 64),
    },
}
# case: family, method, sampler, scheduler, steps of the node, share of the noise
CASES = {
    "klora": ("sd15", "klora", "euler", "normal", STEPS, 1.0),
    "klora_wrapped": ("sd15", "klora_wrapped", "dpmpp_2m", "karras", STEPS, 1.0),
    "klora, part of the noise": ("sd15", "klora", "euler", "normal", STEPS, 0.5),
    "klora, other steps": ("sd15", "klora", "euler", "normal", 2 * STEPS, 1.0),
    "windows": ("sd15", "windows", "euler", "normal", STEPS, 1.0),
    "switch": ("sd15", "switch", "euler", "simple", STEPS, 1.0),
    "est_lora": ("sd15", "est_lora", "euler", "beta", STEPS, 1.0),
    "klora, FLUX": ("flux", "klora", "euler", "simple", STEPS, 1.0),
    "windows, FLUX": ("flux", "windows", "euler", "simple", STEPS, 1.0),
}


def pair(family: str) -> list[LoRA]:
    """Return a content and a style whose layers change sides in different steps."""
    made = []
    for name, rank, seed in (("content", 2, 1), ("style", 3, 2)):
        generator = torch.Generator().manual_seed(seed)
        layers = {}
        for number, (path, (out, width)) in enumerate(LAYERS[family].items()):
            up, down = (torch.randn(s, generator=generator) * 0.3 for s in ((out, rank), (rank, width)))
            layers[path] = LowRank(up, down, 0.2 + 0.1 * (number % 8) if name == "content" else 0.5)
        if family == "sd15":
            path = f"text_encoder.text_model.encoder.layers.{seed}.mlp.fc1"
            layers[path] = LowRank(*(torch.randn(s, generator=generator) for s in ((3072, rank), (rank, 768))), 0.1)
        made.append(LoRA(layers, name=name, family=family))
    return made


def randomise(model: torch.nn.Module) -> None:
    """Set matrices to small random numbers, and vectors to 1."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
        else:
            torch.nn.init.ones_(parameter)


def narrow_model(family: str) -> Any:
    """Return ComfyUI's patcher of a narrow model with random weights."""
    if family == "flux":
        config = comfy.supported_models.Flux({**FLUX, "dtype": torch.float32})
        model = comfy.model_base.Flux(config, device="cpu")
    else:
        unet = {**source._OF_UNET, **source.UNETS["sd15"], "model_channels": 32, "dtype": torch.float32}
        model = comfy.model_base.BaseModel(comfy.supported_models.SD15(unet), device="cpu")
    randomise(model)
    return comfy.model_patcher.ModelPatcher(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def text_encoders() -> Any:
    """Return ComfyUI's text encoder of SD1.5 with random weights."""
    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
    clip = comfy.sd.CLIP(target, model_options={"dtype": torch.float32})
    randomise(clip.cond_stage_model)
    return clip


def deltas(lora: LoRA, model: Any) -> dict[str, torch.Tensor]:
    """Return weight -> delta of a LoRA by ComfyUI's own reading and arithmetic."""
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    format: Any = "kohya" if hasattr(model.diffusion_model, "input_blocks") else "diffusers"
    loaded = comfy.lora.load_lora(encode_lora(lora, format=format), comfy.lora.model_lora_keys_unet(model, {}))
    found: dict[str, torch.Tensor] = {}
    for key, adapter in loaded.items():
        name, offset = (key, None) if isinstance(key, str) else key[:2]
        weight = found.setdefault(name, torch.zeros(shapes[name]))
        part = weight if offset is None else weight.narrow(*offset)
        part += source.effect(adapter, part.shape)
    return found


def changes(model: Any, plain: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return how the weights differ from those of before."""
    return {key: value - plain[key] for key, value in model.state_dict().items() if not plain[key].equal(value)}


def gap(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Return the largest relative error of a weight's change; infinite where other weights change."""
    if set(found) != set(expected):
        return float("inf")
    return max((float((found[key] - delta).norm() / delta.norm()) for key, delta in expected.items()), default=0.0)


def text_gap(clip: Any, loras: list[LoRA], prompts: dict[str, Any]) -> float:
    """Return the largest error of the encoded prompts, against ComfyUI's loader of each LoRA, over what they change."""
    patched = clip
    for lora in loras:
        _, patched = comfy.sd.load_lora_for_models(None, patched, encode_lora(lora, format="kohya"), 0.0, 1.0)
    plain, expected = (one.encode_from_tokens_scheduled(one.tokenize("a cat"))[0][0] for one in (clip, patched))
    return max(float((conds[0][0] - expected).norm() / (plain - expected).norm()) for conds in prompts.values())


def run(case: tuple[str, str, str, str, int, float], clip: Any) -> dict[str, Any]:
    """Sample with the node's hooks, and compare each call with the method's schedule."""
    family, method, sampler, scheduler, steps, noise = case
    loras, patcher = pair(family), narrow_model(family)
    weighted = weight_loras(loras, input_weights(loras, [1.0, STYLE_WEIGHT]))
    denoiser = [LoRA({p: d for p, d in lora.layers.items() if not is_text_encoder(p)}) for lora in weighted]
    row, model = MERGERS[method], patcher.model
    schedule = row.call(denoiser, steps, **row.settings({}))
    node = importlib.import_module("comfyui.sampling")
    node.load_all = lambda paths: loras  # files of narrow layers would be of no family
    positive_clip, negative_clip, hooks, _, _ = node.Compose().run(
        method, steps, clip=clip, content="x.safetensors", style="x.safetensors", style_weight=STYLE_WEIGHT
    )
    prompts = {name: one.encode_from_tokens_scheduled(one.tokenize("a cat"))
               for name, one in (("positive", positive_clip), ("negative", negative_clip))}  # fmt: skip
    text = text_gap(clip, weighted, prompts) if family == "sd15" else 0.0
    if family == "flux":
        for conds in prompts.values():
            conds[0][0] = conds[0][0][..., :32]
    plain = {key: value.clone() for key, value in model.state_dict().items()}
    calls: list[tuple[float, list[int], dict[str, torch.Tensor]]] = []

    def traced(apply: Any, given: Any) -> Any:
        calls.append((float(given["timestep"][0]), given["cond_or_uncond"], changes(model, plain)))
        return apply(given["input"], given["timestep"], **given["c"])

    patcher.set_model_unet_function_wrapper(traced)
    latent = torch.zeros(1, 16 if family == "flux" else 4, 8, 8)
    comfy.sample.sample(patcher, torch.randn(latent.shape), STEPS, 4.0, sampler, scheduler, prompts["positive"],
                        prompts["negative"], latent, denoise=noise, disable_pbar=True, seed=0)  # fmt: skip
    levels = sorted({level for level, _, _ in calls}, reverse=True)
    errors = []
    for level, passes, found in calls:
        entry = schedule[levels.index(level) * steps // STEPS]
        step = entry if isinstance(entry, Step) else Step(entry)
        acting = step.loras if step.unguided or 0 in passes else ()
        assert step.unguided or passes in ([0], [1])  # positive or negative
        errors.append(gap(found, deltas(acting[0], model) if acting else {}))
    return {"steps": len(levels), "passes": sum(len(passes) for _, passes, _ in calls), "hooks": len(hooks),
            "error": max(errors), "text_error": text, "left": sorted(changes(model, plain))}  # fmt: skip


def main() -> None:
    source.folder_paths.folder_names_and_paths["loras"] = ([str(source.FOLDER)], {".safetensors"})
    (source.FOLDER / "x.safetensors").touch()
    clip = text_encoders()
    with torch.no_grad():
        print(json.dumps({name: run(case, clip) for name, case in CASES.items()}))


if __name__ == "__main__":
    main()
