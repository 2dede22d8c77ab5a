"""lorarar.mergers.methods.pruning against plain numpy on dense deltas, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.testing import assert_close

from lorarar.lora.lora import Layer
from lorarar.mergers.methods.pruning import PRUNINGS, elected_mean
from lorarar.mergers.table import MERGERS
from tests.tiny import dense, factors

Array = NDArray[np.float64]
CONTENT, STYLE, THIRD = (
    factors(9, 11, rank, scale, seed) for rank, scale, seed in ((3, 0.5, 1), (2, 1.5, 2), (4, 1, 3))
)
RANDOM = ["dare", "dare_ties", "della", "della_linear"]


def merged(name: str, deltas: list[Layer | None], layer: str = "x", **options: float) -> Array:
    merger = MERGERS[name]
    return np.asarray(merger.call(deltas, layer=layer, **merger.settings(options)).delta().double())


def array(delta: Layer) -> Array:
    return np.asarray(delta.delta().double())


def trimmed(x: Array, density: float) -> Array:
    """Keep the int(density n) entries of largest magnitude, by sorting."""
    order = np.argsort(np.abs(x), axis=None)[::-1][: int(density * x.size)]
    kept = np.zeros(x.size)
    kept[order] = x.flat[order]
    return kept.reshape(x.shape)


def without_extremes(x: Array, density: float, gamma: float) -> Array:
    order = np.argsort(np.abs(x), axis=None)
    stop = x.size - int(gamma * x.size)
    order = order[max(0, stop - int(density * x.size)) : stop]
    kept = np.zeros(x.size)
    kept[order] = x.flat[order]
    return kept.reshape(x.shape)


def elected(parts: list[Array]) -> Array:
    """Return the elected sign's mean of TIES, one entry at a time."""
    result = np.zeros(parts[0].shape)
    for index in np.ndindex(*result.shape):
        values = [part[index] for part in parts if part[index] != 0]
        sign = np.sign(sum(values))
        agreeing = [value for value in values if np.sign(value) == sign]
        result[index] = np.mean(agreeing) if agreeing else 0.0
    return result


def added(parts: list[Array]) -> Array:
    return np.sum(parts, axis=0)


@pytest.mark.parametrize("density", [0.03, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("deltas", [[CONTENT, STYLE], [CONTENT, STYLE, THIRD], [CONTENT, None, THIRD]])
def test_magnitude_methods_equal_the_plain_ones(deltas: list[Layer | None], density: float) -> None:
    arrays = [array(delta) for delta in deltas if delta is not None]
    trims = [trimmed(x, density) for x in arrays]
    assert_close(merged("ties", deltas, density=density), elected(trims), rtol=1e-5, atol=1e-6)
    assert_close(merged("magnitude_prune", deltas, density=density), added(trims), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("density", "gamma"), [(0.2, 0.01), (0.5, 0.1), (0.5, 0.3)])
def test_breadcrumbs_drops_both_extremes(density: float, gamma: float) -> None:
    deltas: list[Layer | None] = [CONTENT, STYLE]
    parts = [without_extremes(array(delta), density, gamma) for delta in (CONTENT, STYLE)]
    options = {"density": density, "gamma": gamma}
    assert np.count_nonzero(parts[0]) == int(density * 99)
    assert_close(merged("breadcrumbs", deltas, **options), added(parts), rtol=1e-5, atol=1e-6)
    assert_close(merged("breadcrumbs_ties", deltas, **options), elected(parts), rtol=1e-5, atol=1e-6)


def test_breadcrumbs_keeps_the_density_where_both_shares_do_not_fit() -> None:
    found = merged("breadcrumbs", [CONTENT], density=0.9, gamma=0.3)
    assert_close(found, array(CONTENT) - trimmed(array(CONTENT), (99 - 89) / 99 + 1e-9), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", RANDOM)
def test_random_methods_merge_the_masked_deltas_of_each_lora(name: str) -> None:
    """Compare with merges of single LoRAs: a mask depends on the LoRA's place, not on the other LoRAs."""
    alone = [merged(name, [CONTENT, None], seed=3), merged(name, [None, STYLE], seed=3)]
    together = merged(name, [CONTENT, STYLE], seed=3)
    combine = elected if PRUNINGS[name].elect else added
    assert_close(together, combine(alone), rtol=1e-5, atol=1e-6)


def test_dare_keeps_a_share_and_rescales_it() -> None:
    wide = factors(60, 70, 3, seed=1)
    for density in (0.2, 0.5):
        found = merged("dare", [wide], density=density)
        kept = found != 0
        assert_close(found[kept], array(wide)[kept] / density, rtol=1e-5, atol=1e-6)
        assert kept.mean() == pytest.approx(density, abs=5 * (density * (1 - density) / kept.size) ** 0.5)


def test_della_keeps_large_entries_more_often_and_rescales_them() -> None:
    x = array(CONTENT)
    ranks = np.argsort(np.argsort(np.abs(x), axis=1), axis=1)
    p = 0.5 - 0.3 + 0.6 * ranks / (x.shape[1] - 1)
    runs = np.stack([merged("della_linear", [CONTENT], density=0.5, epsilon=0.3, seed=seed) for seed in range(400)])
    for one in runs[:20]:
        assert_close(one[one != 0], (x / p)[one != 0], rtol=1e-5, atol=1e-6)
    assert np.abs((runs != 0).mean(0) - p).max() < 5 * 0.5 / 400**0.5
    assert np.abs(runs.mean(0) - x).mean() < 0.1 * np.abs(x).mean()  # unbiased


@pytest.mark.parametrize("name", RANDOM)
def test_masks_depend_on_seed_layer_and_lora_only(name: str) -> None:
    first = merged(name, [CONTENT])
    torch.manual_seed(99)  # the global generator plays no part
    assert (first == merged(name, [CONTENT])).all()
    for other in (merged(name, [CONTENT], seed=1), merged(name, [CONTENT], layer="y"), merged(name, [None, CONTENT])):
        assert (first != other).any()


def test_entries_of_equal_magnitude_are_all_kept_and_zeros_have_no_vote() -> None:
    tensor = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    kept = PRUNINGS["ties"].keep(tensor, 0.5, torch.Generator())
    assert kept.tolist() == [[1, 1, 1, 0]]
    thin = factors(4, 4, 1)
    assert_close(dense(thin).float(), MERGERS["ties"].call([thin, factors(4, 4, 1, 0.0)], layer="x", density=1).delta())


def test_options_out_of_range_are_refused() -> None:
    for density in (0.0, -0.1, 1.1):
        with pytest.raises(ValueError, match="density above 0 and at most 1"):
            merged("ties", [CONTENT], density=density)
    for density, epsilon in ((0.9, 0.15), (0.1, 0.15), (0.5, -0.1)):
        with pytest.raises(ValueError, match="choose a smaller epsilon|density - epsilon"):
            merged("della", [CONTENT], density=density, epsilon=epsilon)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_signs_are_elected_in_every_block_of_rows(count: int) -> None:
    tensors = [torch.randn(150, 7, generator=torch.Generator().manual_seed(i)) for i in range(count)]
    for i, tensor in enumerate(tensors):
        tensor[i::4] = 0
    assert_close(
        elected_mean(tensors).double().numpy(), elected([t.double().numpy() for t in tensors]), rtol=1e-5, atol=1e-6
    )
