"""Script: a workflow of the nodes within ComfyUI's own source, for SD1.5, SDXL and FLUX.1.

python comfyui_source.py COMFYUI FOLDER prints a line of JSON: for each family the number of weights that ComfyUI
patches, the keys that it does not use, and the largest relative error of a patch against the sum of its patches of the
two input files, for the LoRA in memory and for the saved file.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

COMFYUI, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
ROOT = Path(__file__).parents[2]
# Packages that ComfyUI imports for other models and nodes.
_UNUSED = ("torchvision", "torchaudio", "torchsde", "kornia", "spandrel", "av", "einops", "sentencepiece", "aiohttp")
_WEIGHTS = {"a": 1.0, "b": 0.6}


class _StandIn(ModuleType):
    """Module of a package that is not installed."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


class _StandIns:
    """Finder of packages that are not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in _UNUSED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


sys.path[:0] = [str(ROOT), str(COMFYUI), str(ROOT / "integrations")]  # our tests, of which ComfyUI has some too
from tests.architectures import kernel, matrices  # noqa: E402

FAMILIES = ("sd15", "sdxl", "flux")
LAYERS = {family: {path: (*shape, kernel(family, path)) for path, shape in matrices(family).items()}
          for family in FAMILIES}  # fmt: skip
sys.meta_path.append(_StandIns())  # type: ignore[arg-type]  # after diffusers, which asks for these packages
sys.argv = [sys.argv[0], "--cpu"]
comfy_options = importlib.import_module("comfy.options")
comfy_options.enable_args_parsing()
import comfy.lora  # noqa: E402
import comfy.lora_convert  # noqa: E402
import comfy.model_base  # noqa: E402
import comfy.model_detection  # noqa: E402
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402

from lorarar.formats import read_stored, save, tool_views  # noqa: E402
from lorarar.lora import LoRA, LowRank  # noqa: E402

BASES = {"sd15": comfy.model_base.BaseModel, "sdxl": comfy.model_base.SDXL, "flux": comfy.model_base.Flux}
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 768, "context_in_dim": 4096,
    "hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24, "depth": 19, "depth_single_blocks": 38, "patch_size": 2,
    "axes_dim": [16, 56, 56], "theta": 10000, "qkv_bias": True, "guidance_embed": True,
}  # fmt: skip
_OF_UNET = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "dtype": torch.float16}
UNETS = {
    "sd15": {"num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
             "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
             "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "transformer_depth_middle": 1,
             "context_dim": 768, "num_heads": 8, "use_spatial_transformer": True, "legacy": False,
             "use_linear_in_transformer": False, "adm_in_channels": None},
    "sdxl": {"num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "transformer_depth": [0, 0, 2, 2, 10, 10],
             "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "transformer_depth_middle": 10,
             "context_dim": 2048, "num_head_channels": 64, "use_spatial_transformer": True, "legacy": False,
             "use_linear_in_transformer": True, "adm_in_channels": 2816, "num_classes": "sequential"},
}  # fmt: skip


def model(family: str) -> Any:
    """Return ComfyUI's model on the meta device, as its key map takes it."""
    with torch.device("meta"):
        if family == "flux":
            network = importlib.import_module("comfy.ldm.flux.model").Flux(
                **FLUX, dtype=torch.float16, device="meta", operations=comfy.ops.disable_weight_init
            )
            config: dict[str, Any] = FLUX
        else:
            config = {**_OF_UNET, **UNETS[family]}
            network = importlib.import_module("comfy.ldm.modules.diffusionmodules.openaimodel").UNetModel(
                **{key: list(value) if isinstance(value, list) else value for key, value in config.items()},
                device="meta", operations=comfy.ops.disable_weight_init,
            )  # fmt: skip
    found = BASES[family].__new__(BASES[family])
    weights = {f"diffusion_model.{key}": value for key, value in network.state_dict().items()}
    object.__setattr__(found, "state_dict", lambda: weights)
    object.__setattr__(found, "model_config", SimpleNamespace(unet_config=config))
    return found


