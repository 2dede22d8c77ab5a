"""A frozen model that answers, for a while, as if LoRAs were part of it.

The context adds `scale (x A^T) B^T` to the output of each adapted linear layer with forward hooks. Nothing is copied
into the model, and gradients flow to the factors, and so to whatever made them (coefficients, a hypernetwork).

Gradient checkpointing runs the forward again during backward. Keep the context open until backward has returned; with
Lightning that takes manual optimisation, because automatic optimisation runs backward after `training_step` returns. If
the context has closed, torch raises CheckpointError; if another LoRA of the same rank has taken its place, the
gradients are silently wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorarar.lora import LoRA, is_text_encoder, label
from lorarar.lowrank import LowRank

_SHOWN = 3


@contextmanager
def adapted(model: nn.Module, lora: LoRA | Sequence[LoRA | None]) -> Iterator[None]:
    """Adds one LoRA to a denoiser, or one to each share of the batch, until the context closes.

    Args:
        model: The denoiser (UNet or transformer); its modules are named as in the LoRA's layers.
        lora: One LoRA for the whole batch, or a sequence of n: the batch (first dimension of every adapted layer's
            input) then falls into n equal shares in order, one LoRA each, None meaning the base alone. Ranks and layer
            sets may differ. Mind classifier-free guidance: pipelines stack [unconditional, conditional] along the
            batch.

    Yields:
        Nothing; the model is changed in place and restored on exit, also after an exception.

    Raises:
        ValueError: A layer is not in the model, is no nn.Linear or has another shape; a LoRA holds text-encoder layers;
            the sequence is empty; in the forward, the batch does not divide by n.
    """
    shares = [lora] if isinstance(lora, LoRA) else list(lora)
    if not shares:
        raise ValueError("expected at least one LoRA (or None for the base alone), found an empty sequence")
    linears = _linears(model, shares)
    with ExitStack() as stack:
        for layer, linear in linears.items():
            stack.callback(linear.register_forward_hook(_stack(layer, linear, shares)).remove)
        yield


@dataclass(frozen=True, eq=False)
class _Stacked:
    """The factors of one layer for n shares: A (n, rank, in), B (n, out, rank), scale a number or (n, 1, 1)."""

    A: Tensor
    B: Tensor
    scale: float | Tensor

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """The forward hook: x is (batch, .., in), output is (batch, .., out)."""
        x, n = inputs[0], self.A.shape[0]
        a, b = self.A.to(x.dtype), self.B.to(x.dtype)
        if n == 1:
            return output + F.linear(_scaled(F.linear(x, a[0]), self.scale), b[0])
        if x.shape[0] % n:
            raise ValueError(
                f"a batch of {x.shape[0]} does not divide into {n} equal shares, one for each LoRA: "
                f"make the batch a multiple of {n}"
            )
        # The scale multiplies the (.., rank) middle: the smallest tensor, and one rounding whatever the order.
        middle = _scaled(torch.bmm(x.reshape(n, -1, x.shape[-1]), a.mT), self.scale)
        return output + torch.bmm(middle, b.mT).reshape(output.shape)


def _scaled(middle: Tensor, scale: float | Tensor) -> Tensor:
    """middle * scale with the scale kept in float32: fp16 cannot hold alpha / rank exactly."""
    return middle * scale if isinstance(scale, float) else (middle.float() * scale).to(middle.dtype)


def _stack(layer: str, linear: nn.Linear, shares: Sequence[LoRA | None]) -> _Stacked:
    """Zero-pads the shares' factors to the largest rank and stacks them; a share without the layer is all zeros."""
    factors = [None if lora is None else lora.layers.get(layer) for lora in shares]
    present = [f for f in factors if f is not None]
    # A quantised layer's weight has an integer dtype; the hook then casts to the input's.
    dtype = linear.weight.dtype if linear.weight.is_floating_point() else present[0].A.dtype
    device, rank = linear.weight.device, max(f.rank for f in present)
    zero_a = torch.zeros(rank, linear.in_features, device=device, dtype=dtype)
    zero_b = torch.zeros(linear.out_features, rank, device=device, dtype=dtype)
    a = [zero_a if f is None else F.pad(f.A.to(device, dtype), (0, 0, 0, rank - f.rank)) for f in factors]
    b = [zero_b if f is None else F.pad(f.B.to(device, dtype), (0, rank - f.rank)) for f in factors]
    return _Stacked(torch.stack(a), torch.stack(b), _scale(factors, device))


def _scale(factors: Sequence[LowRank | None], device: torch.device) -> float | Tensor:
    """One number where the shares agree, else (n, 1, 1); the scale of a share of zeros does not matter."""
    present = {f.scale for f in factors if f is not None}
    if len(present) == 1:
        return float(present.pop())
    scales = [0.0 if f is None else f.scale for f in factors]
    return torch.tensor(scales, device=device, dtype=torch.float32).view(-1, 1, 1)


def _linears(model: nn.Module, shares: Sequence[LoRA | None]) -> dict[str, nn.Linear]:
    """The modules to adapt, checked against every share's layers."""
    modules = dict(model.named_modules())
    found: dict[str, nn.Linear] = {}
    for index, lora in enumerate(shares):
        if lora is None:
            continue
        _check_fit(modules, lora, label(lora, index))
        for layer in lora.layers:
            module = modules[layer]
            assert isinstance(module, nn.Linear)  # _check_fit said so; for the type checker
            found[layer] = module
    return found


def _check_fit(modules: dict[str, nn.Module], lora: LoRA, name: str) -> None:
    text = [layer for layer in lora.layers if is_text_encoder(layer)]
    if text:
        raise ValueError(
            f"{name} holds {len(text)} text-encoder layers, first {text[:_SHOWN]}, and this adapts the denoiser only: "
            f"drop those layers, or merge to a file and load it in diffusers"
        )
    problems = [problem for layer in lora.layers if (problem := _problem(modules.get(layer), lora, layer))]
    if problems:
        raise ValueError(
            f"{name} was made for another base: {len(problems)} of {len(lora.layers)} layers do not fit this model, "
            f"first {'; '.join(problems[:_SHOWN])}: use the base that it was trained on"
        )


def _problem(module: nn.Module | None, lora: LoRA, layer: str) -> str:
    """Why the layer cannot be adapted, or an empty text."""
    if module is None:
        return f"{layer} is not in the model"
    if not isinstance(module, nn.Linear):
        return f"{layer} is no nn.Linear but {type(module).__name__} (a peft adapter must be unloaded first)"
    expected, shape = (module.out_features, module.in_features), lora.layers[layer].shape
    return "" if shape == expected else f"{layer} expected (out, in) {expected}, found {shape}"
