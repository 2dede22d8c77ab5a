"""Family: base models with the same layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lorarar.lora.families.transformer import Stack, TransformerShape, modules
from lorarar.lora.families.unet import UNetShape


@dataclass(frozen=True)
class Family:
    """Base models with the same layers.

    Attributes:
        key: Name in code and metadata.
        label: Name in messages.
        base_model_version: Value of `ss_base_model_version` in files of kohya's trainers; "" if it has none.
        architecture: Value of `modelspec.architecture` without "/lora".
        resolution: Width and height of the generated images, pixels.
        denoiser: Name of the denoiser in diffusers.
        shape: Layers of the model.
        sgm: Whether files of this family also use the block names of Stability's code (input_blocks, ...).
        variant_of: Key of the family for which a file without a statement in its header is taken; "" for none.
        keeps_names: Whether a merge has the names of its inputs by default, because no names are read by most tools.
    """

    key: str
    label: str
    base_model_version: str
    architecture: str
    resolution: int
    denoiser: Literal["unet", "transformer"]
    shape: UNetShape | TransformerShape
    sgm: bool = False
    variant_of: str = ""
    keeps_names: bool = False

    @property
    def layers_per_block(self) -> int | None:
        """layers_per_block of the UNet, which determines sgm block numbers; None for a family without sgm names."""
        return self.shape.layers_per_block if self.sgm and isinstance(self.shape, UNetShape) else None


def newer_family(
    key: str,
    label: str,
    stacks: dict[str, Stack],
    *outside: str,
    width: int,
    version: str = "",
    architecture: str = "",
    resolution: int = 1024,
    variant_of: str = "",
) -> Family:
    """Return a transformer whose files keep the names that their trainers gave them.

    Args:
        key, label, width, resolution, variant_of: As in `Family` and `TransformerShape`.
        stacks: Name of a stack of blocks -> its blocks.
        outside: Patterns of the modules outside the blocks.
        version: Value of `ss_base_model_version`.
        architecture: Value of `modelspec.architecture`; "" for the key.
    """
    return Family(
        key=key,
        label=label,
        base_model_version=version,
        architecture=architecture or key,
        resolution=resolution,
        denoiser="transformer",
        shape=TransformerShape(width, stacks, modules(*outside), text=(0,)),
        variant_of=variant_of,
        keeps_names=True,
    )
