"""The hypernetwork of LoRA.rar, as its authors released it, computed through the factors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorarar.lora import Coefficients, Layer, LoRA, LowRank, check_same_shapes, factorise, label, projection

# Hidden values, (layers, hidden, in), that are computed at once.
_CPU_VALUES = 1 << 18
_DEVICE_VALUES = 1 << 26


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

    def predicted(self, loras: Sequence[LoRA]) -> list[str]:
        """The layers whose coefficients the network predicts: linear ones of the right projections that both have."""
        shared = linear_layers(loras)
        return [layer for layer in shared if projection(layer) in self.config.predicted]

    def forward(self, loras: Sequence[LoRA]) -> Coefficients:
        """Predicts the coefficients of a content and a style LoRA.

        Args:
            loras: [content, style]. Layers that only one of them holds, convolutions, norms and biases get the fixed
                coefficient, like all layers that are not predicted. A predicted layer's delta may be dense.

        Returns:
            For each layer of either LoRA two vectors (in,), or two numbers () where the coefficient is fixed, in the
            network's dtype and on its device.

        Raises:
            ValueError: There are not two LoRAs, their shapes clash, no layer can be predicted, or a predicted layer's
                width is not among the network's.
        """
        content, style = self._two(loras)
        predicted = self.predicted(loras)
        self._check_widths(predicted, content, style)
        vectors: dict[str, tuple[Tensor, ...]] = {}
        for group in alike(predicted, content.layers, style.layers):
            for layers in self._batches(group, content.layers[group[0]].shape[1]):
                m = self.columns([content.layers[la] for la in layers], [style.layers[la] for la in layers])
                vectors |= {layer: (m[i, 0], m[i, 1]) for i, layer in enumerate(layers)}
        fixed = self.output.weight.new_tensor(self.config.fixed)
        return Coefficients({la: vectors.get(la, (fixed, fixed)) for lora in loras for la in lora.layers})

    def columns(self, content: Sequence[Layer], style: Sequence[Layer]) -> Tensor:
        """The network on every column of layers of one shape.

        The first linear layer factors, so dW is never formed:
        W [dW_c; dW_s] = [s_c W_c B_c, s_s W_s B_s] [A_c; A_s], with W = [W_c, W_s].

        Args:
            content: The content LoRA's deltas (out, in), all of one rank.
            style: The style LoRA's deltas of the same layers, all of one rank.

        Returns:
            (layers, 2, in): m_c[j] and m_s[j].
        """
        first = self.input.get_submodule(str(content[0].shape[0]))
        assert isinstance(first, nn.Linear)  # for the type checker
        deltas = [[factorise(delta) for delta in side] for side in (content, style)]
        up = [_up(weight, side) for weight, side in zip(first.weight.chunk(2, dim=1), deltas, strict=True)]
        down = [stacked([d.A for d in side], first.weight) for side in deltas]
        hidden = torch.baddbmm(first.bias[:, None], torch.cat(up, dim=2), torch.cat(down, dim=1)).relu_()
        return self.output.weight @ hidden + self.output.bias[:, None]

    def _batches(self, layers: list[str], width: int) -> Iterator[list[str]]:
        """Parts of a group whose hidden values stay small: in the cache of a CPU, in the memory of an accelerator."""
        device = self.output.weight.device.type
        size = max(1, (_CPU_VALUES if device == "cpu" else _DEVICE_VALUES) // (self.config.hidden * width))
        return (layers[start : start + size] for start in range(0, len(layers), size))

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


def _up(weight: Tensor, deltas: Sequence[LowRank]) -> Tensor:
    """s W B for deltas of one shape and rank: (hidden, out) -> (layers, hidden, rank)."""
    scale = weight.new_tensor([d.scale for d in deltas])
    return scale[:, None, None] * (weight @ stacked([d.B for d in deltas], weight))


def stacked(factors: Sequence[Tensor], like: Tensor) -> Tensor:
    """Factors of one shape as one tensor, (layers, ..), with the dtype and on the device of another."""
    if len(factors) == 1:
        return factors[0].to(like)[None]
    return torch.stack([factor.to(like) for factor in factors])


def linear_layers(loras: Sequence[LoRA]) -> list[str]:
    """The layers that all the LoRAs hold and that belong to linear modules' weights."""
    first, *others = [lora.layers for lora in loras]
    shared = [la for la in first if all(la in layers for layers in others)]
    return [la for la in shared if len(first[la].shape) == 2 and not first[la].kernel]


def alike(layers: Sequence[str], content: Mapping[str, Layer], style: Mapping[str, Layer]) -> Iterable[list[str]]:
    """The layers in groups of equal shape and ranks, which can be stacked."""
    groups: dict[object, list[str]] = {}
    for layer in layers:
        c, s = content[layer], style[layer]
        groups.setdefault((c.shape, _layout(c), _layout(s)), []).append(layer)
    return groups.values()


def _layout(delta: Layer) -> tuple[int, torch.dtype]:
    """Rank and dtype of the factors; a dense delta's are those of `factorise`."""
    if isinstance(delta, LowRank):
        return delta.rank, delta.A.dtype
    return min(delta.shape), delta.tensor.dtype
