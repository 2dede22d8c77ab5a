"""lorarar.formats.precision: small and large scales in fp16, against dense arithmetic in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lorarar.formats.loading import load
from lorarar.formats.writing import Format, save
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.storage.atomic import FormatError

Q, K = (f"down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_{name}" for name in "qk")


def delta(layer: object) -> torch.Tensor:
    assert isinstance(layer, LowRank)
    return layer.scale * (layer.B.double() @ layer.A.double())


def factor(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.02 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("format", ["kohya", "diffusers", "peft"])
@pytest.mark.parametrize("scale", [1e-2, 1e-5, 1e-8, 1e-12, 1e7])
def test_a_small_or_large_scale_inside_a_factor_keeps_its_digits(format: Format, scale: float, tmp_path: Path) -> None:
    layers = {path: LowRank(factor(640, 4), factor(4, 640, seed=1) * scale) for path in (Q, K)}
    (written, *_) = save(LoRA(layers, family="sdxl"), tmp_path / ("a" if format == "peft" else "a.safetensors"),
                         format=format)  # fmt: skip
    back, expected = delta(load(written).layers[Q]), delta(layers[Q])
    assert (back - expected).norm() < 1e-3 * expected.norm()


def test_a_small_part_of_a_layer_keeps_its_digits(tmp_path: Path) -> None:
    """A merge at weight 1e-5 beside one at weight 1, in a transformer's file, which has no alpha."""
    b, a = factor(3072, 4), factor(4, 3072, seed=1)
    a[2:] *= 1e-5
    save(LoRA({"transformer_blocks.0.attn.to_q": LowRank(b, a)}, family="flux"), tmp_path / "a.safetensors")
    (layer,) = load(tmp_path / "a.safetensors").layers.values()
    assert isinstance(layer, LowRank)
    small = layer.B[:, 2:].double() @ layer.A[2:].double()
    expected = b[:, 2:].double() @ a[2:].double()
    assert (small - expected).norm() < 1e-3 * expected.norm()


def test_factors_without_loss_are_written_as_they_are(tmp_path: Path) -> None:
    """Also those that fp16 holds with few digits only: one LoRA at weight 1 comes back unchanged."""
    b, a = (factor(640, 4) * 1e-4).half(), factor(4, 640, seed=1).half()
    save(LoRA({Q: LowRank(b, a, 1e-6)}, family="sdxl"), tmp_path / "a.safetensors")
    layer = load(tmp_path / "a.safetensors").layers[Q]
    assert isinstance(layer, LowRank)
    assert torch.equal(layer.A, a)
    assert torch.equal(layer.B, b)


def test_the_header_states_the_alpha_of_the_tensors(tmp_path: Path) -> None:
    lora = LoRA({Q: LowRank(factor(640, 4), factor(4, 640, seed=1) * 1e-8)}, {"ss_network_alpha": "4"}, family="sdxl")
    save(lora, tmp_path / "a.safetensors")
    (alpha,) = (value for key, value in load_file(tmp_path / "a.safetensors").items() if key.endswith(".alpha"))
    assert 0 < float(alpha) < 1e-3
    assert load(tmp_path / "a.safetensors").metadata["ss_network_alpha"] == f"{float(alpha):g}"


def test_weights_beyond_the_range_are_refused_and_written_in_fp32(tmp_path: Path) -> None:
    lora = LoRA({"transformer_blocks.0.attn.to_q": LowRank(factor(3072, 4), factor(4, 3072) * 1e-12)}, family="flux")
    with pytest.raises(FormatError, match=r"beyond the range of torch.float16.*write it with fp32 or bf16"):
        save(lora, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()
    for dtype in ("fp32", "bf16"):
        save(lora, tmp_path / f"{dtype}.safetensors", dtype=dtype)
