"""lorarar.formats.dialects.unsupported: adapters that are no LoRA are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lorarar.formats.dialects.unsupported import check_layers
from lorarar.formats.reading import read_stored
from lorarar.storage.atomic import FormatError

LORA = {"unet.mid_block.attentions.0.proj_in.lora_A.weight": (2, 3)}
LORA |= {"unet.mid_block.attentions.0.proj_in.lora_B.weight": (4, 2)}
FLUX = {"transformer.transformer_blocks.18.attn.to_q.lora_A.weight": (2, 3072)}
FLUX |= {"transformer.transformer_blocks.18.attn.to_q.lora_B.weight": (3072, 2)}
UNSUPPORTED: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "control LoRA of Stability": (
        {"lora_controlnet": (0,), "input_blocks.4.1.proj_in.up": (4, 2), "zero_convs.0.0.weight": (2, 2)},
        r"found a control LoRA \(Stability's\).*1 of 3 keys.*use it beside the merged LoRA",
    ),
    "control LoRA of FLUX.1 under the authors' names": (
        {
            "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
            "double_blocks.0.img_attn.proj.lora_A.weight": (2, 3072),
            "double_blocks.0.img_attn.proj.lora_B.weight": (3072, 2),
        },
        r"found whole norm scales.*1 of 3 keys, first double_blocks.*key_norm\.scale",
    ),
    "control LoRA of FLUX.1 under diffusers names": (
        {**FLUX, "transformer.transformer_blocks.0.attn.norm_added_k.weight": (128,)},
        "found whole norm scales",
    ),
    "control LoRA of EasyControl": ({"double_blocks.0.processor.q_loras.0.down.weight": (2, 4)}, r"EasyControl's"),
    "LLLite": ({"lllite_unet_input_blocks_4_1_attn1_to_q.down.0.weight": (2, 4)}, "found a ControlNet-LLLite"),
    "ControlNet": ({"controlnet_cond_embedding.conv_in.weight": (2, 4)}, "found a ControlNet"),
    "IP-Adapter": ({"ip_adapter.1.to_k_ip.weight": (2, 4), "image_proj.proj.weight": (2, 2)}, "found an IP-Adapter"),
    "LoRA of an IP-Adapter": ({"1.to_q_lora.down.weight": (2, 4)}, "found an IP-Adapter"),
    "SVDQuant": ({"transformer_blocks.0.qkv_proj.lora_down": (4, 2)}, "packed for a quantised base"),
    "set_weight": (
        {**LORA, "unet.mid_block.attentions.0.norm.set_weight": (4,)},
        r"found whole norm scales.*use it beside",
    ),
    "whole matrix": ({**LORA, "unet.mid_block.attentions.0.proj_out.set_weight": (4, 4)}, "found whole weights"),
    "modules_to_save": ({**LORA, "unet.conv_in.modules_to_save.weight": (4, 4, 3, 3)}, r"whole weights.*1 of 3 keys"),
    "modules_to_save of a saved adapter": (
        {**LORA, "unet.conv_in.weight": (4, 4, 3, 3), "unet.conv_in.bias": (4,)},
        r"whole weights beside a LoRA \(2 of 4 keys, first unet\.conv_in\.\w+\).*save the LoRA without them",
    ),
    "whole norms": ({**LORA, "unet.mid_block.attentions.0.norm.weight": (4,)}, "found whole weights"),
}


def write(path: Path, shapes: dict[str, tuple[int, ...]], header: dict[str, str] | None = None) -> Path:
    save_file({key: torch.ones(shape) for key, shape in shapes.items()}, path, header)
    return path


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_other_adapters_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    shapes, message = UNSUPPORTED[kind]
    with pytest.raises(FormatError, match=rf"x\.safetensors: expected a LoRA, .*{message}"):
        read_stored(write(tmp_path / "x.safetensors", shapes))


def test_a_control_image_widens_the_input() -> None:
    for width, warnings in ((64, 0), (384, 1)):
        assert len(check_layers("flux", {}, {"x_embedder": (3072, width)})) == warnings
    with pytest.raises(ValueError, match=r"found a control LoRA \(x_embedder takes 128 channels instead of 64"):
        check_layers("flux", {}, {"x_embedder": (3072, 128)})
    assert check_layers("", {}, {"x_embedder": (3072, 128), "img_in": ()}) == []


def test_a_control_lora_with_diffusers_names(tmp_path: Path) -> None:
    shapes = FLUX | {
        f"transformer.x_embedder.lora_{name}.weight": shape for name, shape in (("A", (2, 128)), ("B", (3072, 2)))
    }
    with pytest.raises(FormatError, match="expected a LoRA, found a control LoRA"):
        read_stored(write(tmp_path / "x.safetensors", shapes, {"ss_base_model_version": "flux1"}))


@pytest.mark.parametrize(("channels", "variant"), [(4, ""), (8, "editing by instruction"), (9, "inpainting")])
def test_variants_of_a_unet_are_named(channels: int, variant: str) -> None:
    warnings = check_layers("sd15", {}, {"conv_in": (320, channels * 9)})
    assert warnings == ([f"conv_in takes more than 4 channels: the LoRA is for a model for {variant}"] * bool(variant))


@pytest.mark.parametrize(("scale", "whole"), [(0.9, True), (0.1, False), (-0.2, False)])
def test_norms_are_differences(scale: float, whole: bool, tmp_path: Path) -> None:
    stem = "lora_unet_mid_block_attentions_0_norm"
    tensors: dict[str, Tensor] = {f"{stem}.w_norm": torch.full((4,), scale), f"{stem}.b_norm": torch.zeros(4)}
    save_file(tensors, tmp_path / "x.safetensors")
    if not whole:
        assert read_stored(tmp_path / "x.safetensors").layers
        return
    with pytest.raises(FormatError, match=r"differences of norm scales, found whole ones in 1 layers.*without them"):
        read_stored(tmp_path / "x.safetensors")
