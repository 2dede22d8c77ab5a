"""Released step: a training step of LoRA.rar as its authors' release computes it, written from its description.

The deltas of both LoRAs are dense and kept for as long as the pair is trained on. In a merged pass every adapted
layer's forward runs the hypernetwork on the columns of its own deltas and forms the merged delta. A step takes four
passes through the model, one after the other: merged on the content's images, the content LoRA alone on them, merged on
the style's images, the style LoRA alone on them. The release's faults (one prompt for every style, a getter that
changes the coefficients which the loss reads) are left out: value and gradient are those of
`lorarar.training.merger_training.MergerTraining.losses`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorarar.diffusion import Backbone
from lorarar.hypernetwork import PaperHypernetwork
from lorarar.lora import Coefficients, LoRA
from lorarar.mergers import LossWeights, fidelity_loss, similarity
from lorarar.training import NoisyBatch, PairBatch

CONTENT, STYLE = 0, 1  # index of a LoRA in a pair


class DensePair:
    """A content and a style LoRA as dense deltas beside the model's weights, and the hypernetwork that merges them.

    Args:
        model: The frozen denoiser; every layer of the LoRAs is one of its linear modules.
        loras: [content, style], of the same low-rank linear layers.
        network: Predicts the coefficients from the columns of the dense deltas.
    """

    def __init__(self, model: nn.Module, loras: Sequence[LoRA], network: PaperHypernetwork) -> None:
        content, style = loras
        self.network, self.predicted = network, frozenset(network.predicted(loras))
        self.modules = {layer: model.get_submodule(layer) for layer in content.layers}
        self.deltas = {
            layer: tuple(lora.layers[layer].delta().to(module.weight) for lora in (content, style))  # type: ignore[arg-type]
            for layer, module in self.modules.items()
        }
        self._coefficients: dict[str, tuple[Tensor, ...]] = {}

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Add dW_c diag(m_c) + dW_s diag(m_s) to every layer of the model until the context closes."""
        with self._hooked(self._merge):
            yield

    @contextmanager
    def alone(self, side: int) -> Iterator[None]:
        """Add one LoRA, `CONTENT` or `STYLE`, to the model until the context closes."""
        with self._hooked(lambda layer: self.deltas[layer][side]):
            yield

    def coefficients(self) -> Coefficients:
        """Return what the last merged pass predicted."""
        return Coefficients(dict(self._coefficients))

    def _merge(self, layer: str) -> Tensor:
        """Return the merged delta (out, in), with the network run on the layer's columns."""
        content, style = self.deltas[layer]
        m_c, m_s = self._predict(layer, content, style)
        self._coefficients[layer] = (m_c, m_s)
        return (content * m_c + style * m_s).to(content.dtype)

    def _predict(self, layer: str, content: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network.output
        if layer not in self.predicted:
            fixed = output.weight.new_tensor(self.network.config.fixed)
            return fixed, fixed
        first = self.network.input.get_submodule(str(len(content)))
        hidden = F.relu(first(torch.cat([content, style]).T.to(output.weight)))  # (in, hidden)
        m = output(hidden)
        return m[:, 0], m[:, 1]

    @contextmanager
    def _hooked(self, delta: Callable[[str], Tensor]) -> Iterator[None]:
        with ExitStack() as stack:
            for layer, module in self.modules.items():
                stack.callback(module.register_forward_hook(_adding(layer, delta)).remove)
            yield


def released_losses(
    backbone: Backbone, pairs: Sequence[PairBatch], dense: Sequence[DensePair], weights: LossWeights, *, backward: bool
) -> dict[str, float]:
    """Return the terms of the objective as `MergerTraining.losses` does, each a mean over pairs.

    Pairs come one after the other: the release trains on one at a time, so that the gradients of several accumulate.

    Args:
        dense: The pairs' LoRAs, in the order of ``pairs``.
        weights: Loss weights of the paper's own terms; the release has no term on the combined prompt.
        backward: Whether gradients are left on the networks.
    """
    means: dict[str, float] = {}
    for pair, deltas in zip(pairs, dense, strict=True):
        terms = _terms(backbone, pair, deltas, weights)
        loss = torch.stack([weights.of(name) * term for name, term in terms.items()]).sum()
        if backward:
            with deltas.merged():  # gradient checkpointing runs the forward again
                (loss / len(pairs)).backward()
        for name, term in {"loss": loss, **terms}.items():
            means[name] = means.get(name, 0.0) + float(term.detach()) / len(pairs)
    return means


def _terms(backbone: Backbone, pair: PairBatch, deltas: DensePair, weights: LossWeights) -> dict[str, Tensor]:
    """Run four passes: merged and teacher on the content's images, merged and teacher on the style's."""
    # The benchmark's pairs have images of both concepts.
    content, style = cast(NoisyBatch, pair.content), cast(NoisyBatch, pair.style)
    terms = {}
    for name, batch, side in (("content", content, CONTENT), ("style", style, STYLE)):
        with deltas.merged():
            merged = _predict(backbone, batch)
        with deltas.alone(side), torch.no_grad():
            target = _predict(backbone, batch)
        terms[name] = fidelity_loss(merged, target)
    return {**terms, "similarity": similarity(deltas.coefficients(), weights.kind)}


def _predict(backbone: Backbone, batch: NoisyBatch) -> Tensor:
    return backbone.predict(batch.noisy, batch.timesteps, batch.conditioning)


def _adding(layer: str, delta: Callable[[str], Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    return lambda module, inputs, output: output + F.linear(inputs[0], delta(layer).to(inputs[0].dtype))
