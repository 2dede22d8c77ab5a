"""lorarar.mergers.methods.est_lora against its rule on dense deltas."""

from __future__ import annotations

import pytest

from lorarar.mergers.methods.est_lora import est_lora
from tests.mergers.methods.test_klora import CONTENT, STYLE
from tests.mergers.methods.test_pruning import array


@pytest.mark.parametrize(("alpha", "discrepancy"), [(1.5, 0.5), (0.5, 0.9)])
def test_every_layer_of_every_step_is_chosen_by_its_energy(alpha: float, discrepancy: float) -> None:
    schedule = est_lora([CONTENT, STYLE], 10, alpha=alpha, discrepancy=discrepancy)
    chosen = set()
    for t, (lora,) in enumerate(schedule):
        for layer in CONTENT.layers:
            energies = [float((array(side.layers[layer]) ** 2).sum()) for side in (CONTENT, STYLE)]
            content = energies[0] >= energies[1] * (alpha * t / 10 + 1 - discrepancy)
            assert lora.layers[layer] is (CONTENT if content else STYLE).layers[layer]
            chosen.add((layer, content))
    assert len(chosen) > len(CONTENT.layers)  # some layers change sides
