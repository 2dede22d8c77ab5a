"""LoRAs in a frozen model: temporary forward hooks, one LoRA or one for each share of the batch.

The hooks add `scale (x A^T) B^T` to the output of each adapted linear layer, and the corresponding terms to
convolutions, norms and biases. Nothing is copied into the model. Gradients flow to the factors and to whatever they
were computed from (coefficients, a hypernetwork).

Gradient checkpointing runs the forward again during backward. Keep the context open until backward has returned; with
Lightning that takes manual optimisation, because automatic optimisation runs backward after `training_step` returns. If
the context has closed, torch raises CheckpointError; if another LoRA of the same rank has taken its place, the
gradients are silently wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorarar.diffusion.stacks import Stack, StackedFactors, check_batch, scaled
from lorarar.lora import Layer, LoRA, LowRank, is_text_encoder, label

_FIRST = 3  # problems in an error message


@contextmanager
def adapted(model: nn.Module, lora: LoRA | Sequence[LoRA | None]) -> Iterator[None]:
    """Add one LoRA to a model, or one to each share of the batch, until the context closes.

    Args:
        model: The denoiser (UNet or transformer) or a text encoder; its modules are named as in the LoRA's layers.
            Linear modules, convolutions of one group, layer norms and group norms can be adapted.
        lora: One LoRA for the whole batch, or a sequence of n: the batch (first dimension of every adapted layer's
            input) then falls into n equal shares in order, one LoRA each, None meaning the base alone. Ranks and layer
            sets may differ. Mind classifier-free guidance: pipelines stack [unconditional, conditional] along the
            batch.

    Yields:
        Nothing; the model is changed in place and restored on exit, also after an exception.

    Raises:
        ValueError: The model lacks a layer, or the layer is of another kind or shape; a LoRA holds layers of a text
            encoder; the sequence is empty; in the forward pass, the batch does not divide by n.
    """
    shares = [lora] if isinstance(lora, LoRA) else list(lora)
    if not shares:
        raise ValueError("expected at least one LoRA, found an empty sequence: give a LoRA, or None for the base alone")
    modules = _modules(model, shares)
    with ExitStack() as stack:
        for layer, module in modules.items():
            deltas = [None if lora is None else lora.layers.get(layer) for lora in shares]
            stack.callback(module.register_forward_hook(_hook(layer, module, deltas)).remove)
        yield


@contextmanager
def adapted_by(model: nn.Module, stacks: Mapping[str, Stack]) -> Iterator[None]:
    """Add stacked deltas to a model's linear layers and convolutions, by path, until the context closes."""
    with ExitStack() as stack:
        for path, deltas in stacks.items():
            stack.callback(model.get_submodule(path).register_forward_hook(deltas).remove)
        yield


@contextmanager
def adapted_by_choice(model: nn.Module, loras: Sequence[LoRA]) -> Iterator[None]:
    """Add to each layer's output, image by image, the delta that moves it further, until the context closes.

    The delta with the largest divergence wins; see `lorarar.mergers.methods.kl_choice`. Norms, biases and layers that
    one LoRA alone holds are added without a choice.

    Args:
        model: As for `adapted`.
        loras: The LoRAs to choose from.

    Raises:
        ValueError: As `adapted`, for each LoRA.
    """
    with ExitStack() as stack:
        for layer, module in _modules(model, loras).items():
            terms = [_placed_term(layer, module, lora.layers[layer]) for lora in loras if layer in lora.layers]
            choice = _Choice(terms, among=not _is_bias(layer) and isinstance(module, nn.Linear | nn.Conv2d))
            stack.callback(module.register_forward_hook(choice).remove)
        yield


