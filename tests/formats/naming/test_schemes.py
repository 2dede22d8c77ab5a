"""lorarar.formats.naming.schemes: the tables, and their lines."""

from __future__ import annotations

import pytest

from lorarar.formats.naming.originals import comfyui_scheme, kohya_scheme, original_layer, rows_of
from lorarar.formats.naming.schemes import SCHEMES
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.families.transformer import TransformerShape
from lorarar.lora.rows import Rows


@pytest.mark.parametrize("name", SCHEMES)
def test_every_line_names_layers_of_its_families(name: str) -> None:
    scheme = SCHEMES[name]
    shapes = [FAMILIES[key].shape for key in scheme.families]
    assert all(isinstance(shape, TransformerShape) for shape in shapes)
    wrong = [
        path
        for entry in scheme.entries
        for path, _ in entry.shares
        if not any(shape.admits(path.replace("#", "0"), ()) for shape in shapes)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", SCHEMES)
def test_no_name_stands_for_two_layers(name: str) -> None:
    scheme = SCHEMES[name]
    assert len(scheme.by_name) == len(scheme.entries)
    for entry in scheme.entries:
        path = entry.name.replace("#", "7")
        rows = rows_of(path.replace(".", "_"), name, 0)
        assert rows == rows_of(path, name, 0)
        assert rows is not None
        if entry.name != "single_blocks.#.qkv":  # rows of linear1, which XLabs trains alone
            assert original_layer(rows.paths[0], name) == (path, rows)


def test_lines_with_shares_halves_and_units() -> None:
    assert rows_of("single_blocks.3.linear1", "flux", 0) == Rows(
        (
            ("single_transformer_blocks.3.attn.to_q", 1),
            ("single_transformer_blocks.3.attn.to_k", 1),
            ("single_transformer_blocks.3.attn.to_v", 1),
            ("single_transformer_blocks.3.proj_mlp", 4),
        )
    )
    assert rows_of("final_layer_adaLN_modulation_1", "flux2", 0) == Rows((("norm_out.linear", 1),), halves=True)
    attention = tuple((f"layers.0.attn.to_{name}", share) for name, share in (("q", 3), ("k", 1), ("v", 1)))
    assert rows_of("layers.0.attention.qkv", "lumina2", 0) == Rows(attention, unit=3)


def test_the_scheme_of_a_family() -> None:
    assert (kohya_scheme("hunyuan-video"), comfyui_scheme("hunyuan-video")) == (
        "hunyuan-video",
        "hunyuan-video-comfyui",
    )
    assert kohya_scheme("kandinsky5-pro") is None
    assert kohya_scheme("sdxl") is None
