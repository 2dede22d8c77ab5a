"""lorarar.formats.conversion: the same deltas in another dialect, with a correct header."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close

from lorarar.formats.conversion import convert_file
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.lora.truncation import relative_error
from lorarar.storage.atomic import FormatError
from lorarar.storage.hashing import sha256
from tests.tiny import factors

BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
NAMES = (f"{BLOCK}.attn2.to_k", f"{BLOCK}.attn2.to_v")
HEADER = {
    "ss_output_name": "cat",
    "ss_network_dim": "99",
    "ss_network_args": '{"algo": "loha"}',
    "sshs_model_hash": "00",
    "modelspec.title": "A cat",
    "modelspec.implementation": "elsewhere",
    "lorarar.method": "direct",
    "lorarar.converted_from": "long ago",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write a LoRA of two SDXL layers of rank 8 and scale 0.3, in fp32 with diffusers names."""
    path = tmp_path / "cat.safetensors"
    layers = {name: factors(640, 2048, 8, 0.3, seed) for seed, name in enumerate(NAMES)}
    save(LoRA(layers, HEADER, family="sdxl"), path, format="diffusers", dtype=torch.float32)
    return path


def header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


@pytest.mark.parametrize("format", ["kohya", "diffusers", "peft", None])
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_the_deltas_stay_the_same(source: Path, tmp_path: Path, format: str | None, dtype: str) -> None:
    output = tmp_path / ("adapter" if format == "peft" else "out.safetensors")
    conversion = convert_file(source, output, format=format, dtype=dtype)
    before, after = load(source), load(output)
    output = conversion.files[0]
    written, verified = conversion.text().splitlines()
    assert written == f"written: {', '.join(map(str, conversion.files))}: 2 layers"
    assert verified.startswith("verified: 2 layers read again, relative error ")
    assert set(after.layers) == set(NAMES)
    tolerance = 1e-5 if dtype == "fp32" else 2e-3
    for name in NAMES:
        expected = before.layers[name].delta()
        assert_close(after.layers[name].delta(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))
    with safe_open(output, framework="pt") as file:
        keys = list(file.keys())
    stem = {"diffusers": "unet.down_blocks", "peft": "base_model.model.down_blocks"}.get(
        format or "", "lora_unet_input_"
    )
    assert all(key.startswith(stem) for key in keys)


def test_the_header_is_kept_without_the_old_layout(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    convert_file(source, output)
    fields = header(output)
    assert (fields["ss_output_name"], fields["modelspec.title"], fields["lorarar.method"]) == ("cat", "A cat", "direct")
    assert (fields["ss_network_dim"], fields["ss_network_alpha"]) == ("8", "2.4")
    assert fields["modelspec.implementation"] == "https://github.com/Stability-AI/generative-models"
    assert fields["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert json.loads(fields["lorarar.converted_from"]) == {"name": "cat.safetensors", "sha256": sha256(source)}
    assert not {"ss_network_args", "sshs_model_hash", "lorarar.truncation_error", "modelspec.merged_from"} & set(fields)


def test_truncation_to_a_rank_reports_its_error(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    conversion = convert_file(source, output, rank=3, dtype="fp32")
    before, after = load(source), load(output)
    lost, total = 0.0, 0.0
    for name in NAMES:
        layer = after.layers[name]
        assert isinstance(layer, LowRank)
        assert layer.rank == 3
        singular = torch.linalg.svdvals(before.layers[name].delta().double()).square()
        lost, total = lost + float(singular[3:].sum()), total + float(singular.sum())
    error = (lost / total) ** 0.5
    assert relative_error(conversion.losses.values()) == pytest.approx(error, rel=1e-4)
    assert f"truncated with relative error {error:.3g}, at most" in conversion.text()
    assert float(header(output)["lorarar.truncation_error"]) == pytest.approx(error, rel=1e-4)
    assert header(output)["ss_network_dim"] == "3"


def test_an_energy_makes_full_rank_layers_low_rank(tmp_path: Path) -> None:
    delta = factors(640, 2048, 5, 0.1).delta() + 1e-4 * torch.randn(
        640, 2048, generator=torch.Generator().manual_seed(0)
    )
    source, output = tmp_path / "full.safetensors", tmp_path / "out.safetensors"
    save(LoRA({NAMES[0]: Dense(delta)}, family="sdxl"), source, format="kohya", dtype=torch.float32)
    with pytest.raises(FormatError, match=r"out.safetensors was not written.*`rank`"):
        convert_file(source, output, format="diffusers")
    convert_file(source, output, format="diffusers", energy=0.999, dtype="fp32")
    layer = load(output).layers[NAMES[0]]
    assert isinstance(layer, LowRank)
    assert layer.rank == 5
    assert_close(layer.delta(), delta, rtol=0, atol=1e-2)


def test_a_folder_for_peft_is_replaced_only_with_force(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    conversion = convert_file(source, folder, format="peft")
    assert {path.name for path in conversion.files} == {"adapter_model.safetensors", "adapter_config.json"}
    with pytest.raises(FormatError, match="exists already"):
        convert_file(source, folder, format="peft")
    convert_file(source, folder, format="peft", force=True)


def test_a_failure_leaves_no_file(source: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for options, message in (
        ({"rank": 2, "energy": 0.5}, "either `rank` or `energy`"),
        ({"rank": 0}, "rank of at least 1"),
        ({"format": "onnx"}, "expected a format among"),
    ):
        with pytest.raises(ValueError, match=message):
            convert_file(source, tmp_path / "out.safetensors", **options)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="exists already"):
        convert_file(source, source)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_never_replaces_itself(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    (tmp_path / "hard.safetensors").hardlink_to(source)
    (tmp_path / "soft.safetensors").symlink_to(source)
    (tmp_path / "links").symlink_to(source.parent)
    for target in (source, tmp_path / "hard.safetensors", tmp_path / "links" / source.name):
        with pytest.raises(FormatError, match="an output that is no input, found .*, which is read too"):
            convert_file(source, target, force=True)
    with pytest.raises(FormatError, match="a regular file or none"):
        convert_file(source, tmp_path / "soft.safetensors", force=True)
    assert source.read_bytes() == before


def test_an_unknown_dtype_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fp16, bf16, fp32, found 'int8'"):
        convert_file(source, tmp_path / "out.safetensors", dtype="int8")


def test_learned_embeddings_are_kept(tmp_path: Path) -> None:
    key = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    tensors = {f"unet.{key}.lora_A.weight": torch.ones(2, 2048), f"unet.{key}.lora_B.weight": torch.ones(640, 2)}
    save_file(tensors | {"<s1>": torch.ones(768)}, tmp_path / "cat.safetensors")
    conversion = convert_file(tmp_path / "cat.safetensors", tmp_path / "out.safetensors")
    assert conversion.files[1] == tmp_path / "out.embeddings.safetensors"
    assert conversion.files[1].is_file()
