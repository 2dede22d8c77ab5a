"""Our hypernetwork: a constant for each layer, and around it what a column's own geometry tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorarar.dense import factored
from lorarar.hypernetwork.paper import alike, linear_layers
from lorarar.lora import Layer, LoRA, check_same_shapes
from lorarar.merging import Coefficients

_COLUMN, _LAYER = 4, 3  # features of a column and of a layer
_TINY = 1e-12


@dataclass(frozen=True)
class ResidualConfig:
    """What is needed to build the network.

    Args:
        layers: Paths of the layers that it predicts, each with a constant and an embedding of its own.
        embedding: Width of a layer's embedding.
        hidden: Neurons of the two hidden layers.
        initial: Coefficient of the content and of the style LoRA in these layers before training.
        fixed: The same in all other layers.
    """

    layers: tuple[str, ...]
    embedding: int = 16
    hidden: int = 64
    initial: tuple[float, float] = (0.75, 0.75)
    fixed: tuple[float, float] = (1.0, 1.0)


class ResidualHypernetwork(nn.Module):
    """(m_c[j], m_s[j]) = constant_l + mlp(features of column j, embedding_l) for column j of layer l.

    The features are lengths and angles of dW's columns, so they do not depend on the layer's width, on rank, or on how
    a delta is factored; they do depend on its strength, which differs between LoRAs. The last layer starts at zero:
    training starts from the constants.

    Args:
        config: Layers and sizes.

    Raises:
        ValueError: There are no layers, or one is named twice.
    """

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        if not config.layers or len(set(config.layers)) < len(config.layers):
            raise ValueError(f"expected one or more distinct layers, found {len(config.layers)}")
        self.config = config
        self.index = {layer: i for i, layer in enumerate(config.layers)}
        self.constants = nn.Parameter(torch.tensor([config.initial] * len(config.layers)))
        self.embedding = nn.Embedding(len(config.layers), config.embedding)
        last = nn.Linear(config.hidden, 2)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(
            nn.Linear(_COLUMN + 2 * _LAYER + config.embedding, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.SiLU(),
            last,
        )

    def predicted(self, loras: Sequence[LoRA]) -> list[str]:
        """The layers whose coefficients the network predicts: linear ones that it knows and both LoRAs have."""
        return [layer for layer in linear_layers(loras) if layer in self.index]

    def forward(self, loras: Sequence[LoRA]) -> Coefficients:
        """Predicts the coefficients of a content and a style LoRA.

        Args:
            loras: [content, style]. Layers that the network does not know, or that one of the two lacks, get the
                fixed coefficients, and so do convolutions, norms and biases. A predicted layer's delta may be dense.

        Returns:
            For each layer of either LoRA two vectors (in,), or two numbers () where the coefficients are fixed.

        Raises:
            ValueError: There are not two LoRAs, their shapes clash, or they share no layer that the network knows.
        """
        if len(loras) != 2:
            raise ValueError(f"the network merges exactly two LoRAs, [content, style], found {len(loras)}")
        check_same_shapes(loras)
        content, style = loras[0].layers, loras[1].layers
        shared = self.predicted(loras)
        if not shared:
            raise ValueError(
                f"expected layers such as {self.config.layers[0]}, found {list(content)[:2]}: "
                "the network was trained for another base model; use one that was trained for this one"
            )
        groups = list(alike(shared, content, style))
        features = [_features([content[la] for la in g], [style[la] for la in g]) for g in groups]
        pair = torch.cat([f[:, 0, -_LAYER:] for f in features]).mean(0)  # the layer's features, over all layers
        vectors: dict[str, tuple[Tensor, ...]] = {}
        for layers, feature in zip(groups, features, strict=True):
            m = self._columns(layers, feature, pair)
            vectors |= {layer: (m[i, :, 0], m[i, :, 1]) for i, layer in enumerate(layers)}
        fixed = tuple(self.constants.new_tensor(value) for value in self.config.fixed)
        return Coefficients({la: vectors.get(la, fixed) for lora in loras for la in lora.layers})

    def _columns(self, layers: Sequence[str], features: Tensor, pair: Tensor) -> Tensor:
        """(layers, in, 7) features of one shape's layers to (layers, in, 2) coefficients."""
        rows = torch.tensor([self.index[layer] for layer in layers], device=self.constants.device)
        columns = features.shape[1]
        embedded = self.embedding(rows)[:, None].expand(-1, columns, -1)
        inputs = torch.cat([features, pair.expand(len(layers), columns, -1), embedded], dim=-1)
        correction: Tensor = self.mlp(inputs)
        return self.constants[rows][:, None] + correction


def _features(content: Sequence[Layer], style: Sequence[Layer]) -> Tensor:
    """Lengths and angles of the columns of layers of one shape, through the factors: (layers, in, 7).

    For column j: log of its length in each LoRA over that LoRA's root mean square in the layer, the log ratio of the
    two lengths, the cosine between them; for the layer: log of each delta's root mean square entry over 0.01, and the
    cosine between the deltas.
    """
    a_c, b_c = _stacked(content)
    a_s, b_s = _stacked(style)
    square_c = (a_c * (b_c.mT @ b_c @ a_c)).sum(1).clamp(min=0) + _TINY
    square_s = (a_s * (b_s.mT @ b_s @ a_s)).sum(1).clamp(min=0) + _TINY
    dots = (a_c * (b_c.mT @ b_s @ a_s)).sum(1)
    total_c, total_s = square_c.mean(1, keepdim=True), square_s.mean(1, keepdim=True)
    columns = [
        (square_c / total_c).log() / 2,
        (square_s / total_s).log() / 2,
        (square_c / square_s).log() / 2,
        dots / (square_c * square_s).sqrt(),
    ]
    usual = 1e-4 * b_c.shape[1]  # squared length of a column whose entries are 0.01
    layer = [
        (total_c / usual).log() / 2,
        (total_s / usual).log() / 2,
        dots.mean(1, keepdim=True) / (total_c * total_s).sqrt(),
    ]
    stacked = torch.stack([*columns, *(x.expand_as(dots) for x in layer)], dim=-1)
    return stacked.clamp(-4, 4)


def _stacked(deltas: Sequence[Layer]) -> tuple[Tensor, Tensor]:
    """A (layers, rank, in), with the scale in it, and B (layers, out, rank), float32."""
    thin = [factored(delta) for delta in deltas]
    scale = torch.tensor([d.scale for d in thin], device=thin[0].A.device)
    down = torch.stack([d.A for d in thin]).float()
    return down * scale[:, None, None], torch.stack([d.B for d in thin]).float()