@dataclass(frozen=True, eq=False)
class _Choice:
    """The terms of one module's output, as functions of the input, of which each image gets one, or all."""

    terms: Sequence[Callable[[Tensor], Tensor]]
    among: bool

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Return the adapted output, as a forward hook."""
        added = torch.stack([term(inputs[0]) for term in self.terms])
        if not self.among or len(added) == 1:
            return output + added.sum(0)
        channels = 1 if isinstance(module, nn.Conv2d) else -1
        base = output.float().log_softmax(channels)
        moved = (output + added).float().log_softmax(channels if channels < 0 else channels + 1)
        divergence = (base.exp() * (base - moved)).flatten(2).sum(2)  # (n, batch); positions are as many for all
        return output + added[divergence.argmax(0), torch.arange(len(output), device=output.device)]


@dataclass(frozen=True, eq=False)
class _EachShare:
    """The terms of n shares for one module's output, as functions of the input; None adds nothing."""

    terms: Sequence[Callable[[Tensor], Tensor] | None]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Return the adapted output, as a forward hook: the batch is the first dimension of input and output."""
        x, n = inputs[0], len(self.terms)
        check_batch(x, n)
        shares = zip(x.chunk(n), output.chunk(n), self.terms, strict=True)
        return torch.cat([y if term is None else y + term(part) for part, y, term in shares])


def _hook(layer: str, module: nn.Module, deltas: Sequence[Layer | None]) -> StackedFactors | _EachShare:
    """Return a hook of stacked factors if a linear module has low-rank deltas only, else one of a term per share."""
    factors = [delta if isinstance(delta, LowRank) else None for delta in deltas]
    only_factors = all(delta is None or isinstance(delta, LowRank) for delta in deltas)
    if isinstance(module, nn.Linear) and only_factors:
        return _stack(module, factors)
    return _EachShare([None if delta is None else _placed_term(layer, module, delta) for delta in deltas])


def _stack(linear: nn.Linear, factors: Sequence[LowRank | None]) -> StackedFactors:
    """Zero-pad the shares' factors to the largest rank and stack them; a share without the layer is all zeros."""
    present = [f for f in factors if f is not None]
    # A quantised layer's weight has an integer dtype; the hook then casts to the input's.
    dtype = linear.weight.dtype if linear.weight.is_floating_point() else present[0].A.dtype
    device, rank = linear.weight.device, max(f.rank for f in present)
    zero_a = torch.zeros(rank, linear.in_features, device=device, dtype=dtype)
    zero_b = torch.zeros(linear.out_features, rank, device=device, dtype=dtype)
    a = [zero_a if f is None else _padded(f.A.to(device, dtype), rank, 0) for f in factors]
    b = [zero_b if f is None else _padded(f.B.to(device, dtype), rank, 1) for f in factors]
    return StackedFactors(torch.stack(a), torch.stack(b), _scale(factors, device))


def _padded(factor: Tensor, rank: int, dimension: int) -> Tensor:
    """Return the factor with zeros up to the rank, or unchanged where it has that rank."""
    missing = rank - factor.shape[dimension]
    if not missing:
        return factor
    return F.pad(factor, (0, 0, 0, missing) if dimension == 0 else (0, missing))


def _scale(factors: Sequence[LowRank | None], device: torch.device) -> float | Tensor:
    """Return one number where the shares agree, else (n, 1, 1); the scale of a share of zeros has no effect."""
    present = {f.scale for f in factors if f is not None}
    if len(present) == 1:
        return float(present.pop())
    scales = [0.0 if f is None else f.scale for f in factors]
    return torch.tensor(scales, device=device, dtype=torch.float32).view(-1, 1, 1)


def _placed_term(layer: str, module: nn.Module, delta: Layer) -> Callable[[Tensor], Tensor]:
    """Return what a delta adds to the module's output, with the delta on the module's device and in its dtype."""
    weight = module.weight
    assert isinstance(weight, Tensor)  # for the type checker: _shape has checked it
    return _term(layer, module, delta.to(weight.device, weight.dtype if weight.is_floating_point() else None))


def _term(layer: str, module: nn.Module, delta: Layer) -> Callable[[Tensor], Tensor]:
    """Return what a delta adds to the module's output, as a function of the input."""
    if isinstance(delta, LowRank):
        down, up = _multiply(module, delta.A), _multiply(module, delta.B, last=True)
        return lambda x: up(scaled(down(x), delta.scale))
    if _is_bias(layer):
        return lambda x: _along_channels(delta.tensor.to(x), module, x.ndim)
    if isinstance(module, nn.LayerNorm):
        return lambda x: F.layer_norm(x, module.normalized_shape, delta.tensor.to(x), None, module.eps)
    if isinstance(module, nn.GroupNorm):
        return lambda x: F.group_norm(x, module.num_groups, delta.tensor.to(x), None, module.eps)
    return _multiply(module, delta.tensor)


