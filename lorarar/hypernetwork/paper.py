"""The hypernetwork of LoRA.rar, as its authors released it, computed through the factors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorarar.lora import LoRA, check_same_shapes, label, projection
from lorarar.lowrank import LowRank
from lorarar.merging import Coefficients


@dataclass(frozen=True)
class PaperConfig:
    """What is needed to build the network.

    Args:
        widths: The `out` widths of the predicted layers, one input layer each; SDXL has (640, 1280).
        hidden: Neurons of the hidden layer.
        predicted: Projections whose coefficients are predicted.
        fixed: Coefficient of all other layers, for both LoRAs. The released code has 1 (the sum); a summary of the
            paper has simple averaging, 0.5.
    """

    widths: tuple[int, ...] = (640, 1280)
    hidden: int = 128
    predicted: tuple[str, ...] = ("to_q", "to_out")
    fixed: float = 1.0


class PaperHypernetwork(nn.Module):
    """(m_c[j], m_s[j]) = output(relu(input_out([dW_c[:, j]; dW_s[:, j]]))) for each column j of each predicted layer.

    The columns are the batch of one small MLP that all layers share; only its input layer depends on the width. There
    is no normalisation, no output activation and no layer embedding, so the answer depends on rank, alpha and the
    LoRAs' size.

    Args:
        config: Widths, hidden size, which layers are predicted, and the coefficient of the others.

    Raises:
        ValueError: There are no widths, or a number is less than 1.

    Reference:
        LoRA.rar, arXiv 2412.05148; layout of the authors' released weights.
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        if not config.widths or min(*config.widths, config.hidden) < 1:
            raise ValueError(f"expected at least one width, and widths and hidden of at least 1, found {config}")
        self.config = config
        self.input = nn.ModuleDict({str(width): nn.Linear(2 * width, config.hidden) for width in config.widths})
        self.output = nn.Linear(config.hidden, 2)

    def forward(self, loras: Sequence[LoRA]) -> Coefficients:
        """Predicts the coefficients of a content and a style LoRA.

        Args:
            loras: [content, style]. Layers that only one of them holds get the fixed coefficient, like all layers that
                are not predicted.

        Returns:
            Two vectors (in,) for each layer of either LoRA, in the network's dtype and on its device.

        Raises:
            ValueError: There are not two LoRAs, their shapes clash, no layer can be predicted, or a predicted layer's
                width is not among the network's.
        """
        content, style = self._two(loras)
        shared = [la for la in content.layers if la in style.layers and projection(la) in self.config.predicted]
        self._check_widths(shared, content, style)
        vectors: dict[str, tuple[Tensor, ...]] = {}
        for layers in alike(shared, content.layers, style.layers):
            m = self.columns([content.layers[la] for la in layers], [style.layers[la] for la in layers])
            vectors |= {layer: (m[i, :, 0], m[i, :, 1]) for i, layer in enumerate(layers)}
        every = {layer: f.shape[1] for lora in loras for layer, f in lora.layers.items()}
        return Coefficients({la: vectors.get(la) or self._constant(width) for la, width in every.items()})

    def columns(self, content: Sequence[LowRank], style: Sequence[LowRank]) -> Tensor:
        """The network on every column of layers of one shape.

        The first linear layer factors, so dW is never formed:
        W [dW_c; dW_s] = s_c (W_c B_c) A_c + s_s (W_s B_s) A_s, with W = [W_c, W_s].

        Args:
            content: The content LoRA's deltas (out, in), all of one rank.
            style: The style LoRA's deltas of the same layers, all of one rank.

        Returns:
            (layers, in, 2): m_c[j], m_s[j].
        """
        first = self.input.get_submodule(str(content[0].shape[0]))
        assert isinstance(first, nn.Linear)  # for the type checker
        w_c, w_s = first.weight.chunk(2, dim=1)
        hidden = _through(w_c, content) + _through(w_s, style) + first.bias[:, None]
        return torch.relu(hidden).mT @ self.output.weight.T + self.output.bias

    def _constant(self, width: int) -> tuple[Tensor, Tensor]:
        vector = self.output.weight.new_full((width,), self.config.fixed)
        return vector, vector

    def _two(self, loras: Sequence[LoRA]) -> tuple[LoRA, LoRA]:
        if len(loras) != 2:
            raise ValueError(f"the LoRA.rar network merges exactly two LoRAs, [content, style], found {len(loras)}")
        check_same_shapes(loras)
        return loras[0], loras[1]

    def _check_widths(self, layers: Sequence[str], content: LoRA, style: LoRA) -> None:
        names = f"{label(content, 0)} and {label(style, 1)}"
        if not layers:
            raise ValueError(
                f"{names} share no layer that the network predicts ({', '.join(self.config.predicted)}): "
                f"they have {len(content.layers)} and {len(style.layers)} layers; train them on attention layers"
            )
        found = {content.layers[layer].shape[0] for layer in layers}
        if not found <= set(self.config.widths):
            raise ValueError(
                f"the network was made for out widths {sorted(self.config.widths)}, {names} have {sorted(found)}: "
                f"use a network that was trained for their base model"
            )


def _through(weight: Tensor, deltas: Sequence[LowRank]) -> Tensor:
    """s (W B) A for deltas of one shape and rank: (hidden, out) -> (layers, hidden, in)."""
    b = torch.stack([d.B for d in deltas]).to(weight)
    a = torch.stack([d.A for d in deltas]).to(weight)
    scale = torch.tensor([d.scale for d in deltas], device=weight.device, dtype=weight.dtype)
    return scale[:, None, None] * (weight @ b) @ a


def alike(layers: Sequence[str], content: Mapping[str, LowRank], style: Mapping[str, LowRank]) -> Iterable[list[str]]:
    """The layers in groups of equal shape and ranks, which can be stacked."""
    groups: dict[object, list[str]] = {}
    for layer in layers:
        c, s = content[layer], style[layer]
        groups.setdefault((c.shape, c.rank, s.rank, c.A.dtype, s.A.dtype), []).append(layer)
    return groups.values()
