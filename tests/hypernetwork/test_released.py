"""lorarar.hypernetwork.released: the authors' released networks, read by their keys."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.hypernetwork.checkpoint import load_network
from lorarar.hypernetwork.paper import PaperHypernetwork
from lorarar.hypernetwork.released import load_released
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA, projection
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.table import MERGERS
from lorarar.storage.atomic import FormatError
from tests.tiny import two_block_lora

# One layer of each shape that SDXL has, predicted and fixed ones.
BLOCKS = {640: "down_blocks.1.attentions.0.transformer_blocks.0", 1280: "mid_block.attentions.0.transformer_blocks.0"}
SHAPES = {"attn1.to_q": 0, "attn1.to_out.0": 0, "attn2.to_k": 2048}


def sdxl_lora(ranks: tuple[int, int], seed: int) -> LoRA:
    """Return a LoRA of fp16 factors whose deltas have entries near 1e-3, as trained ones have."""
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for (out, block), rank in zip(BLOCKS.items(), ranks, strict=True):
        for name, width in SHAPES.items():
            b = torch.randn(out, rank, generator=generator) * 0.03
            a = torch.randn(rank, width or out, generator=generator) / rank
            layers[f"{block}.{name}"] = LowRank(b.half(), a.half(), 0.5 + seed)
    return LoRA(layers)


def released(name: str) -> Path:
    folder = os.environ.get("LORARAR_FIXTURES")
    if not folder:
        pytest.skip(
            f"set LORARAR_FIXTURES to a folder that holds official/{name}, from github.com/donaldssh/LoRA.rar "
            "(CC BY-NC-SA 4.0)"
        )
    return Path(folder) / "official" / name


def dense_answer(state: dict[str, Tensor], content: LowRank, style: LowRank) -> Tensor:
    """Return the coefficients (in, 2) of the released network, in float64 on dense columns, from its own keys."""
    first = "input_1" if content.shape[0] == 640 else "input_2"
    deltas = [d.scale * (d.B.double() @ d.A.double()) for d in (content, style)]
    hidden = torch.cat(deltas).T @ state[f"{first}.weight"].double().T + state[f"{first}.bias"].double()
    return hidden.clamp_min(0) @ state["output.1.weight"].double().T + state["output.1.bias"].double()


@pytest.mark.parametrize("name", ["lorarar_sdxl_hypernet.pth", "lorarar_koala700m_hypernet.pth"])
@pytest.mark.parametrize("ranks", [((4, 4), (4, 4)), ((8, 8), (8, 8)), ((64, 64), (64, 64)), ((4, 64), (8, 16))])
@torch.no_grad()
def test_released_networks_equal_the_dense_computation(
    name: str, ranks: tuple[tuple[int, int], tuple[int, int]], tmp_path: Path
) -> None:
    path = released(name)
    state = torch.load(path, map_location="cpu", weights_only=True)
    loras = [sdxl_lora(ranks[0], 0), sdxl_lora(ranks[1], 1)]
    assert load_network(path).kind == "paper"
    found = MERGERS["paper"].call(loras, network=load_network(path))
    expected = {}
    for layer, vectors in found.layers.items():
        content, style = (lora.layers[layer] for lora in loras)
        assert isinstance(content, LowRank)
        assert isinstance(style, LowRank)
        if projection(layer) == "to_k":
            assert [float(m) for m in vectors] == [1.0, 1.0]
            m = torch.ones(content.shape[1], 2, dtype=torch.float64)
        else:
            m = dense_answer(state, content, style)
            largest = float(m.abs().max())
            assert float((torch.stack(vectors, -1).double() - m).abs().max()) < 1e-5 * largest
        parts = [d.scale * (d.B.double() @ d.A.double()) for d in (content, style)]
        expected[layer] = parts[0] * m[:, 0] + parts[1] * m[:, 1]
    for dtype, bound in ((torch.float16, 1e-3), (torch.float32, 1e-6)):
        save(merge_exactly(loras, found), tmp_path / "m.safetensors", dtype=dtype, force=True)
        for layer, delta in load(tmp_path / "m.safetensors").layers.items():
            back = delta.delta().double()
            assert float((back - expected[layer]).norm() / expected[layer].norm()) < bound


def tiny_state(width: int = 6) -> dict[str, Tensor]:
    """Return the tensors of a file in the layout of the release, for out widths 6 and 12."""
    torch.manual_seed(0)
    shapes = {"input_1": (5, 2 * width), "input_2": (5, 24), "output.1": (2, 5)}
    state = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    return state | {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_that_layout_is_a_paper_network(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "x.pth"
    torch.save(OrderedDict(tiny_state()), path, _use_new_zipfile_serialization=not legacy)
    network = load_network(path).module
    assert isinstance(network, PaperHypernetwork)
    assert (network.config.widths, network.config.hidden, network.config.fixed) == ((6, 12), 5, 1.0)
    assert not network.training
    assert load_network(path).kind == "paper"
    assert load_network(path).metadata == {}
    loras = [two_block_lora(2), two_block_lora(3)]
    assert len(merge_exactly(loras, network(loras)).layers) == 8


def test_widths_that_do_not_fit_are_named(tmp_path: Path) -> None:
    torch.save(tiny_state(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"out widths \[6, 12\], found \[7, 14\] in LoRA 1 and LoRA 2"):
        load_network(tmp_path / "x.pth").module([two_block_lora(2, width=7)] * 2)


class Surprise:
    """Class of an object that loading must never create."""


def test_other_pickled_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    others: dict[str, object] = {
        r"not a released network of LoRA\.rar: .*found 1, first \['a'\]": {"a": torch.zeros(2)},
        r"found 0, first \[\]": [torch.zeros(2)],
        "cannot be read safely": Surprise(),
        "expected the shapes of a released network in .*, found": tiny_state() | {"output.1.weight": torch.zeros(3, 5)},
        "found 6, first": tiny_state() | {"input_1.weight": 3},
    }
    for message, content in others.items():
        torch.save(content, path)
        with pytest.raises(FormatError, match=message):
            load_network(path)
    whole = path.read_bytes()
    path.write_bytes(b"PK\x03\x04" + whole[4:200])
    with pytest.raises(FormatError, match=r"x\.pth"):
        load_network(path)


class _Unsafe:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("run",)


def test_torch_s_advice_to_load_a_pickle_unsafely_is_not_passed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "n.pth").write_bytes(pickle.dumps(_Unsafe()))
    with pytest.raises(FormatError, match="cannot be read safely.*because a pickle can run any code") as caught:
        load_released(tmp_path / "n.pth")
    assert "weights_only" not in str(caught.value)
    assert capsys.readouterr().out == ""