def _multiply(module: nn.Module, matrix: Tensor, last: bool = False) -> Callable[[Tensor], Tensor]:
    """Return the module's linear map with another matrix, (k, in) flattened.

    With `last`, the matrix is an up factor: a convolution's has a 1 x 1 kernel.
    """
    if not isinstance(module, nn.Conv2d):
        return lambda x: F.linear(x, matrix.to(x))
    if last:
        return lambda x: F.conv2d(x, matrix.to(x)[:, :, None, None])
    kernel = matrix.reshape(len(matrix), *module.weight.shape[1:])
    return lambda x: F.conv2d(x, kernel.to(x), None, module.stride, module.padding, module.dilation)


def _along_channels(vector: Tensor, module: nn.Module, dimensions: int) -> Tensor:
    """Return (n,) in a shape to add: channels come second in convolutions and group norms, else last."""
    return vector.view(-1, *[1] * (dimensions - 2)) if isinstance(module, nn.Conv2d | nn.GroupNorm) else vector


def _modules(model: nn.Module, shares: Sequence[LoRA | None]) -> dict[str, nn.Module]:
    """Return the modules to adapt by layer path, checked against every share's layers."""
    modules = dict(model.named_modules())
    adaptable: dict[str, nn.Module] = {}
    for index, lora in enumerate(shares):
        if lora is not None:
            _check_fit(modules, lora, label(lora, index))
            adaptable |= {layer: modules[_path(layer)] for layer in lora.layers}
    return adaptable


def _is_bias(layer: str) -> bool:
    return layer.endswith(".bias")


def _path(layer: str) -> str:
    """Return the path of the module that a layer belongs to."""
    return layer.removesuffix(".bias")


def _check_fit(modules: dict[str, nn.Module], lora: LoRA, name: str) -> None:
    text = [layer for layer in lora.layers if is_text_encoder(layer)]
    if text:
        raise ValueError(
            f"expected layers of the denoiser alone, found {len(text)} text-encoder layers in {name}, first "
            f"{text[:_FIRST]}: drop those layers, or use `lorarar.diffusion.sample_loras`, which adapts the text "
            "encoders too"
        )
    checked = (_problem(modules.get(_path(layer)), lora, layer) for layer in lora.layers)
    problems = [problem for problem in checked if problem]
    if problems:
        raise ValueError(
            f"expected every layer of {name} in this base, found {len(problems)} of {len(lora.layers)} layers that do "
            f"not fit, first {'; '.join(problems[:_FIRST])}: use the base that it was trained on"
        )


def _problem(module: nn.Module | None, lora: LoRA, layer: str) -> str:
    """Return why the layer cannot be adapted, or an empty text."""
    if module is None:
        return f"{layer} is not in the model"
    expected = _shape(module)
    if not expected:
        kinds = "nn.Linear, plain nn.Conv2d, nn.LayerNorm or nn.GroupNorm with weights"
        return f"{layer} expected {kinds}, found {type(module).__name__} (unload a peft adapter first)"
    expected, shape = expected[:1] if _is_bias(layer) else expected, lora.layers[layer].shape
    return "" if shape == expected else f"{layer} expected (out, in) {expected}, found {shape}"


def _shape(module: nn.Module) -> tuple[int, ...]:
    """Return the shape of the delta of a module's weight; () where it cannot be adapted."""
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    if isinstance(module, nn.Conv2d) and module.groups == 1 and module.padding_mode == "zeros":
        return module.out_channels, module.weight[0].numel()
    if isinstance(module, nn.GroupNorm | nn.LayerNorm) and module.weight is not None and module.weight.ndim == 1:
        return (len(module.weight),)
    return ()
