"""Units: the trained parts of many LoRAs of one recipe, stacked, so that one batch trains all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from lorarar.diffusion import Backbone, Stack, StackedFactors, adapted_by
from lorarar.formats.algorithms import Scaling, layer_deltas
from lorarar.lora import LoRA
from lorarar.training.algorithms import TRAINED
from lorarar.training.batches import step_generator
from lorarar.training.layers import TrainedLayer, trained_layers
from lorarar.training.settings import Recipe

_FIRST = 3  # problems in an error message


class Units(nn.Module):
    """Parts of n LoRAs.

    Args:
        backbone: The base.
        recipe: How each LoRA is trained.
        names: Names of the LoRAs; initial parts and dropout depend on them.

    Attributes:
        layers: The layers that are trained.
        parts: For each layer its parts by their role in files, each (n, ..).

    Raises:
        ValueError: The base lacks the layers, or the algorithm cannot train one of them.
    """

    def __init__(self, backbone: Backbone, recipe: Recipe, names: Sequence[str]) -> None:
        super().__init__()
        self.recipe, self.names = recipe, list(names)
        self._algorithm = TRAINED[recipe.algorithm]
        self.layers = trained_layers(backbone, recipe)
        check_layers(self.layers, recipe)
        self.parts = [self._initial(layer) for layer in self.layers]
        self._registered = nn.ModuleList(self.parts)
        self.scales = {wide: self._scales(wide) for wide in (False, True)}

    def _initial(self, layer: TrainedLayer) -> nn.ParameterDict:
        """Return the initial parts of a layer: a function of the recipe's seed, the LoRA's name and the layer."""
        units = [
            self._algorithm.initial(layer, self.recipe, step_generator(self.recipe.seed, name, layer.path))
            for name in self.names
        ]
        device = layer.module.weight.device
        return nn.ParameterDict({role: torch.stack([unit[role] for unit in units]).to(device) for role in units[0]})

    def _scales(self, wide: bool) -> float | Tensor:
        """Return one number where the LoRAs agree, else (n, 1, 1)."""
        scales = [self.recipe.scale(name, convolution=wide) for name in self.names]
        if len(set(scales)) == 1:
            return float(scales[0])
        return torch.tensor(scales, dtype=torch.float32).view(-1, 1, 1)

    def ordered(self) -> list[nn.Parameter]:
        """Return the parameters, role by role."""
        roles = dict.fromkeys(role for parts in self.parts for role in parts)
        return [parts[role] for role in roles for parts in self.parts if role in parts]

    def of_model(self, encoders: bool) -> list[nn.Parameter]:
        """Return the parameters of the text encoders' layers, or those of the denoiser's."""
        chosen = [parts for layer, parts in zip(self.layers, self.parts, strict=True) if bool(layer.model) == encoders]
        return [parameter for parts in chosen for parameter in parts.values()]

    @contextmanager
    def adapted(self, backbone: Backbone, step: int) -> Iterator[None]:
        """Adapt the base, one LoRA to each share of the batch, until the context closes.

        Args:
            step: Number of the step, on which dropout depends.
        """
        stacks: dict[str, dict[str, Stack]] = {}
        # Deltas are computed in fp32, whatever type a mixed precision chooses for the base.
        with torch.autocast(next(self.parameters()).device.type, enabled=False):
            dropped = self._dropped(self._stacks(), step)
        for layer, stack in zip(self.layers, dropped, strict=True):
            stacks.setdefault(layer.model, {})[layer.place] = stack
        with ExitStack() as contexts:
            for model, deltas in stacks.items():
                contexts.enter_context(adapted_by(backbone.encoders[model] if model else backbone.denoiser, deltas))
            yield

    def _stacks(self) -> list[Stack]:
        stacks = []
        for layer, parts in zip(self.layers, self.parts, strict=True):
            scale = self.scales[layer.is_wide]
            scale = scale.to(layer.module.weight.device) if isinstance(scale, Tensor) else scale
            stacks.append(self._algorithm.stack(layer, self.recipe, dict(parts.items()), scale))
        return stacks

    def _dropped(self, stacks: Sequence[Stack], step: int) -> Sequence[Stack]:
        """Leave out ranks, rows, layers and numbers: for each LoRA a function of the seed, its name and the step."""
        stacks = self._masked(stacks, step)
        if not self.recipe.network_dropout:
            return stacks
        return [
            replace(stack, dropout=partial(self._drop_numbers, f"{step} {layer.path}"))
            if isinstance(stack, StackedFactors)
            else stack
            for stack, layer in zip(stacks, self.layers, strict=True)
        ]

    def _drop_numbers(self, place: str, middle: Tensor) -> Tensor:
        """Leave out numbers between the factors, (n, ..), and scale the others up, the same in every call."""
        share = self.recipe.network_dropout
        draws = [
            torch.rand(middle.shape[1:], generator=step_generator(self.recipe.seed, name, "network_dropout", place))
            for name in self.names
        ]
        return middle * (torch.stack(draws) >= share).to(middle) / (1 - share)

    def _masked(self, stacks: Sequence[Stack], step: int) -> Sequence[Stack]:
        ranks, modules = self.recipe.rank_dropout, self.recipe.module_dropout
        if not (ranks or modules):
            return stacks
        sizes = [stack.width + 1 for stack in stacks]
        draws = torch.stack(
            [
                torch.rand(sum(sizes), generator=step_generator(self.recipe.seed, name, "dropout", step))
                for name in self.names
            ]
        )
        dropped = []
        for stack, layer, numbers in zip(stacks, self.layers, draws.split(sizes, dim=1), strict=True):
            mask = (numbers[:, 1:] >= ranks) & (numbers[:, :1] >= modules)
            dropped.append(stack.masked(mask.to(layer.module.weight.device, torch.float32)))
        return dropped

    def unit(self, number: int) -> dict[str, dict[str, Tensor]]:
        """Return the parts of one LoRA as its file holds them: layer -> role -> tensor, on the CPU."""
        name, unit = self.names[number], {}
        for layer, parts in zip(self.layers, self.parts, strict=True):
            scale = self.recipe.scale(name, convolution=layer.is_wide)
            tensors = {role: stacked[number].detach().cpu().clone() for role, stacked in parts.items()}
            unit[layer.path] = tensors | self._algorithm.constants(layer, self.recipe, scale)
        return unit

    def lora(self, number: int) -> LoRA:
        """Return one LoRA with the deltas that its file has."""
        layers = {}
        for layer, parts in zip(self.layers, self.unit(number).values(), strict=True):
            weight = layer.module.weight.detach()
            for name, delta in layer_deltas(parts, Scaling(), weight.float().cpu).items():
                layers[f"{layer.path}.{name}" if name else layer.path] = delta
        return LoRA(layers, name=self.names[number])


def check_layers(layers: Sequence[TrainedLayer], recipe: Recipe) -> None:
    """Check that a recipe's algorithm and ranks fit every layer.

    Raises:
        ValueError: They do not; the message names the first layers.
    """
    problem = TRAINED[recipe.algorithm].problem
    problems = [text for layer in layers if (text := problem(layer, recipe))]
    if problems:
        raise ValueError(
            f"expected a recipe that fits all {len(layers)} layers, found {len(problems)} that it does not fit, first "
            f"{'; '.join(problems[:_FIRST])}"
        )


def gradients_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Return the gradients that are there."""
    return [p.grad for p in parameters if p.grad is not None]


def clip_each(parameters: Sequence[nn.Parameter], limit: float) -> None:
    """Clip the norm of each LoRA's gradient by itself, as if the LoRA were trained alone.

    Args:
        parameters: Tensors (n, ..) with gradients; index i of all of them belongs to LoRA i.
        limit: Largest norm.
    """
    gradients = gradients_of(parameters)
    norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
    factors = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))


def unit_parts_are_finite(unit: Mapping[str, Mapping[str, Tensor]]) -> bool:
    """Tell whether all parts of a LoRA are finite."""
    return all(bool(tensor.isfinite().all()) for parts in unit.values() for tensor in parts.values())
