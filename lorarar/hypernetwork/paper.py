"""Paper network: the hypernetwork of LoRA.rar as its authors released it, computed through the factors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lorarar.lora import Coefficients, Layer, LoRA, LowRank, check_same_shapes, factorise, label, projection

# Hidden values, layers times hidden times in, that are computed at once: few enough for a CPU's cache.
_CPU_VALUES = 1 << 18
_DEVICE_VALUES = 1 << 26


class NothingPredictedError(ValueError):
    """Two LoRAs share no layer whose coefficients a network predicts."""


@dataclass(frozen=True)
class PaperConfig:
    """Configuration of the network.

    Attributes:
        widths: `out` widths of the predicted layers, with an input layer for each; SDXL has (640, 1280).
        hidden: Neurons of the hidden layer.
        predicted: Projections whose coefficients are predicted.
        fixed: Coefficient of all other layers, for both LoRAs. The released code has 1 (the sum); a summary of the
            paper has simple averaging, 0.5.
    """

    widths: tuple[int, ...] = (640, 1280)
    hidden: int = 128
    predicted: tuple[str, ...] = ("to_q", "to_out")
    fixed: float = 1.0


def sized_paper(config: PaperConfig, lora: LoRA) -> PaperConfig:
    """Return the configuration with the widths of a LoRA's predicted layers."""
    widths = {factors.shape[0] for layer, factors in lora.layers.items() if projection(layer) in config.predicted}
    return replace(config, widths=tuple(sorted(widths)))


