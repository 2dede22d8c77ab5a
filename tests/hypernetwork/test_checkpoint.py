"""lorarar.hypernetwork.checkpoint: learned mergers on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from lorarar.hypernetwork.checkpoint import NETWORK_KEY, load_network, save_merger
from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.storage.atomic import FormatError
from tests.tiny import two_block_lora

MERGERS = {
    "paper": PaperHypernetwork(PaperConfig(widths=(6, 12), hidden=5, fixed=0.5)),
    "constant": ConstantMerger(ConstantConfig(("6", "12"), initial=0.3)),
}


@pytest.mark.parametrize("kind", MERGERS)
def test_a_merger_comes_back(kind: str, tmp_path: Path) -> None:
    merger, path = MERGERS[kind], tmp_path / "x.safetensors"
    save_merger(merger, path, {"steps": "100"})
    back = load_network(path).module
    assert type(back) is type(merger)
    assert back.config == merger.config
    assert not back.training
    loras = [two_block_lora(2), two_block_lora(3, seed=40)]
    for layer, vectors in merger(loras).layers.items():
        for ours, theirs in zip(vectors, back(loras).layers[layer], strict=True):
            assert torch.equal(ours, theirs)
    assert load_network(path).metadata.keys() == {"steps", "lorarar_version"}
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(merger.state_dict())
        assert json.loads(file.metadata()[NETWORK_KEY])["kind"] == kind


def test_equal_mergers_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save_merger(MERGERS["paper"], tmp_path / name, {str(i): "x" for i in range(9)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_that_are_not_mergers(tmp_path: Path) -> None:
    path, weights = tmp_path / "x.safetensors", {"values": torch.zeros(2, 2)}
    headers = {
        "is not a learned merger: expected 'lorarar_merger' in its header, found 1 tensors, first .*'values'": {},
        "expected a kind of learned merger among constant, .*, found 'magic': update lorarar": {
            "kind": "magic",
            "config": {},
        },
        "unexpected keyword argument 'temperature'": {"kind": "paper", "config": {"temperature": 1}},
        "Missing key": {"kind": "paper", "config": {"widths": [6]}},
        "cannot be read as a learned merger: 'kind'": {"config": {}},
    }
    for message, description in headers.items():
        save_file(weights, path, metadata={NETWORK_KEY: json.dumps(description)} if description else None)
        with pytest.raises(FormatError, match=message):
            load_network(path)
    with pytest.raises(FormatError, match="does not exist"):
        load_network(tmp_path / "absent")


def test_modules_and_files_that_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="learned merger of kind constant, .*, found Linear"):
        save_merger(nn.Linear(2, 2), tmp_path / "x")
    save_merger(MERGERS["constant"], tmp_path / "x")
    with pytest.raises(FormatError, match="exists already"):
        save_merger(MERGERS["constant"], tmp_path / "x")
    save_merger(MERGERS["paper"], tmp_path / "x", force=True)
    assert type(load_network(tmp_path / "x").module) is PaperHypernetwork