def text_encoders(family: str) -> Any:
    """Return the state dict of the text encoders, with the names of ComfyUI and no numbers."""
    weights = {}
    for name in ("clip_l", "clip_g")[: 2 if family == "sdxl" else 1]:
        width = {"clip_l": 768, "clip_g": 1280}[name]
        for path in ("mlp.fc1", "mlp.fc2", *(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out"))):
            shape = {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}.get(path, (width, width))
            key = f"{name}.transformer.text_model.encoder.layers.0.{path}.weight"
            weights[key] = torch.empty(shape, device="meta")
    return SimpleNamespace(state_dict=lambda: weights)


def write_input(family: str, name: str, seed: int) -> None:
    """Write a LoRA of layers of all kinds with kohya's names."""
    generator = torch.Generator().manual_seed(seed)
    layers = LAYERS[family]
    if family == "flux":  # whole fused layers of some blocks
        layers = {path: shape for path, shape in layers.items() if f"{path}.".split(".")[1] in ("0", "7")}
    else:
        layers = {path: shape for number, (path, shape) in enumerate(layers.items()) if number % 8 < 2}
    layers |= {f"text_encoder.text_model.encoder.layers.0.self_attn.{p}_proj": (768, 768, ()) for p in "qkv"}
    if family == "sdxl":
        shapes = {1: (5120, 1280, ()), 2: (1280, 5120, ())}
        layers |= {f"text_encoder_2.text_model.encoder.layers.0.mlp.fc{i}": shape for i, shape in shapes.items()}
    made = {}
    for path, (out, width, size) in layers.items():
        rank = 2 if name == "a" else 3
        up, down = (torch.randn(shape, generator=generator) * 0.05 for shape in ((out, rank), (rank, width)))
        made[path] = LowRank(up, down, 0.5, size)
    save(LoRA(made, family=family), FOLDER / f"{family}_{name}.safetensors", format="kohya")


def patches(tensors: dict[str, torch.Tensor], key_map: dict[str, Any]) -> tuple[dict[Any, Any], list[str]]:
    """Return weight -> adapter, and the keys that ComfyUI does not use."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    loaded = comfy.lora.load_lora(comfy.lora_convert.convert_lora(tensors), key_map)
    logging.getLogger().removeHandler(handler)
    return loaded, [line for line in records if "not loaded" in line]


def ignored_alike(lora: LoRA, format: str, key_map: dict[str, Any]) -> bool:
    """Return whether ComfyUI ignores the layers that lorarar says it does."""
    (path,) = save(lora, FOLDER / "named.safetensors", format=format, force=True)
    _, unused = patches(comfy.utils.load_torch_file(str(path)), key_map)
    names = {key.split(": ")[1].split(".lora_")[0].removesuffix(".alpha") for key in unused}
    return names == set(tool_views(read_stored(path))[0].ignored)


def effect(adapter: Any, shape: torch.Size) -> torch.Tensor:
    """Return the delta of one patch by ComfyUI's arithmetic."""
    weight = torch.zeros(shape)
    return adapter.calculate_weight(weight, "", 1.0, 1.0, None, lambda a: a)


def run(family: str) -> dict[str, Any]:
    for name, seed in (("a", 1), ("b", 2)):
        write_input(family, name, seed)
    base, text = model(family), text_encoders(family)
    key_map = comfy.lora.model_lora_keys_clip(text, comfy.lora.model_lora_keys_unet(base, {}))
    shapes = {key: value.shape for key, value in {**base.state_dict(), **text.state_dict()}.items()}
    nodes = importlib.import_module("comfyui").NODE_CLASS_MAPPINGS
    merged, _, _ = nodes["LorararMerge"]().run(
        "direct", content=f"{family}_a.safetensors", content_weight=_WEIGHTS["a"], style=f"{family}_b.safetensors",
        style_weight=_WEIGHTS["b"],
    )  # fmt: skip
    path = nodes["LorararSave"]().run(merged, f"{family}_merged", "fp16", False)["result"][0]
    inputs = {name: patches(comfy.utils.load_torch_file(str(FOLDER / f"{family}_{name}.safetensors")), key_map)
              for name in "ab"}  # fmt: skip
    results = {"memory": patches(dict(merged), key_map), "file": patches(comfy.utils.load_torch_file(path), key_map)}
    errors = dict.fromkeys(results, 0.0)
    unused = [line for _, lines in (*inputs.values(), *results.values()) for line in lines]
    for name, (loaded, _) in results.items():
        assert set(loaded) == set(inputs["a"][0]) | set(inputs["b"][0]), family
        for key, adapter in loaded.items():
            expected = sum(_WEIGHTS[i] * effect(inputs[i][0][key], shapes[key]) for i in "ab")
            gap = float((effect(adapter, shapes[key]) - expected).norm() / expected.norm())
            errors[name] = max(errors[name], gap)
    agree = all(ignored_alike(merged.lora, format, key_map) for format in ("kohya", "diffusers"))
    return {
        "patches": len(results["file"][0]),
        "unused": unused,
        "memory_error": errors["memory"],
        "file_error": errors["file"],
        "ignored_alike": agree,
    }


def main() -> None:
    folder_paths.folder_names_and_paths["loras"] = ([str(FOLDER)], {".safetensors"})
    print(json.dumps({family: run(family) for family in FAMILIES}))


if __name__ == "__main__":
    main()
