"""Our hypernetwork: it takes any width, any rank, any number of LoRAs and any denoiser with attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from lorarar.hypernetwork.features import DESCRIPTION, FEATURES, describe, measure, role
from lorarar.hypernetwork.paper import linear_layers
from lorarar.lora import Coefficients, LoRA, check_same_shapes

Kind = Literal["content", "style"]
_SIGN = {"content": 1.0, "style": -1.0}


@dataclass(frozen=True)
class LayerwiseConfig:
    """What is needed to build the network.

    Args:
        predicted: Projections whose layers it predicts; joint attention's (``add_k_proj``) count as these.
        width: Neurons of its hidden layers.
        initial: Coefficient of a content and of a style LoRA before training.
        fixed: The same in layers that are not predicted.
    """

    predicted: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out")
    width: int = 48
    initial: tuple[float, float] = (0.7, 0.7)
    fixed: tuple[float, float] = (1.0, 1.0)


class LayerwiseHypernetwork(nn.Module):
    """m_i = exp(gain) (constant + shift), a number for each layer and each LoRA i, which is a content or a style.

    The constant comes from where the layer lies: projection, kind of attention, depth. Gain and shift come from that,
    from how long LoRA i's delta is and how it lies to the sum of the others' deltas, and from the mean of that over all
    layers. It is computed through the factors and depends on neither width, rank nor factorisation, so one network
    serves other base models too. All three start at zero: training starts from ``initial``.

    One number serves all columns of a layer: more of them did not make better images (experiments/LOG.md).

    Args:
        config: Sizes.

    Raises:
        ValueError: Nothing is predicted, or the width is less than 1.
    """

    def __init__(self, config: LayerwiseConfig) -> None:
        super().__init__()
        if not config.predicted or config.width < 1:
            raise ValueError(f"expected one or more projections and a width of at least 1, found {config}")
        self.config = config
        place, width = DESCRIPTION + 1, config.width
        self.constant = nn.Sequential(nn.Linear(place, width), nn.SiLU(), _zero(nn.Linear(width, 1)))
        self.token = nn.Sequential(nn.Linear(place + FEATURES, width), nn.SiLU())
        self.mixed = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), _zero(nn.Linear(width, 2)))

    def predicted(self, loras: Sequence[LoRA]) -> list[str]:
        """The layers whose coefficients the network predicts: linear ones of its projections that all LoRAs have."""
        return [layer for layer in linear_layers(loras) if role(layer) in self.config.predicted]

    def forward(self, loras: Sequence[LoRA], kinds: Sequence[Kind] | None = None) -> Coefficients:
        """Predicts the coefficients of two or more LoRAs.

        Args:
            loras: In any number from 2. Layers that one of them lacks, convolutions, norms and biases get the fixed
                coefficient of their LoRA's kind. A predicted layer's delta may be dense.
            kinds: "content" or "style" for each LoRA. Without it two LoRAs are a content and a style; of more, each is
                what its metadata's "kind" says, or, where one says nothing, the first is the content.

        Returns:
            For each layer of any LoRA a vector (in,) of equal numbers for each LoRA, or a number () where it is fixed.

        Raises:
            ValueError: There are fewer than two LoRAs, not as many kinds, an unknown kind, shapes that clash, or no
                shared layer that can be predicted.
        """
        kinds = kinds or kinds_of(loras)
        if len(loras) < 2 or len(kinds) != len(loras) or set(kinds) - set(_SIGN):
            raise ValueError(f"expected 2 or more LoRAs, each content or style, found {len(loras)} and {list(kinds)}")
        check_same_shapes(loras)
        layers = self.predicted(loras)
        if not layers:
            raise ValueError(
                f"the LoRAs share no layer of {', '.join(self.config.predicted)}, which the network predicts: train "
                "them on attention layers"
            )
        device = next(self.parameters()).device
        where = describe(layers).to(device)
        measured = measure(loras, layers, device)
        found = torch.stack([self._one(kind, where, measured[i]) for i, kind in enumerate(kinds)], dim=1)
        fixed = tuple(found.new_tensor(self.config.fixed[_side(kind)]) for kind in kinds)
        widths = [loras[0].layers[layer].shape[1] for layer in layers]
        vectors = {la: tuple(m.expand(n) for m in row) for la, n, row in zip(layers, widths, found, strict=True)}
        return Coefficients({la: vectors.get(la, fixed) for lora in loras for la in lora.layers})

    def _one(self, kind: Kind, where: Tensor, measured: Tensor) -> Tensor:
        """The coefficients of one LoRA, (layers,), from descriptions and features of its layers."""
        place = torch.cat([where, where.new_full((len(where), 1), _SIGN[kind])], dim=1)
        tokens = self.token(torch.cat([place, measured], dim=1))
        mean = tokens.mean(0, keepdim=True).expand_as(tokens)
        gain, shift = self.mixed(torch.cat([tokens, mean], dim=1)).unbind(1)
        constant = self.config.initial[_side(kind)] + self.constant(place).squeeze(1)
        found: Tensor = gain.exp() * (constant + shift)
        return found


def kinds_of(loras: Sequence[LoRA]) -> list[Kind]:
    """Two are content, style; of more, each is what its metadata say, or the first is the content."""
    said = [lora.metadata.get("kind") for lora in loras]
    if len(loras) > 2 and set(said) <= set(_SIGN):
        return [cast(Kind, kind) for kind in said]
    return ["content" if i == 0 else "style" for i in range(len(loras))]


def _side(kind: Kind) -> int:
    return int(kind == "style")


def _zero(linear: nn.Linear) -> nn.Linear:
    """A layer that answers zero before training."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
