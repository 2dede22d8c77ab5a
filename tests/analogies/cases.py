"""A widened random base with a random basis, and an encoder of mean colours, for several tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from lorarar.analogies.application import Analogies
from lorarar.analogies.basis import Basis
from lorarar.analogies.examples import Examples, encode_examples
from lorarar.analogies.files import TrainedBasis, digest_of
from lorarar.analogies.recipes import BasisConfig
from lorarar.analogies.training import new_basis
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.editing import widen
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray


class Colours:
    """Encoder: the mean colour."""

    name, sha256, resize = "colours", "", "scale"

    def encode_images(self, images: Sequence[Image.Image]) -> FeatureArray:
        return np.stack([np.asarray(image, np.float32).mean((0, 1)) / 255 for image in images])


def examples_for(backbone: Backbone, count: int = 3) -> Examples:
    """Random analogies of two transformations."""
    images = torch.randint(256, (count, 4, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    names = ["one", "two"] * count
    return encode_examples(backbone, Colours(), images, names[:count], layout="images")


def random_analogies(backbone: Backbone) -> tuple[Analogies, Examples]:
    """A random basis of two LoRAs on two sorts of layers of the base, which is widened in place."""
    torch.manual_seed(0)
    widen(backbone.denoiser, 3)
    with torch.no_grad():
        backbone.denoiser.conv_in.weight.normal_(std=0.05)
    examples = examples_for(backbone)
    basis: Basis = new_basis(BasisConfig(2, 2, 2.0, 3, targets=("to_q", "to_v")), backbone, examples, seed=0)
    with torch.no_grad():
        for up in basis.up:
            up.normal_()
    trained = TrainedBasis(basis, "some/base", digest_of(backbone.denoiser), "images", "a", examples.names)
    return Analogies(trained, backbone, Colours()), examples
