"""Counting: parameters, operations and activations, on the meta device, where nothing is computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lorarar.benchmark.size.bases import SizedBase
from lorarar.diffusion import adapted
from lorarar.hypernetwork import new_merger
from lorarar.lora import LoRA, LowRank


@dataclass(frozen=True)
class PassCount:
    """What a forward pass with a LoRA takes.

    Attributes:
        parameters: Parameters of the denoiser.
        lora_parameters: Parameters of a LoRA of the base's rank on its targets.
        columns: Columns of the layers that it adapts, which is how many coefficients a merger gives it at most.
        operations: Floating-point operations of the pass, two a multiply-add.
        saved: Bytes of activations that backward needs.
        checkpointed: The same with gradient checkpointing: inputs of the blocks, what lies outside of them, and the
            activations of the largest block, which are computed again.
        peak: Bytes of the activations that are there at a time, at most, without backward and a LoRA.
        decoding: The same of decoding one image by the autoencoder.
    """

    parameters: int
    lora_parameters: int
    columns: int
    operations: int
    saved: int
    checkpointed: int
    peak: int
    decoding: int


@dataclass(frozen=True)
class PredictionCount:
    """What the prediction of the coefficients of two LoRAs takes.

    Attributes:
        parameters: Parameters of the network.
        operations: Floating-point operations, in float32.
    """

    parameters: int
    operations: int


def count_pass(base: SizedBase, images: int = 1, dtype: torch.dtype = torch.bfloat16) -> PassCount:
    """Count a forward pass of some images through a base with a LoRA whose factors are trained.

    Attention counts as on a GPU: its backward keeps queries, keys, values, results and one number for each row.

    Args:
        base: The base.
        images: Images in the pass.
        dtype: What the base computes in.
    """
    denoiser = base.new_denoiser(dtype)
    lora = _trained_lora(denoiser, base)
    arguments = base.inputs(base, images, dtype)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        denoiser.eval()(**arguments)
    blocks = _Saved(denoiser)
    checkpointed: Any = denoiser.train()
    checkpointed.enable_gradient_checkpointing(gradient_checkpointing_func=blocks.run)
    with _attention_without_scores(), adapted(denoiser, lora), blocks.outside():
        denoiser(**arguments)
    layers = [layer for layer in lora.layers.values() if isinstance(layer, LowRank)]
    latents = torch.empty(1, base.channels, base.side, base.side, device="meta", dtype=dtype)
    return PassCount(
        parameters=sum(parameter.numel() for parameter in denoiser.parameters()),
        lora_parameters=sum(layer.A.numel() + layer.B.numel() for layer in layers),
        columns=sum(layer.A.shape[1] for layer in layers),
        operations=int(counter.get_total_flops()),
        saved=blocks.total + blocks.inputs + sum(blocks.inside),
        checkpointed=blocks.total + blocks.inputs + max(blocks.inside, default=0),
        peak=_peak(lambda: denoiser.eval()(**arguments)),
        decoding=_peak(partial(base.new_autoencoder(dtype).decode, latents)),
    )


def count_prediction(base: SizedBase) -> PredictionCount:
    """Count a prediction for two LoRAs by a network of the kind that the base's shipped configuration trains."""
    lora = _trained_lora(base.new_denoiser(torch.bfloat16), base)
    network = new_merger(base.network, lora, {}).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network([lora, lora])
    return PredictionCount(sum(p.numel() for p in network.parameters()), int(counter.get_total_flops()))


def _peak(run: Callable[[], Any]) -> int:
    """Return the bytes of the tensors that a function without backward makes and holds at a time, at most."""
    alive = _Alive()
    with alive, _attention_without_scores(), torch.no_grad():
        run()
    return alive.peak


class _Alive(TorchDispatchMode):
    """Bytes of the storages that operations make, while a tensor of them is alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes, self.peak = 0, 0
        self._tensors: dict[int, int] = {}  # by storage, how many are alive

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        given = {_storage(tensor) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor, given)
        return result

    def _add(self, tensor: Tensor, given: set[int]) -> None:
        key, size = _storage(tensor), tensor.untyped_storage().nbytes()
        if key not in self._tensors and key in given:
            return  # a view of a weight or an input
        if key not in self._tensors:
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
        self._tensors[key] = self._tensors.get(key, 0) + 1
        weakref.finalize(tensor, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._tensors[key] -= 1
        if not self._tensors[key]:
            del self._tensors[key]
            self.bytes -= size


class _Saved:
    """Bytes that autograd saves in a pass: outside of the blocks that are checkpointed, in each block, its inputs."""

    def __init__(self, model: nn.Module) -> None:
        self.total, self.inputs, self.inside = 0, 0, list[int]()
        self._weights = {_storage(tensor) for tensor in (*model.parameters(), *model.buffers())}
        self._seen: dict[int, Tensor] = {}  # holds the tensors, so that no storage takes the place of another

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Count what is saved until the context closes."""
        with saved_tensors_hooks(self._count, lambda tensor: tensor):
            yield

    def run(self, module: nn.Module | Callable[..., Any], *arguments: Any) -> Any:
        """Run a block in place of `torch.utils.checkpoint.checkpoint`."""
        before = self.total
        for argument in arguments:
            if isinstance(argument, Tensor):
                self._count(argument)
        self.inputs, self.total = self.inputs + self.total - before, before
        result = module(*arguments)
        self.inside.append(self.total - before)
        self.total = before
        return result

    def _count(self, tensor: Tensor) -> Tensor:
        key = _storage(tensor)
        if key not in self._weights and key not in self._seen:
            self._seen[key] = tensor
            self.total += tensor.untyped_storage().nbytes()
        return tensor


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Attention(torch.autograd.Function):
    """Attention as the fused kernels of a GPU save it: without its scores."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = torch.empty_like(query)
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        context.save_for_backward(query, key, value, result, sums)
        return result


@contextmanager
def _attention_without_scores() -> Iterator[None]:
    def attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
        result: Tensor = _Attention.apply(query, key, value)  # type: ignore[no-untyped-call]
        return result

    own = F.scaled_dot_product_attention
    F.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        F.scaled_dot_product_attention = own


def _trained_lora(denoiser: nn.Module, base: SizedBase) -> LoRA:
    """Return a LoRA on the meta device whose factors take part in backward."""
    layers = {
        path: LowRank(_factor(module.out_features, base.rank), _factor(base.rank, module.in_features))
        for path, module in denoiser.named_modules()
        if isinstance(module, nn.Linear) and path.endswith(base.targets)
    }
    return LoRA(layers)


def _factor(rows: int, columns: int) -> Tensor:
    return torch.empty(rows, columns, device="meta", requires_grad=True)
