"""Basis: N LoRAs with keys in each adapted layer, and the router that mixes them for an analogy.

In each layer the router's query q = P [E(a); E(a'); E(b)] meets the layer's keys k_i: e = softmax(q K^T / sqrt(d)), and
the layer's delta is dW = alpha / r sum_i e_i B_i A_i. E is a frozen encoder; P, the keys and the factors are learned.

Reference:
    "Spanning the Visual Analogy Space with a Weight Basis of LoRAs" (LoRWeB), ECCV 2026, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorarar.analogies.recipes import BasisConfig
from lorarar.lora import Coefficients, LoRA, LowRank, merge_exactly

_WITHOUT_KEYS = ("uniform", "own")
_OF_TASKS = ("task", "own")


class Basis(nn.Module):
    """N LoRAs of one rank, keys, and the router.

    Args:
        config: Sizes and kind of the router.
        shapes: Path of each adapted layer -> (out, in).
        features: Length of a query's input: the features of all images that the router sees, side by side.
        tasks: Number of transformations that routers of the kinds "task" and "own" know.

    Attributes:
        center, spread: Mean and deviation of each feature in training, (features,), which standardise the input. (The
            paper takes CLIP's features as they are.)

    Raises:
        ValueError: Each transformation should have a LoRA of its own, and their numbers differ.
    """

    center: Tensor
    spread: Tensor

    def __init__(
        self, config: BasisConfig, shapes: Mapping[str, tuple[int, int]], features: int, tasks: int = 0
    ) -> None:
        super().__init__()
        if config.router == "own" and config.count != tasks:
            raise ValueError(
                f"expected basis.count={tasks}, a LoRA for each transformation, found {config.count}: set it, or "
                "choose another basis.router"
            )
        self.config, self.shapes, self.features, self.tasks = config, dict(shapes), features, tasks
        layers, count, rank, width = len(shapes), config.count, config.rank, config.width
        self.down = nn.ParameterList(_kaiming(count, rank, columns) for _, columns in shapes.values())
        self.up = nn.ParameterList(torch.zeros(count, rows, rank) for rows, _ in shapes.values())
        if config.router not in _WITHOUT_KEYS:
            self.keys = nn.Parameter(torch.randn(layers, count, width))
        if config.router == "task":
            self.queries = nn.Parameter(torch.randn(tasks, layers, width))
        elif config.router not in _WITHOUT_KEYS:
            self.projection = nn.Parameter(_kaiming(layers, width, features))
        self.register_buffer("center", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))

    @property
    def scale(self) -> float:
        """Scale of every delta, alpha / r."""
        return self.config.alpha / self.config.rank

    def mix(self, features: Tensor, tasks: Tensor | None = None) -> Tensor:
        """Return the weights of the LoRAs, (n, layers, N).

        Args:
            features: Features of the images of n analogies, (n, images, width).
            tasks: Numbers of their transformations, (n,), for routers of the kinds "task" and "own".

        Raises:
            ValueError: The router needs the numbers of transformations, or the features have another length.
        """
        n, layers, count = len(features), len(self.shapes), self.config.count
        if self.config.router == "uniform":
            return features.new_full((n, layers, count), 1 / count)
        if self.config.router in _OF_TASKS:
            if tasks is None:
                raise ValueError(
                    "expected the transformation of each analogy, found none: this router knows no images; train one "
                    "with basis.router=images"
                )
            if self.config.router == "own":
                return F.one_hot(tasks, count).to(features)[:, None].expand(n, layers, count)
            queries = self.queries[tasks]
        else:
            if features[0].numel() != self.features:
                raise ValueError(
                    f"expected {self.features} features of an analogy, found {features[0].numel()}: use the encoder "
                    "that the basis was trained with"
                )
            standard = (features.flatten(1) - self.center) / self.spread
            queries = torch.einsum("ldf,nf->nld", self.projection, standard)
        products = torch.einsum("nld,lcd->nlc", queries, self.keys) / math.sqrt(self.config.width)
        return products.softmax(-1) if self.config.gate == "softmax" else products.tanh()

    def loras(self) -> list[LoRA]:
        """Return the N LoRAs of the basis."""
        paths = list(self.shapes)
        return [
            LoRA({path: LowRank(self.up[j][i], self.down[j][i], self.scale) for j, path in enumerate(paths)})
            for i in range(self.config.count)
        ]

    def coefficients(self, mix: Tensor) -> Coefficients:
        """Return a mix, (layers, N), as coefficients of the basis' LoRAs: one number for each in each layer."""
        return Coefficients({path: tuple(mix[j]) for j, path in enumerate(self.shapes)})

    def lora(self, mix: Tensor) -> LoRA:
        """Return the LoRA of a mix, (layers, N): exact, of rank N r, by concatenation of the factors."""
        return merge_exactly(self.loras(), self.coefficients(mix))


def _kaiming(*shape: int) -> Tensor:
    """Return weights uniform within 1 / sqrt(in) of 0, as torch's linear layers start: Kaiming's rule with a^2 = 5."""
    bound = 1 / math.sqrt(shape[-1])
    return torch.empty(shape).uniform_(-bound, bound)


@contextmanager
def mixed(denoiser: nn.Module, basis: Basis, mix: Tensor) -> Iterator[None]:
    """Adapt a denoiser by the basis, one mix to each share of the batch, until the context closes.

    The factors of all N LoRAs are applied once, side by side, and weighted between down and up: no delta is formed.

    Args:
        denoiser: The denoiser.
        basis: The basis.
        mix: Weights (n, layers, N). The batch is n, or a multiple of n in the same order, as with guidance.
    """
    with ExitStack() as stack:
        for j, path in enumerate(basis.shapes):
            down = basis.down[j].flatten(0, 1)
            up = basis.up[j].permute(1, 0, 2).flatten(1)
            weights = basis.scale * mix[:, j].repeat_interleave(basis.config.rank, dim=1)
            hook = _Mixed(down, up, weights)
            stack.callback(denoiser.get_submodule(path).register_forward_hook(hook).remove)
        yield


@dataclass(frozen=True, eq=False)
class _Mixed:
    """The basis of one layer as a forward hook.

    Attributes:
        down: All down factors, (N r, in).
        up: All up factors, (out, N r).
        weights: Weight of each rank for each share, (n, N r).
    """

    down: Tensor
    up: Tensor
    weights: Tensor

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Return the adapted output."""
        x = inputs[0]
        weights = self.weights.repeat(len(x) // len(self.weights), 1)
        middle = F.linear(x, self.down.to(x.dtype)) * weights.to(x.dtype).view(len(x), *[1] * (x.ndim - 2), -1)
        return output + F.linear(middle, self.up.to(x.dtype))
