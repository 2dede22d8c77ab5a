"""lorarar.formats.writing: files by family, their round trip, and rejected LoRAs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import Format, default_format, encode_lora, save
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.storage.atomic import FormatError
from tests.architectures import kernel, shapes
from tests.formats.reference import check_same, effect
from tests.tiny import two_block_lora

Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
SAMPLE = {
    "sdxl": (Q, "up_blocks.0.upsamplers.0.conv", "mid_block.resnets.1.time_emb_proj", "conv_in"),
    "sd15": (Q, "down_blocks.0.attentions.1.proj_out", "up_blocks.3.resnets.2.conv_shortcut", "conv_out"),
    "flux": ("single_transformer_blocks.37.proj_mlp", "transformer_blocks.18.attn.to_add_out", "x_embedder"),
    "qwen-image": ("transformer_blocks.59.attn.to_q", "img_in"),
    "z-image": ("layers.29.feed_forward.w1", "cap_embedder.1"),
}  # fmt: skip


@st.composite
def loras(draw: st.DrawFn) -> LoRA:
    """Draw some layers of a family in any order, with any ranks, scales and dtypes."""
    family = draw(st.sampled_from(sorted(SAMPLE)))
    paths = draw(st.lists(st.sampled_from(SAMPLE[family]), min_size=1, unique=True))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    layers: dict[str, LowRank] = {}
    for path in paths:
        out, width = shapes(family)[path]
        rank, dtype = draw(st.integers(1, 5)), draw(st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
        scale = draw(st.one_of(st.integers(0, 9).map(lambda alpha, r=rank: alpha / r), st.floats(1e-3, 9)))
        b, a = torch.randn(out, rank, generator=generator), torch.randn(rank, width, generator=generator)
        layers[path] = LowRank(b.to(dtype), a.to(dtype), scale, kernel(family, path))
    return LoRA(layers, family=family)


def effect_of(layer: Layer) -> Tensor:
    assert isinstance(layer, LowRank)
    return effect(layer.B, layer.A, layer.scale)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(loras(), st.sampled_from(["kohya", "diffusers", "peft", None]))
def test_every_lora_comes_back_in_every_format(lora: LoRA, format: Format | None) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("adapter" if format == "peft" else "x.safetensors")
        save(lora, path, format=format, dtype=torch.float32)
        back = load(path)
        fused = format == "kohya" and lora.family in ("flux", "z-image")
        # A zero fused layer comes back with all parts; a zero part of another fused layer is left out.
        assert fused or back.layers.keys() == lora.layers.keys()
        assert all(not effect_of(back.layers[name]).any() for name in back.layers.keys() - lora.layers.keys())
        for name, layer in lora.layers.items():
            if name not in back.layers:
                assert not effect_of(layer).any()
                continue
            other = back.layers[name]
            assert isinstance(layer, LowRank)
            assert isinstance(other, LowRank)
            assert other.kernel == layer.kernel
            if not layer.scale:
                assert not other.delta().any()
                continue
            if fused:
                check_same({name: effect_of(other)}, {name: effect_of(layer)})
                continue
            # Only numbers that the dialect stores as float32 are rounded: an alpha, or A times the scale.
            assert torch.equal(other.B, layer.B.float())
            expected = layer.scale * layer.A.double()
            assert (other.scale * other.A.double() - expected).abs().max() <= 2e-7 * expected.abs().max()


@pytest.mark.parametrize("format", ["kohya", "diffusers", "peft"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_unchanged_in_the_dtype_it_has(format: Format, dtype: torch.dtype, tmp_path: Path) -> None:
    """A UNet's file preserves factors bit by bit, and scales of whole alphas."""
    layers = {Q: LowRank(torch.randn(640, 3).to(dtype), torch.randn(3, 640).to(dtype), 2 / 3)}
    path = tmp_path / ("adapter" if format == "peft" else "x.safetensors")
    save(LoRA(layers, family="sdxl"), path, format=format, dtype=dtype)
    back = load(path).layers[Q]
    assert isinstance(back, LowRank)
    assert torch.equal(back.A, layers[Q].A)
    assert torch.equal(back.B, layers[Q].B)
    assert back.scale == 2 / 3


