"""lorarar.formats.naming.blocks against diffusers' conversion of whole checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

from lorarar.formats.naming.blocks import from_sgm, to_sgm
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.families.unet import UNetShape
from tests.architectures import shapes


def shape_of(family: str) -> UNetShape:
    shape = FAMILIES[family].shape
    assert isinstance(shape, UNetShape)
    return shape


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_names_are_those_of_diffusers_conversion(family: str) -> None:
    """Distinct numbers in the tensors of an sgm checkpoint show their names after the conversion of diffusers."""
    paths = list(shapes(family))
    sgm = {path: to_sgm(path, shape_of(family)) for path in paths}
    assert len(set(sgm.values())) == len(paths)
    assert None not in sgm.values()
    assert {path: from_sgm(name or "", 2) for path, name in sgm.items()} == {path: path for path in paths}
    checkpoint = {f"model.diffusion_model.{sgm[path]}.weight": torch.tensor(i) for i, path in enumerate(paths)}
    config: dict[str, Any] = {"layers_per_block": 2}
    if family == "sdxl":
        config |= {"class_embed_type": None, "addition_embed_type": "text_time"}
    # The conversion also requires biases, which have the same names.
    checkpoint |= {key.replace(".weight", ".bias"): torch.tensor(-1) for key in list(checkpoint)}
    converted = convert_ldm_unet_checkpoint(checkpoint, config)
    assert {path: int(converted[f"{path}.weight"]) for path in paths} == {path: i for i, path in enumerate(paths)}


@pytest.mark.parametrize(
    "path",
    [
        "input_blocks.0.1.proj_in",
        "input_blocks.3.1.op",
        "input_blocks.4.2.proj_in",
        "input_blocks.4.0.in_layers.5",
        "output_blocks.1.2.conv",
        "output_blocks.2.3.proj_in",
        "middle_block.3.proj_in",
        "middle_block.0.proj_in",
        "down_blocks.1.attentions.0.proj_in",
    ],
)
def test_paths_outside_sgm(path: str) -> None:
    assert from_sgm(path, 2) is None


@pytest.mark.parametrize("path", ["transformer_blocks.0.x", "down_blocks.1.resnets.0.conv9", "foo"])
def test_paths_outside_the_unet(path: str) -> None:
    assert to_sgm(path, shape_of("sdxl")) is None


def test_other_layers_per_block() -> None:
    # All layers of a UNet with one layer per block are restored, and their names are distinct.
    shape = shape_of("koala")
    names = {path: to_sgm(path, shape) for path in shapes("koala")}
    assert len(set(names.values())) == len(names)
    assert {path: from_sgm(name or "", 1) for path, name in names.items()} == {path: path for path in names}
    assert names["down_blocks.1.attentions.0.proj_in"] == "input_blocks.3.1.proj_in"
