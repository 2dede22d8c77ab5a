"""lorarar.formats.naming.originals against the conversion of whole checkpoints by diffusers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_sd3_transformer_checkpoint_to_diffusers,
    convert_z_image_transformer_checkpoint_to_diffusers,
)
from torch import Tensor

from lorarar.formats.naming.originals import NamingScheme, rows_of, scheme_of
from lorarar.formats.naming.rows import divide_rows
from lorarar.lora.dense import Dense
from lorarar.lora.rows import Rows

FLUX_WIDTH = 3072  # the conversion of diffusers requires it
FLUX_MODULES = {
    "img_in": 1,
    "txt_in": 1,
    "time_in.in_layer": 1,
    "time_in.out_layer": 1,
    "vector_in.in_layer": 1,
    "vector_in.out_layer": 1,
    "guidance_in.in_layer": 1,
    "guidance_in.out_layer": 1,
    "final_layer.linear": 1,
    "final_layer.adaLN_modulation.1": 2,
    **{f"double_blocks.0.{stream}_{module}": rows for stream in ("img", "txt") for module, rows in
       {"attn.qkv": 3, "attn.proj": 1, "mlp.0": 4, "mlp.2": 1, "mod.lin": 6}.items()},
    "single_blocks.0.linear1": 7,
    "single_blocks.0.linear2": 1,
    "single_blocks.0.modulation.lin": 3,
}  # fmt: skip
SD3_MODULES = {
    "x_embedder.proj": 1,
    "context_embedder": 1,
    "t_embedder.mlp.0": 1,
    "t_embedder.mlp.2": 1,
    "y_embedder.mlp.0": 1,
    "y_embedder.mlp.2": 1,
    "final_layer.linear": 1,
    "final_layer.adaLN_modulation.1": 2,
    "joint_blocks.0.x_block.attn2.qkv": 3,
    "joint_blocks.0.x_block.attn2.proj": 1,
    "joint_blocks.0.context_block.attn.proj": 1,
    "joint_blocks.0.context_block.mlp.fc1": 4,
    "joint_blocks.0.context_block.mlp.fc2": 1,
    "joint_blocks.0.context_block.adaLN_modulation.1": 6,
    "joint_blocks.1.context_block.adaLN_modulation.1": 2,
    **{f"joint_blocks.{i}.x_block.{module}": rows for i in (0, 1) for module, rows in
       {"attn.qkv": 3, "attn.proj": 1, "mlp.fc1": 4, "mlp.fc2": 1, "adaLN_modulation.1": 6}.items()},
    **{f"joint_blocks.{i}.context_block.attn.qkv": 3 for i in (0, 1)},
}  # fmt: skip
Z_MODULES = {
    "x_embedder": 1,
    "final_layer.linear": 1,
    "final_layer.adaLN_modulation.1": 1,
    "t_embedder.mlp.0": 1,
    "cap_embedder.1": 1,
    **{f"{stack}.0.{module}": rows for stack in ("layers", "noise_refiner", "context_refiner") for module, rows in
       {"attention.qkv": 3, "attention.out": 1, "feed_forward.w1": 2, "adaLN_modulation.0": 4}.items()},
}  # fmt: skip
NORMS: dict[NamingScheme, dict[str, int]] = {
    "flux": {
        **{f"double_blocks.0.{s}_attn.norm.{n}_norm": 128 for s in ("img", "txt") for n in ("query", "key")},
        **{f"single_blocks.0.norm.{n}_norm": 128 for n in ("query", "key")},
    },
    "sd3": {
        f"joint_blocks.{i}.{b}.ln_{n}": 8
        for i in (0, 1)
        for b in ("x_block.attn", "context_block.attn", *(["x_block.attn2"] if not i else []))
        for n in "qk"
    },
    "z-image": {f"layers.0.attention.{n}_norm": 8 for n in "qk"},
}  # fmt: skip


def matrices(modules: dict[str, int], width: int, columns: int) -> Iterator[tuple[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for module, rows in modules.items():
        yield module, torch.randn(rows * width, columns, generator=generator)


def convert(
    layout: NamingScheme, modules: dict[str, int], converter: Callable[..., Any], width: int, columns: int
) -> None:
    weights = dict(matrices(modules, width, columns))
    checkpoint: dict[str, Tensor] = {}
    biases = {} if layout == "z-image" else {module: weight[:, 0].clone() for module, weight in weights.items()}
    checkpoint |= {f"{module}.weight": weight for module, weight in weights.items()}
    checkpoint |= {f"{module}.bias": bias for module, bias in biases.items()}
    norms = {module: torch.randn(n) for module, n in NORMS[layout].items()}
    checkpoint |= {f"{module}.{'scale' if layout == 'flux' else 'weight'}": norm for module, norm in norms.items()}
    if layout == "sd3":
        checkpoint |= {"pos_embed": torch.zeros(1)}
    converted = converter(dict(checkpoint))
    assert scheme_of(weights) == layout
    ours: dict[str, Tensor] = {}
    stored = [(module, ".weight", tensor) for module, tensor in (weights | norms).items()]
    stored += [(module, ".bias", tensor) for module, tensor in biases.items()]
    for module, ending, tensor in stored:
        rows = rows_of(module, layout, 2)
        assert rows is not None
        for path, part in divide_rows(Dense(tensor), rows, width if module in weights else len(tensor)).items():
            assert isinstance(part, Dense)
            ours[path + ending] = part.tensor
    left_out = {"pos_embed.pos_embed"}
    assert ours.keys() == converted.keys() - left_out
    wrong = [key for key, tensor in ours.items() if not torch.equal(tensor, converted[key])]
    assert wrong == []


def test_flux() -> None:
    convert("flux", FLUX_MODULES, convert_flux_transformer_checkpoint_to_diffusers, FLUX_WIDTH, 2)


def test_sd3() -> None:
    convert("sd3", SD3_MODULES, convert_sd3_transformer_checkpoint_to_diffusers, 8, 8)


def test_z_image() -> None:
    convert("z-image", Z_MODULES, convert_z_image_transformer_checkpoint_to_diffusers, 8, 8)


@pytest.mark.parametrize(
    ("paths", "layout"),
    [
        (["img_in", "transformer_blocks.0.img_mlp.net.2"], "diffusers"),
        (["final_layer.linear", "layers.0.attention.to_q"], "z-image"),
        (["input_blocks.4.1.proj_in", "down_blocks.1.attentions.0.proj_in"], "sgm"),
        ([], "diffusers"),
    ],
)
def test_one_block_determines_the_scheme(paths: list[str], layout: NamingScheme) -> None:
    assert scheme_of(paths) == layout


def test_unchanged_names() -> None:
    for path, layout in (("img_in", "diffusers"), ("layers.3.attention.to_q", "z-image"), ("mid_block.x", "sgm")):
        rows = rows_of(path, layout, 2)  # type: ignore[arg-type]
        assert rows == Rows(((path, 1),))
    for path, layout in (("double_blocks.0.foo", "flux"), ("joint_blocks.0", "sd3"), ("input_blocks.3.0.foo", "sgm")):
        assert rows_of(path, layout, 2) is None  # type: ignore[arg-type]