@pytest.mark.parametrize(
    ("families", "format"),
    [(("sdxl", "sd15", "sd2"), "kohya"), (("koala", "embedded", "", "flux", "sd3", "qwen-image"), "diffusers")],
)
def test_the_default_format_of_each_family(families: tuple[str, ...], format: str) -> None:
    for family in families:
        assert default_format(LoRA(two_block_lora(1).layers, family=family)) == format


def test_the_layers_determine_the_family_of_a_lora_without_one(tmp_path: Path) -> None:
    layer = LowRank(torch.ones(1280, 1), torch.ones(1, 2048))
    lora = LoRA({"mid_block.attentions.0.transformer_blocks.9.attn2.to_k": layer})
    assert default_format(lora) == "kohya"
    save(lora, tmp_path / "x")
    assert "lora_unet_middle_block_1_transformer_blocks_9_attn2_to_k.alpha" in load_file(tmp_path / "x")


@pytest.mark.parametrize("format", ["diffusers", "peft"])
def test_dense_layers_are_refused_by_dialects_of_factors(format: Format, tmp_path: Path) -> None:
    lora = LoRA({Q: Dense(torch.ones(640, 640)), f"{Q}.bias": Dense(torch.ones(640))}, family="sdxl")
    with pytest.raises(FormatError, match=r"x.* was not written: .*2 of 2 layers are dense.*format=.kohya..*`rank`"):
        save(lora, tmp_path / "x", format=format)
    assert list(tmp_path.iterdir()) == [] or not any(tmp_path.rglob("*.safetensors"))


def test_embeddings_are_written_beside_the_file(tmp_path: Path) -> None:
    lora = LoRA(two_block_lora(1).layers, embeddings={"<s1>": torch.arange(3.0)})
    path, beside = tmp_path / "x.safetensors", tmp_path / "x.embeddings.safetensors"
    assert save(lora, path) == [path, beside]
    assert torch.equal(load_file(beside)["<s1>"], torch.arange(3.0))
    with pytest.raises(FormatError, match="exists already"):
        save(lora, path)
    path.unlink()
    with pytest.raises(FormatError, match=r"x.embeddings.safetensors exists already"):
        save(lora, path)
    assert list(tmp_path.iterdir()) == [beside]  # all files or none
    save(lora, path, force=True)


@pytest.mark.parametrize("format", ["kohya", "diffusers", "peft"])
def test_tensors_alone_hold_the_scale(format: Format, tmp_path: Path) -> None:
    """A tool that takes a LoRA in memory sees no header."""
    lora = LoRA({Q: LowRank(torch.ones(640, 2), torch.ones(2, 640), 0.125)}, family="sdxl")
    save_file(encode_lora(lora, format=format), tmp_path / "a.safetensors")
    torch.testing.assert_close(load(tmp_path / "a.safetensors").layers[Q].delta(), lora.layers[Q].delta())


def test_a_header_never_goes_with_alpha_tensors(tmp_path: Path) -> None:
    """diffusers rejects a file with both. The header of an input must not survive in the kohya dialect."""
    lora = LoRA(two_block_lora(2, 0.25).layers, metadata={"lora_adapter_metadata": "{}", "trigger": "sks"})
    for format in ("kohya", "diffusers"):
        save(lora, tmp_path / format, format=format)  # type: ignore[arg-type]
    alphas = {
        name: any(key.endswith(".alpha") for key in load_file(tmp_path / name)) for name in ("kohya", "diffusers")
    }
    headers = {name: "lora_adapter_metadata" in read_stored(tmp_path / name).header for name in ("kohya", "diffusers")}
    assert alphas == {"kohya": True, "diffusers": False}
    assert headers == {"kohya": False, "diffusers": True}
    assert read_stored(tmp_path / "kohya").header["trigger"] == "sks"