class PaperHypernetwork(nn.Module):
    """Network of the coefficients m_c[j] and m_s[j] of each column j of each predicted layer.

        [m_c[j]; m_s[j]] = W_output relu(W [dW_c[:, j]; dW_s[:, j]] + b) + b_output

    W (hidden, 2 out) and b are the input layer for the layer's width. The columns are the batch of one small MLP that
    all layers share; only its input layer depends on the width. The network has neither a normalisation, nor an output
    activation, nor a layer embedding, so the coefficients depend on rank, alpha and the size of the deltas.

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
        """Return the layers whose coefficients are predicted: linear layers of its projections that both LoRAs hold."""
        return [layer for layer in linear_layers(loras) if projection(layer) in self.config.predicted]

    def forward(self, loras: Sequence[LoRA]) -> Coefficients:
        """Predict the coefficients of a content and a style LoRA.

        Args:
            loras: [content, style]. Layers that are not predicted get the fixed coefficient, among them layers that
                only one LoRA holds, convolutions, norms and biases. The delta of a predicted layer may be dense.

        Returns:
            For each layer of either LoRA two vectors (in,), or two numbers () where the coefficient is fixed, in the
            network's dtype and on its device.

        Raises:
            NothingPredictedError: The LoRAs share no layer that is predicted.
            ValueError: The number of LoRAs is not two, their shapes clash, or the width of a predicted layer is not
                among those of the network.
        """
        content, style = _content_and_style(loras)
        predicted = self.predicted(loras)
        self._check_widths(predicted, content, style)
        vectors: dict[str, tuple[Tensor, ...]] = {}
        for group in _same_layout(predicted, content.layers, style.layers):
            for layers in self._batches(group, content.layers[group[0]].shape[1]):
                m = self.columns([content.layers[la] for la in layers], [style.layers[la] for la in layers])
                vectors |= {layer: (m[i, 0], m[i, 1]) for i, layer in enumerate(layers)}
        fixed = self.output.weight.new_tensor(self.config.fixed)
        return Coefficients({la: vectors.get(la, (fixed, fixed)) for lora in loras for la in lora.layers})

    def columns(self, content: Sequence[Layer], style: Sequence[Layer]) -> Tensor:
        """Return the coefficients of every column of layers of one shape.

        The input layer factors, so that dW is never formed:
        `W [dW_c; dW_s] = [s_c W_c B_c, s_s W_s B_s] [A_c; A_s]`, with `W = [W_c, W_s]` and the scales s_c and s_s.

        Args:
            content: Deltas (out, in) of the content LoRA, all of one rank.
            style: Deltas of the same layers of the style LoRA, all of one rank.

        Returns:
            (layers, 2, in): m_c and m_s of each layer.
        """
        first = self.input.get_submodule(str(content[0].shape[0]))
        assert isinstance(first, nn.Linear)  # for the type checker
        deltas = [[factorise(delta) for delta in side] for side in (content, style)]
        up = [_up(weight, side) for weight, side in zip(first.weight.chunk(2, dim=1), deltas, strict=True)]
        down = [stack_factors([d.A for d in side], first.weight) for side in deltas]
        hidden = torch.baddbmm(first.bias[:, None], torch.cat(up, dim=2), torch.cat(down, dim=1)).relu_()
        return self.output.weight @ hidden + self.output.bias[:, None]

    def _batches(self, layers: list[str], width: int) -> Iterator[list[str]]:
        """Split layers into batches whose hidden values fit a CPU's cache or an accelerator's memory."""
        device = self.output.weight.device.type
        size = max(1, (_CPU_VALUES if device == "cpu" else _DEVICE_VALUES) // (self.config.hidden * width))
        return (layers[start : start + size] for start in range(0, len(layers), size))

    def _check_widths(self, layers: Sequence[str], content: LoRA, style: LoRA) -> None:
        names = f"{label(content, 0)} and {label(style, 1)}"
        if not layers:
            raise NothingPredictedError(
                f"expected a layer that the network predicts ({', '.join(self.config.predicted)}), found none among "
                f"the {len(content.layers)} and {len(style.layers)} layers of {names}: train them on attention layers"
            )
        widths = {content.layers[layer].shape[0] for layer in layers}
        if not widths <= set(self.config.widths):
            raise ValueError(
                f"expected layers of the out widths {sorted(self.config.widths)}, found {sorted(widths)} in {names}: "
                f"use a network that was trained for their base model"
            )


def _content_and_style(loras: Sequence[LoRA]) -> tuple[LoRA, LoRA]:
    if len(loras) != 2:
        raise ValueError(f"expected two LoRAs for the LoRA.rar network, [content, style], found {len(loras)}: give two")
    check_same_shapes(loras)
    return loras[0], loras[1]


def _up(weight: Tensor, deltas: Sequence[LowRank]) -> Tensor:
    """Return s W B (layers, hidden, rank) for W (hidden, out) and deltas of one shape and rank."""
    scale = weight.new_tensor([d.scale for d in deltas])
    return scale[:, None, None] * (weight @ stack_factors([d.B for d in deltas], weight))


def stack_factors(factors: Sequence[Tensor], like: Tensor) -> Tensor:
    """Return factors of one shape as one tensor (layers, ..), with the dtype and on the device of `like`."""
    if len(factors) == 1:
        return factors[0].to(like)[None]
    return torch.stack([factor.to(like) for factor in factors])


def linear_layers(loras: Sequence[LoRA]) -> list[str]:
    """Return the layers that all the LoRAs hold and that are weights of linear modules."""
    first, *others = [lora.layers for lora in loras]
    shared = [layer for layer in first if all(layer in layers for layers in others)]
    return [layer for layer in shared if len(first[layer].shape) == 2 and not first[layer].kernel]


def _same_layout(
    layers: Sequence[str], content: Mapping[str, Layer], style: Mapping[str, Layer]
) -> Iterable[list[str]]:
    """Return the layers in groups of equal shape and ranks, whose factors can be stacked."""
    groups: dict[object, list[str]] = {}
    for layer in layers:
        layout = (content[layer].shape, _layout(content[layer]), _layout(style[layer]))
        groups.setdefault(layout, []).append(layer)
    return groups.values()


def _layout(delta: Layer) -> tuple[int, torch.dtype]:
    """Return rank and dtype of the factors; a dense delta has those that `factorise` gives it."""
    if isinstance(delta, LowRank):
        return delta.rank, delta.A.dtype
    return min(delta.shape), delta.tensor.dtype
