"""lorarar.hypernetwork.build: new mergers of the right size, by kind and options."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lorarar.hypernetwork.build import new_merger
from lorarar.hypernetwork.checkpoint import load_network, save_merger
from lorarar.hypernetwork.constant import ConstantMerger
from lorarar.hypernetwork.kinds import NETWORK_KINDS
from lorarar.hypernetwork.layerwise import LayerwiseHypernetwork
from lorarar.hypernetwork.paper import PaperHypernetwork
from lorarar.lora.coefficients import merge_exactly
from tests.tiny import two_block_lora

LORA = two_block_lora(2)
OPTIONS: dict[str, dict[str, object]] = {
    "paper": {"hidden": 5, "predicted": ["to_q", "to_v"]},
    "layerwise": {"width": 7, "initial": [0.6, 0.7], "predicted": ["to_q", "to_k"]},
    "constant": {"group": "layer", "predicted": ["to_k"], "initial": 0.4},
}


@pytest.mark.parametrize("kind", NETWORK_KINDS)
def test_a_new_merger_fits_the_loras_and_survives_its_file(kind: str, tmp_path: Path) -> None:
    loras = [LORA, two_block_lora(3, seed=40)]
    merger = new_merger(kind, LORA, OPTIONS[kind])
    save_merger(merger, tmp_path / "merger.safetensors")
    again = load_network(tmp_path / "merger.safetensors").module
    assert again.config == merger.config
    found, saved = merger(loras), again(loras)
    for layer, row in found.layers.items():
        assert all(torch.equal(a, b) for a, b in zip(row, saved.layers[layer], strict=True))
    assert len(merge_exactly(loras, found).layers) == 8


def test_options_reach_the_configuration() -> None:
    paper = new_merger("paper", LORA, OPTIONS["paper"])
    assert isinstance(paper, PaperHypernetwork)
    assert (paper.config.widths, paper.config.hidden, paper.config.predicted) == ((6, 12), 5, ("to_q", "to_v"))
    layerwise = new_merger("layerwise", LORA, OPTIONS["layerwise"])
    assert isinstance(layerwise, LayerwiseHypernetwork)
    assert (layerwise.config.width, layerwise.config.initial) == (7, (0.6, 0.7))
    assert layerwise.config.predicted == ("to_q", "to_k")
    constant = new_merger("constant", LORA, OPTIONS["constant"])
    assert isinstance(constant, ConstantMerger)
    assert constant.config.groups == tuple(layer for layer in LORA.layers if layer.endswith("to_k"))


def test_mistakes_are_named() -> None:
    with pytest.raises(
        ValueError,
        match=r"a kind of learned merger among constant, paper, layerwise, found 'papr': did you mean 'paper'",
    ):
        new_merger("papr", LORA, {})
    with pytest.raises(ValueError, match=r"found 'hiden': did you mean 'hidden'\?"):
        new_merger("paper", LORA, {"hiden": 5})
    for kind, derived in (("paper", "widths"), ("constant", "groups")):
        with pytest.raises(ValueError, match=f"found '{derived}'"):
            new_merger(kind, LORA, {derived: ()})
