"""Layerwise network: our hypernetwork, one coefficient for each layer and LoRA, from features of the deltas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from lorarar.hypernetwork.features import (
    DELTA_FEATURES,
    POSITION_FEATURES,
    delta_features,
    position_features,
    projection_role,
)
from lorarar.hypernetwork.paper import linear_layers
from lorarar.lora import Coefficients, LoRA, check_same_shapes

InputKind = Literal["content", "style"]
_SIGN = {"content": 1.0, "style": -1.0}


@dataclass(frozen=True)
class LayerwiseConfig:
    """Configuration of the network.

    Attributes:
        predicted: Projections whose layers it predicts; joint attention's (`add_k_proj`) count as these.
        width: Neurons of its hidden layers.
        initial: Coefficient of a content and of a style LoRA before training.
        fixed: Coefficient of a content and of a style LoRA in layers that are not predicted.
    """

    predicted: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out")
    width: int = 48
    initial: tuple[float, float] = (0.7, 0.7)
    fixed: tuple[float, float] = (1.0, 1.0)


class LayerwiseHypernetwork(nn.Module):
    """Network of a coefficient m_c or m_s for each layer of each content or style LoRA.

    For LoRA i and a layer, p holds the twelve position features of the layer and the kind's sign (+1 content, -1
    style), and f holds the eight features of delta dW_i against the sum of the other LoRAs' deltas; `position_features`
    and `delta_features` give the formula of each. With silu(x) = x sigmoid(x) and all matrices learned:

        t = silu(W_t [p; f] + b_t)                              the token of the layer, (width,)
        [g; h] = W_2 silu(W_1 [t; mean of t over layers] + b_1) + b_2      gain and shift
        c = initial + W_4 silu(W_3 p + b_3) + b_4               the constant, which does not depend on the deltas
        m_i = exp(g) (c + h)

    W_2, b_2, W_4 and b_4 start at zero, so training starts from m_i = initial. One coefficient serves all columns of a
    layer: more of them did not make better images (experiments/LOG.md). The network depends on neither width, rank nor
    factorisation, so one network also serves other base models, and any number of LoRAs.

    Args:
        config: Sizes, predicted projections and initial coefficients.

    Raises:
        ValueError: No projection is predicted, or the width is less than 1.
    """

    def __init__(self, config: LayerwiseConfig) -> None:
        super().__init__()
        if not config.predicted or config.width < 1:
            raise ValueError(f"expected one or more projections and a width of at least 1, found {config}")
        self.config = config
        position, width = POSITION_FEATURES + 1, config.width
        self.constant = nn.Sequential(nn.Linear(position, width), nn.SiLU(), _zero(nn.Linear(width, 1)))
        self.token = nn.Sequential(nn.Linear(position + DELTA_FEATURES, width), nn.SiLU())
        self.mixed = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), _zero(nn.Linear(width, 2)))

    def predicted(self, loras: Sequence[LoRA]) -> list[str]:
        """Return the layers whose coefficients are predicted: linear layers of its projections that all LoRAs hold."""
        return [layer for layer in linear_layers(loras) if projection_role(layer) in self.config.predicted]

    def forward(self, loras: Sequence[LoRA], kinds: Sequence[InputKind] | None = None) -> Coefficients:
        """Predict the coefficients of two or more LoRAs.

        Args:
            loras: Two or more LoRAs. A layer that one of them lacks, a convolution, a norm and a bias get the fixed
                coefficient of their LoRA's kind. The delta of a predicted layer may be dense.
            kinds: "content" or "style" for each LoRA; None takes `kinds_of` the LoRAs.

        Returns:
            For each layer of any LoRA a vector (in,) of equal numbers for each LoRA, or a number () where it is fixed.

        Raises:
            ValueError: There are fewer than two LoRAs, their number differs from that of the kinds, a kind is unknown,
                shapes clash, or the LoRAs share no layer that is predicted.
        """
        kinds = kinds or kinds_of(loras)
        if len(loras) < 2 or len(kinds) != len(loras) or set(kinds) - set(_SIGN):
            example = (["content", "style"] * len(loras))[: max(2, len(loras))]
            raise ValueError(
                f"expected 2 or more LoRAs and a kind for each, content or style, found {len(loras)} and "
                f"{', '.join(kinds) or 'no kinds'}: give as many kinds as LoRAs, such as `kinds={example}`"
            )
        check_same_shapes(loras)
        layers = self.predicted(loras)
        if not layers:
            raise ValueError(
                f"the LoRAs share no layer of {', '.join(self.config.predicted)}, which the network predicts: train "
                "them on attention layers"
            )
        positions = position_features(layers).to(next(self.parameters()).device)
        deltas = self.features(loras, layers)
        columns = [self._coefficients(kind, positions, deltas[i]) for i, kind in enumerate(kinds)]
        numbers = torch.stack(columns, dim=1)
        fixed = tuple(numbers.new_tensor(self.config.fixed[_index(kind)]) for kind in kinds)
        vectors = {}
        for layer, row in zip(layers, numbers, strict=True):
            width = loras[0].layers[layer].shape[1]
            vectors[layer] = tuple(m.expand(width) for m in row)
        return Coefficients({layer: vectors.get(layer, fixed) for lora in loras for layer in lora.layers})

    def features(self, loras: Sequence[LoRA], layers: Sequence[str]) -> Tensor:
        """Return what the network knows of the deltas besides their position, (loras, layers, features)."""
        return delta_features(loras, layers, next(self.parameters()).device)

    def _coefficients(self, kind: InputKind, positions: Tensor, deltas: Tensor) -> Tensor:
        """Return one LoRA's coefficients (layers,), from features (layers, 12) and (layers, 8)."""
        place = torch.cat([positions, positions.new_full((len(positions), 1), _SIGN[kind])], dim=1)
        tokens = self.token(torch.cat([place, deltas], dim=1))
        mean = tokens.mean(0, keepdim=True).expand_as(tokens)
        gain, shift = self.mixed(torch.cat([tokens, mean], dim=1)).unbind(1)
        constant = self.config.initial[_index(kind)] + self.constant(place).squeeze(1)
        coefficients: Tensor = gain.exp() * (constant + shift)
        return coefficients


def kinds_of(loras: Sequence[LoRA]) -> list[InputKind]:
    """Return the kind of each LoRA.

    Two LoRAs are a content and a style. Of more, each is what "kind" in its metadata says; where one of them has no
    such entry, the first is the content and the others are styles.
    """
    stated = [lora.metadata.get("kind") for lora in loras]
    if len(loras) > 2 and set(stated) <= set(_SIGN):
        return [cast(InputKind, kind) for kind in stated]
    return ["content" if i == 0 else "style" for i in range(len(loras))]


def _index(kind: InputKind) -> int:
    """Return the index of a kind in the pairs (content, style) of the configuration."""
    return int(kind == "style")


def _zero(linear: nn.Linear) -> nn.Linear:
    """Return a layer whose output is zero before training."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
