"""Application of a trained basis: from images a, a' and b to a mix, to its LoRA and to the answer b'."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorarar.analogies.basis import mixed
from lorarar.analogies.examples import answers, encode_condition, router_features
from lorarar.analogies.files import TrainedBasis, load_basis
from lorarar.datasets import ImageError, load_image
from lorarar.diffusion import Backbone, Sampling, adapted, conditioned, load_backbone, sample_prompts
from lorarar.evaluation.metrics import encoders
from lorarar.lora import LoRA


def check_triplet(before: Path, after: Path, image: Path) -> list[Image.Image]:
    """Read a, a' and b, and check them.

    Raises:
        ValueError: A file is not a readable image, the images differ in size, or a equals a'.
    """
    pictures = []
    for path in (before, after, image):
        try:
            pictures.append(load_image(path, longest=None))
        except ImageError as error:
            raise ValueError(f"{path}: expected an image (PNG, JPEG, WebP), could not read it: {error}") from error
    sizes = {picture.size for picture in pictures}
    if len(sizes) > 1:
        listed = ", ".join(
            f"{path.name} {p.width} x {p.height}" for path, p in zip((before, after, image), pictures, strict=True)
        )
        raise ValueError(f"expected images of one size, found {listed}: crop or resize them first")
    if pictures[0].tobytes() == pictures[1].tobytes():
        raise ValueError(
            f"expected images before and after a change, found the same picture in {before} and {after}: give two that "
            "differ"
        )
    return pictures


@dataclass(frozen=True, eq=False)
class Analogies:
    """A trained basis on its base: answers analogies.

    Attributes:
        trained: The basis.
        backbone: Its base.
        encoder: The router's encoder.
    """

    trained: TrainedBasis
    backbone: Backbone
    encoder: encoders.VisionEncoder

    @classmethod
    def load(cls, path: Path, base: str | None = None, *, device: str = "auto") -> Self:
        """Load a basis, its base and its encoder.

        Args:
            path: File of the basis.
            base: Folder or hub id of the base; None for the one that the file names.
            device: Where to compute.

        Raises:
            FormatError: The file is not a basis.
            FileNotFoundError: There is no base.
            ValueError: The base is another one than the basis was trained on.
        """
        return cls.on(load_backbone(base or load_basis(path).base, device=device), path)

    @classmethod
    def on(cls, backbone: Backbone, path: Path) -> Self:
        """Load a basis and its encoder for a base in memory.

        Raises:
            FormatError: The file is not a basis.
            ValueError: The base is another one than the basis was trained on.
        """
        trained = load_basis(path)
        trained.check_base(backbone)
        config = trained.basis.config
        encoder = encoders.load_encoder(config.encoder, path=config.encoder_path, device=str(backbone.device))
        trained.basis.to(backbone.device)
        return cls(trained, backbone, encoder)

    @property
    def size(self) -> int:
        """Width and height of each image, pixels: of a grid, half of the base's."""
        return self.backbone.resolution // (1 if self.trained.layout == "images" else 2)

    def pixels(self, triplets: Sequence[Sequence[Image.Image]]) -> Tensor:
        """Return triplets a, a', b as (n, 3, 3, size, size), -1 to 1; images of another size are resized."""
        size = (self.size, self.size)
        arrays = [
            np.stack([np.asarray(p if p.size == size else p.resize(size, Image.Resampling.LANCZOS)) for p in triplet])
            for triplet in triplets
        ]
        return torch.from_numpy(np.stack(arrays)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1

    @torch.no_grad()
    def mix(self, images: Tensor, tasks: Tensor | None = None) -> Tensor:
        """Return the weights for triplets (n, 3, 3, size, size), -1 to 1: (n, layers, N)."""
        as_grid = self.trained.basis.config.router == "grid"
        features = router_features(self.encoder, images, as_grid=as_grid).to(self.backbone.device)
        return self.trained.basis.mix(features, tasks)

    def lora(self, mix: Tensor) -> LoRA:
        """Return the LoRA of one mix (layers, N), exact: an ordinary LoRA of rank N r for the base."""
        lora = self.trained.basis.lora(mix.detach())
        return LoRA({path: layer.to("cpu") for path, layer in lora.layers.items()})

    @torch.no_grad()
    def answer(
        self, images: Tensor, by: Tensor | LoRA | Sequence[LoRA] | None, seeds: Sequence[int], sampling: Sampling
    ) -> Tensor:
        """Sample b' for triplets a, a', b.

        Args:
            images: Triplets, (n, 3, 3, size, size), -1 to 1.
            by: The mixes (n, layers, N), or LoRAs in their place: one for all or one for each; None for the base alone.
            seeds: Noise seed of each answer, n.
            sampling: Steps and guidance.

        Returns:
            Images (n, 3, size, size), 0 to 1, on the CPU.
        """
        layout, denoiser = self.trained.layout, self.backbone.denoiser
        condition = encode_condition(self.backbone, images, layout)
        with ExitStack() as stack:
            stack.enter_context(conditioned(denoiser, condition))
            if isinstance(by, Tensor):
                stack.enter_context(mixed(denoiser, self.trained.basis, by))
            elif by is not None:
                loras = [by] if isinstance(by, LoRA) else list(by)
                stack.enter_context(adapted(denoiser, loras * self.backbone.passes(sampling.guidance)))
            sampled = sample_prompts(self.backbone, [self.trained.prompt] * len(images), seeds, sampling)
        return answers(sampled, layout).clamp(0, 1)
