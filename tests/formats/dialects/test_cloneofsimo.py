"""cloneofsimo dialect against the order of diffusers modules, and with real files if they are available."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorarar.formats.dialects.cloneofsimo import numbered_paths, parse
from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import Format, save
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.table import MERGERS
from lorarar.storage.atomic import FormatError
from tests.architectures import modules, shapes
from tests.formats.reference import by_us, check_same, effect

HEADER = {"unet": '["CrossAttention", "Attention", "GEGLU"]', "text_encoder": '["CLIPAttention"]'}
NAMES = ("cloneofsimo_analog_svd_rank4.safetensors", "cloneofsimo_lora_disney.safetensors")


def fixture(name: str) -> Path:
    folder = os.environ.get("LORARAR_FIXTURES")
    path = Path(folder or ".") / "loras" / name
    if not folder or not path.is_file():
        pytest.skip(f"LORARAR_FIXTURES must hold loras/{name}, from github cloneofsimo/lora (Apache-2.0)")
    return path


def test_blocks_are_in_the_order_of_the_unet() -> None:
    """diffusers registers the middle block last, and the numbers follow this order."""
    registered = [path for path in modules("sd15") if path.endswith("attn1.to_q")]
    ours = [path for path in numbered_paths(HEADER, "", 144) if path.endswith("attn1.to_q")]
    assert ours == registered
    assert ours[-1].startswith("mid_block")


def test_the_order_in_a_block() -> None:
    block = "down_blocks.0.attentions.0.transformer_blocks.0."
    attention = ("to_q", "to_k", "to_v", "to_out.0")
    assert numbered_paths(HEADER, "", 144)[:9] == [
        *(f"{block}attn1.{name}" for name in attention),
        f"{block}ff.net.0.proj",
        *(f"{block}attn2.{name}" for name in attention),
    ]
    assert set(numbered_paths(HEADER, "", 144)) <= set(shapes("sd15"))
    without = {"unet": '["CrossAttention", "Attention"]'}
    assert numbered_paths(without, "", 128) == [path for path in numbered_paths(HEADER, "", 144) if "ff" not in path]
    text = numbered_paths(HEADER, "text_encoder", 48)
    assert [path.rpartition(".")[2] for path in text[:4]] == ["k_proj", "v_proj", "q_proj", "out_proj"]
    assert len(numbered_paths(HEADER, "text_encoder", 92)) == 92  # SD 2


@pytest.mark.parametrize(
    ("header", "count", "message"),
    [
        ({}, 144, r"targets of the unet.*found \[\]"),
        ({"unet": "nonsense"}, 144, r"targets of the .*found \[\]"),
        ({"unet": '["ResnetBlock2D"]'}, 144, "targets .*ResnetBlock2D.*a version of the file with named layers"),
        (HEADER, 143, r"expected 144 numbered layers in the unet.*found 143"),
    ],
)
def test_other_models_are_refused(header: dict[str, str], count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        numbered_paths(header, "", count)


def numbered(count: int) -> dict[str, Tensor]:
    tensors = {}
    for i, path in enumerate(numbered_paths(HEADER, "", 144)[:count]):
        out, width = shapes("sd15")[path]
        tensors |= {f"unet:{i}:down": torch.full((1, width), i + 1.0), f"unet:{i}:up": torch.ones(out, 1)}
    return tensors


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    header = HEADER | {f"unet:{i}:rank": "1" for i in range(144)} | {"<s1>": "<embed>", "trained": "yes"}
    save_file(numbered(144) | {"<s1>": torch.ones(768)}, path, metadata=header)
    stored = read_stored(path)
    assert (stored.dialect, stored.family) == ("cloneofsimo", "sd15")
    assert stored.warnings == ("the file contains 1 learned embeddings",)
    lora = load(path)
    assert lora.metadata == {"trained": "yes"}
    assert list(lora.embeddings) == ["<s1>"]
    for i, name in enumerate(numbered_paths(HEADER, "", 144)):
        layer = lora.layers[name]
        assert isinstance(layer, LowRank)
        assert layer.A[0, 0] == i + 1
        assert layer.scale == 1.0
    save_file(numbered(100), path, metadata=header)
    with pytest.raises(FormatError, match=r"x: .*expected 144 numbered layers in the unet.*found 100"):
        load(path)
    assert parse("vae:0:down") is None


def effects(lora: LoRA) -> dict[str, Tensor]:
    """Return the effect of each layer on four random inputs. All dense deltas would take a minute."""
    return {name: effect(f.B, f.A, f.scale) for name, f in lora.layers.items() if isinstance(f, LowRank)}


@pytest.mark.parametrize("name", NAMES)
def test_a_real_file_is_written_in_every_format(name: str, tmp_path: Path) -> None:
    lora = load(fixture(name))
    assert (lora.family, len(lora.layers)) == ("sd15", 192)
    unet = {path: layer for path, layer in lora.layers.items() if not path.startswith("text_encoder")}
    formats: dict[Format, LoRA] = {"kohya": lora, "diffusers": lora, "peft": LoRA(unet, family="sd15")}
    for format, original in formats.items():
        path = tmp_path / (format if format == "peft" else f"{format}.safetensors")
        written = save(original, path, format=format, dtype=torch.float32)
        check_same(by_us(written[0]), effects(original))


def test_real_files_merge_to_the_dense_sum(tmp_path: Path) -> None:
    files = [fixture(name) for name in NAMES]
    loras = [load(file) for file in files]
    path = tmp_path / "x.safetensors"
    merged = merge_exactly(loras, MERGERS["direct"].call(loras))
    save(LoRA(merged.layers, family="sd15"), path, dtype=torch.float32)
    raw = [load_file(file) for file in files]
    back = load(path)
    for i, name in list(enumerate(numbered_paths(HEADER, "", 144)))[::8]:
        expected = sum((t[f"unet:{i}:up"].double() @ t[f"unet:{i}:down"].double() for t in raw), torch.zeros(()))
        delta = back.layers[name].delta().double()
        assert (delta - expected).abs().max() <= 1e-5 * expected.abs().max()
