"""lorarar.mergers.objective against formulas written out."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lorarar.lora.coefficients import Coefficients
from lorarar.mergers.objective import combined_target, fidelity_loss, rank_prior, similarity


def test_fidelity_is_the_mean_square_in_float32() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    assert_close(fidelity_loss(a, b), torch.tensor(2.5))
    small = torch.full((4,), 1e-4, dtype=torch.float16)
    loss = fidelity_loss(small, torch.zeros_like(small))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(1e-8, rel=1e-2)


def test_fidelity_refuses_to_broadcast() -> None:
    with pytest.raises(ValueError, match=r"merged \(2, 4\) and teacher \(1, 4\)"):
        fidelity_loss(torch.zeros(2, 4), torch.zeros(1, 4))


def test_combined_target_adds_both_contributions_to_the_base() -> None:
    base, content, style = torch.tensor(1.0), torch.tensor(3.0), torch.tensor(0.5)
    assert combined_target(content, style, base) == 2.5


def test_similarity_of_each_kind() -> None:
    c, s = torch.tensor([1.0, -2.0]), torch.tensor([-3.0, 1.0])
    c2, s2 = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([2.0, -2.0, 5.0])
    coefficients = Coefficients({"x": (c, s), "y": (c2, s2), "z": (c, c)})
    assert float(similarity(coefficients, "cos")) == pytest.approx(5 / (5 * 10) ** 0.5 + 0 + 1)
    assert float(similarity(coefficients, "dot")) == pytest.approx(5 + 0 + 5)
    assert float(similarity(coefficients, "product")) == pytest.approx((3 + 2) / 2 + (2 + 2) / 3 + (1 + 4) / 2)


def test_similarity_of_three_loras_covers_all_pairs() -> None:
    m = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor([-5.0, 1.0])]
    assert float(similarity(Coefficients({"x": tuple(m)}), "dot")) == pytest.approx(11 + 3 + 11)


def test_similarity_spreads_numbers_over_columns() -> None:
    mixed = Coefficients({"x": (torch.tensor(2.0), torch.tensor([1.0, 3.0]))})
    assert float(similarity(mixed, "dot")) == pytest.approx(8.0)


def test_similarity_has_gradients() -> None:
    m = torch.tensor([1.0, -2.0], requires_grad=True)
    similarity(Coefficients({"x": (m, torch.tensor([-3.0, 1.0]))}), "dot").backward()
    assert_close(m.grad, torch.tensor([3.0, -1.0]))


def test_similarity_errors() -> None:
    with pytest.raises(ValueError, match="at least two LoRAs, found 1 layers without a pair"):
        similarity(Coefficients({"x": (torch.ones(2),)}), "cos")
    with pytest.raises(ValueError, match="a kind of similarity among cos, dot, product, found 'angle'"):
        similarity(Coefficients({"x": (torch.ones(2), torch.ones(2))}), "angle")  # type: ignore[arg-type]


def test_the_prior_favours_the_content_at_the_lowest_resolution_and_the_style_elsewhere() -> None:
    m = torch.tensor
    low, high = (m([3.0, 4.0]), m([1.0, 0.0])), (m([0.0, 2.0]), m([[-6.0], [8.0]]))
    layers = {
        "down_blocks.1.a.to_q": high,
        "down_blocks.2.a.to_q": low,  # content |1|: 7, and its length 5 is not below the style's
        "mid_block.a.to_q": low,
        "up_blocks.0.a.to_q": (low[1], low[0]),  # 1 and 5 - 1
        "up_blocks.1.a.to_q": high,  # style: 14
        "up_blocks.2.conv": (m(1.0), m(1.0)),  # fixed: not optimised
        "text_encoder.x.to_q": high,
    }
    assert float(rank_prior(Coefficients(layers))) == pytest.approx((14 + 7 + 7 + (1 + 4) + 14) / 5)
    with pytest.raises(ValueError, match="expected layers of a UNet's blocks.* set loss_weights.rank_prior=0"):
        rank_prior(Coefficients({"transformer_blocks.0.to_q": high}))
