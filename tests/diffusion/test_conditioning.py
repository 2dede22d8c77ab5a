"""lorarar.diffusion.conditioning."""

from __future__ import annotations

import torch

from lorarar.diffusion.conditioning import Conditioning, join_conditionings


def test_conditioning_is_stacked_and_sliced() -> None:
    a = Conditioning(torch.randn(2, 3, 4), torch.randn(2, 5))
    b = Conditioning(torch.randn(1, 3, 4), torch.randn(1, 5))
    both = join_conditionings([a, b])
    assert torch.equal(both[2:].pooled, b.pooled)
    assert torch.equal(both[torch.tensor([1, 0])].embeddings, a.embeddings.flip(0))


def test_a_family_may_have_no_pooled_embeddings() -> None:
    a = Conditioning(torch.randn(2, 3, 4), None)
    both = join_conditionings([a, a[:1]])
    assert both.embeddings.shape == (3, 3, 4)
    assert both.pooled is None
    assert both.to("cpu").pooled is None
