"""lorarar.workflows.preview: a sheet on the embedded base, with its scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lorarar import generate
from lorarar.cli.main import main
from lorarar.datasets import to_bytes
from lorarar.diffusion import Sampling
from lorarar.formats import load
from lorarar.lora import LoRA, scale_layers
from lorarar.mergers import MergeRequest, balance_loras, place_loras
from lorarar.storage import EMBEDDED, FormatError
from lorarar.workflows import preview
from lorarar.workflows.preview import PreviewRequest, describe_preview, draw_preview

BASE = EMBEDDED / "base"
FILES = [EMBEDDED / "loras" / f"{name}.safetensors" for name in ("test_content_01", "test_style_02")]


def test_a_sheet_has_every_method_and_weight(tmp_path: Path, monkeypatch) -> None:
    parts, real = [], preview.labelled_sheet

    def keep(path: Path, title: str, lines: list[str], shown: list[preview.SheetPart], **how: int) -> None:
        parts.extend(shown)
        real(path, title, lines, shown, **how)

    monkeypatch.setattr(preview, "labelled_sheet", keep)
    request = PreviewRequest(
        BASE, ["direct", "switch"], weights=[(1, 1), (0.5, 1)], seeds=(3,), sampling=Sampling(2, 1.0), device="cpu"
    )
    cells = draw_preview(FILES, tmp_path / "x.png", request)
    assert [(cell.method, cell.weights) for cell in cells] == [
        (name, weights) for name in ("direct", "switch") for weights in ((1, 1), (0.5, 1))
    ]
    assert all({"joint", "content", "style"} <= cell.scores.keys() for cell in cells)
    inputs, grid = parts
    assert inputs.columns == (
        "test_content_01",
        "test_style_02",
        "base alone",
        "test_content_01 alone",
        "test_style_02 alone",
    )
    assert grid.columns == ("1 : 1", "0.5 : 1")
    with Image.open(tmp_path / "x.png") as sheet:
        assert sheet.width > 500
    best = max(cell.scores["joint"] for cell in cells)
    assert [cell.framed for _, row in grid.rows for cell in row] == [cell.scores["joint"] == best for cell in cells]
    assert describe_preview(cells).splitlines()[0].startswith(f"joint {best:.2f}")
    with pytest.raises(FormatError, match="exists"):
        draw_preview(FILES, tmp_path / "x.png", request)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (PreviewRequest(BASE, ["ziplora"]), "needs nothing but the files, found ziplora, which needs base images"),
        (PreviewRequest(BASE, ["layerwise"]), "found layerwise, which needs network"),
        (PreviewRequest(BASE, weights=[(1, 1, 1)]), "one for each of 2 inputs"),
        (
            PreviewRequest(BASE, weights=[(1, 1), (1, 0)]),
            "weights other than 0 for layerwise, .* found 0 for .*: leave",
        ),
        (PreviewRequest(BASE, images=[EMBEDDED]), "a folder of images for each of 2 LoRAs, found 1"),
        (PreviewRequest(BASE, chosen=MergeRequest("switch", balance=2)), "`balance` from 0 .* found 2"),
        (PreviewRequest(BASE, chosen=MergeRequest("switch", blocks={"ups": 1})), "in `blocks`, found 'ups'"),
    ],
)
def test_mistakes_are_found_before_the_base_is_loaded(
    request_: PreviewRequest, error: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(preview, "load_backbone", lambda *_, **__: pytest.fail("loaded the base"))
    with pytest.raises(ValueError, match=error):
        draw_preview(FILES, tmp_path / "x.png", request_)


def test_a_sheet_has_the_ending_png(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(preview, "load_all", lambda *_: pytest.fail("read the files"))
    with pytest.raises(FormatError, match=r"a name that ends in \.png, found .*sheet\.txt: give it that ending"):
        draw_preview(FILES, tmp_path / "sheet.txt", PreviewRequest(BASE))


def test_a_request_that_acts_while_sampling_keeps_its_settings(tmp_path: Path, monkeypatch) -> None:
    composed = []

    def compose(*given: object) -> torch.Tensor:
        composed.append(given)
        return torch.zeros(1, 3, 32, 32)

    monkeypatch.setattr(preview, "sample_composed", compose)
    chosen = MergeRequest("switch", balance=0.5, blocks={"mid_block": [0.5, 1]}, options={"tau": 1})
    request = PreviewRequest(BASE, weights=[(2, 1)], chosen=chosen, seeds=(3,), sampling=Sampling(1, 1.0), device="cpu")
    (cell,) = draw_preview(FILES, tmp_path / "x.png", request)
    assert cell.method == "as chosen"
    ((_, loras, merger, *_, options),) = composed
    assert (merger.name, options) == ("switch", {"tau": 1})
    balanced, _ = balance_loras([load(file) for file in FILES], 0.5)
    for lora, before, weights in zip(loras, balanced, ((2, 1), (1, 1)), strict=True):
        for layer, delta in before.layers.items():
            factor = weights[layer.startswith("mid_block")]
            torch.testing.assert_close(lora.layers[layer].delta(), factor * delta.delta())


def test_accelerators_are_not_balanced() -> None:
    content, style = (load(file) for file in FILES)
    lcm = LoRA(scale_layers(content, dict.fromkeys(content.layers, 10.0)).layers, name="lcm-lora-sdxl")
    one = MergeRequest("switch", balance=1, weights=[1, 2, 1])
    placed = place_loras([content, lcm, style], one)
    balanced, _ = balance_loras([content, style], 1)
    for layer in content.layers:
        torch.testing.assert_close(placed[1].layers[layer].delta(), 20 * content.layers[layer].delta())
        torch.testing.assert_close(placed[2].layers[layer].delta(), balanced[1].layers[layer].delta())


def test_three_loras_need_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected `prompt` for 3 LoRAs"):
        draw_preview([*FILES, FILES[1]], tmp_path / "x.png", PreviewRequest(BASE, ["direct"]))


def test_tiles_are_square() -> None:
    tiles = preview._tiles(torch.zeros(2, 3, 4, 4))
    assert tiles.shape == (3, 8, 8)
    assert (float(tiles[:, :4].max()), float(tiles[:, 4:].min())) == (0, 1)


def test_without_a_scorer_there_are_no_scores() -> None:
    assert preview._open_scorer(BASE, []) is None
    assert preview._open_scorer("owner/base", []) is None
    assert describe_preview([preview.PreviewCell("direct", (1.0,))]) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [MergeRequest("direct"), MergeRequest("switch", balance=0.5, options={"tau": 1})],
    ids=["merged", "composed"],
)
def test_a_cell_shows_what_generate_draws(chosen: MergeRequest, tmp_path: Path, monkeypatch) -> None:
    parts = []
    monkeypatch.setattr(preview, "labelled_sheet", lambda *given, cell: parts.extend(given[-1]))
    request = PreviewRequest(
        BASE, weights=[(0.5, 1)], chosen=chosen, seeds=(3,), sampling=Sampling(2, 1.0), device="cpu"
    )
    draw_preview(FILES, tmp_path / "x.png", request)
    how = {"merger": chosen.merger, "balance": chosen.balance, "options": chosen.options, "weights": [0.5, 1]}
    how |= {"steps": 2, "guidance": 1.0, "device": "cpu"}
    (image,) = generate(BASE, FILES, prompt="a sks fish in szn style", seeds=[3], **how)
    shown = to_bytes(parts[1].rows[0][1][0].image)
    assert np.abs(shown.astype(int) - np.asarray(image).astype(int)).max() <= 1


@pytest.mark.slow
def test_the_command_draws_its_default_sheet(tmp_path: Path, capsys) -> None:
    argv = [
        "preview",
        *map(str, FILES),
        "--base",
        str(BASE),
        "-o",
        str(tmp_path / "x.png"),
        "--seeds",
        "0",
        "--steps",
        "2",
    ]
    assert main([*argv, "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    assert [cell["method"] for cell in cells[::5]] == ["layerwise (default)", "auto", "direct", "ties"]
    assert len(cells) == 20
