"""Null space: how much of each layer's input a LoRA does not see, as a term of the objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lorarar.lora import LoRA, LowRank

# Share of the blocks, the last ones that the input passes, whose layers count.
_LAST = 0.25


@dataclass(eq=False)
class NullSpace:
    """Ratios of n pairs, collected in one forward pass.

    Attributes:
        blocks: Blocks in the order of the pass -> for each of their layers the ratios (n,) of both LoRAs, in mean.
    """

    blocks: dict[str, list[Tensor]] = field(default_factory=dict)

    def mean(self) -> Tensor:
        """Return each pair's mean over the layers of the last quarter of the blocks, (n,)."""
        last = list(self.blocks.values())[-max(1, round(len(self.blocks) * _LAST)) :]
        return torch.stack([ratio for ratios in last for ratio in ratios]).mean(0)


@contextmanager
def null_space_ratios(denoiser: nn.Module, pairs: Sequence[Sequence[LoRA]]) -> Iterator[NullSpace]:
    """Collect the null-space ratios of the next forward pass, until the context closes.

    The ratio of a layer's input z is omega(z) = |z - V V^T z| / |z| = sqrt(1 - z^T A^T (A A^T)^-1 A z / z^T z), with V
    an orthonormal basis of the rows of A. The input of a LoRA's concept counts for that LoRA.

    Args:
        denoiser: The model, whose batch holds for each pair the inputs of its content, then as many of its style.
        pairs: The content LoRA and the style LoRA of each pair.

    Yields:
        The ratios, differentiable in what the inputs depend on.

    Reference:
        arXiv 2603.26317.
    """
    found = NullSpace()
    loras = [lora for pair in pairs for lora in pair]
    with ExitStack() as stack:
        for layer in dict.fromkeys(la for lora in loras for la in lora.layers):
            module = denoiser.get_submodule(layer) if not layer.endswith(".bias") else None
            bases = [_rows(lora, layer) for lora in loras]
            if isinstance(module, nn.Linear) and all(basis is not None for basis in bases):
                hook = _Ratio(layer, [basis for basis in bases if basis is not None], found)
                stack.callback(module.register_forward_hook(hook).remove)
        yield found


def _rows(lora: LoRA, layer: str) -> Tensor | None:
    delta = lora.layers.get(layer)
    return torch.linalg.qr(delta.A.float().T).Q if isinstance(delta, LowRank) else None


@dataclass(frozen=True, eq=False)
class _Ratio:
    """Forward hook that collects the ratios of one layer."""

    layer: str
    bases: Sequence[Tensor]
    found: NullSpace

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ratios = []
        for z, basis in zip(inputs[0].float().chunk(len(self.bases)), self.bases, strict=True):
            seen = (z @ basis.to(z)).square().sum(-1) / z.square().sum(-1).clamp(min=1e-12)
            ratios.append((1 - seen).clamp(min=1e-8).sqrt().mean())
        before, _, after = self.layer.partition("transformer_blocks.")
        block = f"{before}{after.partition('.')[0]}"
        self.found.blocks.setdefault(block, []).append(torch.stack(ratios).unflatten(0, (-1, 2)).mean(1))
