"""lorarar.formats.inspection.report against the arrays in the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lorarar.formats.inspection.report import inspect
from lorarar.storage.atomic import FormatError
from lorarar.storage.hashing import sha256

K = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
FF = "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_2"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"
TEXT = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


def pair(stem: str, out: int, width: int, rank: int, alpha: float | None, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kernel = (3, 3) if "conv" in stem else ()
    shape = (rank, width, *kernel)
    report = {
        f"{stem}.lora_down.weight": torch.randn(shape, generator=generator).half(),
        f"{stem}.lora_up.weight": torch.randn(out, rank, *(1 for _ in kernel), generator=generator).half(),
    }
    return report | ({} if alpha is None else {f"{stem}.alpha": torch.tensor(alpha)})


def size(tensors: dict[str, Tensor], stem: str, scale: float) -> float:
    """Return the Frobenius norm of a delta by numpy."""
    up, down = (tensors[f"{stem}.lora_{part}.weight"].double().flatten(1).numpy() for part in ("up", "down"))
    return float(np.linalg.norm(scale * up @ down))


def sd15() -> dict[str, Tensor]:
    return (
        pair(K, 640, 768, 4, 2.0)
        | pair(FF, 1280, 5120, 4, 2.0, 1)
        | pair(CONV, 320, 320, 2, None, 2)
        | pair(TEXT, 768, 768, 4, 4.0, 3)
    )


def test_a_file_is_described(tmp_path: Path) -> None:
    tensors, path = sd15(), tmp_path / "cat.safetensors"
    header = {
        "ss_output_name": "cat",
        "ss_caption_dropout_rate": "0",
        "modelspec.trigger_phrase": "sks cat",
        "modelspec.thumbnail": "data:",
        "ss_tag_frequency": json.dumps({"10_cat": {f"tag {i:02d}": i for i in range(20)}}),
    }
    save_file(tensors, path, header)
    report = inspect(path)
    assert (report.bytes, report.sha256) == (path.stat().st_size, sha256(path))
    assert (report.dialect, report.family, report.family_label) == ("kohya", "sd15", "Stable Diffusion 1")
    assert report.algorithms == {"lora": 4}
    assert report.dtypes == {"fp16": 8}
    assert (report.layers, report.ranks, report.alphas) == (4, {"4": 3, "2": 1}, {"2": 2, "none": 1, "4": 1})
    assert report.scales == {"0.5": 2, "1": 2}
    assert list(report.kinds) == [
        {"kind": "attention k", "shape": [640, 768], "count": 1},
        {"kind": "convolution", "shape": [320, 2880], "count": 1},
        {"kind": "feed-forward", "shape": [1280, 5120], "count": 1},
        {"kind": "text encoder", "shape": [768, 768], "count": 1},
    ]
    norms = {
        "down_blocks.0": size(tensors, CONV, 1.0),
        "down_blocks.1": size(tensors, K, 0.5),
        "mid_block": size(tensors, FF, 0.5),
        "text_encoder": size(tensors, TEXT, 1.0),
    }
    assert report.norms == pytest.approx(norms, rel=1e-5)
    assert report.norm == pytest.approx(math.hypot(*norms.values()), rel=1e-5)
    assert report.triggers == ("sks cat",)
    assert list(report.tags["10_cat"].items())[:2] == [("tag 19", 19), ("tag 18", 18)]
    assert len(report.tags["10_cat"]) == 10
    assert report.metadata == {"ss_output_name": "cat", "modelspec.trigger_phrase": "sks cat"}
    assert report.other_metadata == ("modelspec.thumbnail", "ss_caption_dropout_rate", "ss_tag_frequency")
    assert report.warnings == ()


def test_the_text_contains_all_fields(tmp_path: Path) -> None:
    path = tmp_path / "cat.safetensors"
    save_file(sd15() | {"<s1>": torch.ones(768)}, path, {"ss_training_comment": "x" * 200, "ss_zero_terminal_snr": "1"})
    lines = inspect(path).text().splitlines()
    assert lines[0] == f"{path}: {path.stat().st_size / 1e6:.1f} MB, fp16, sha256 {sha256(path)[:12]}"
    for line in (
        "  family      Stable Diffusion 1",
        "  rank        4 (3), 2 (1)",
        "  embeddings  <s1>",
        "4 layers",
        "  attention k     640 x 768  1",
        "ss_training_comment: " + "x" * 97 + "...",
        "1 other fields in the header",
    ):
        assert line in lines
    assert any(line.startswith("warning: ") and "embedding" in line for line in lines)


def test_a_report_can_be_written_as_json(tmp_path: Path) -> None:
    save_file(sd15(), tmp_path / "cat.safetensors")
    report = inspect(tmp_path / "cat.safetensors")
    assert json.loads(json.dumps(report.to_dict()))["kinds"][0] == report.kinds[0]


def test_layers_that_need_the_base_are_reported_without_deltas(tmp_path: Path) -> None:
    tensors = sd15() | {f"{K}.dora_scale": torch.ones(1, 768).half()}
    save_file(tensors, tmp_path / "dora.safetensors")
    report = inspect(tmp_path / "dora.safetensors")
    assert report.algorithms == {"lora": 3, "dora": 1}
    assert (report.layers, report.ranks) == (4, {"4": 3, "2": 1})
    assert report.kinds[0] == {"kind": "attention k", "shape": [640, 768], "count": 1}
    assert "down_blocks.1" not in report.norms
    assert report.warnings == ("1 layers (dora) need the base model's weights: give `base`",)


def test_warnings(tmp_path: Path) -> None:
    other = {
        "unet.down_blocks.0.attn.odd.lora_A.weight": torch.zeros(2, 5),
        "unet.down_blocks.0.attn.odd.lora_B.weight": torch.zeros(7, 2),
    }
    save_file({key: t.to(torch.float8_e4m3fn) for key, t in other.items()}, tmp_path / "odd.safetensors")
    assert set(inspect(tmp_path / "odd.safetensors").warnings) == {
        "1 of 1 layers change nothing (their delta is zero), first down_blocks.0.attn.odd",
        "unknown base model: the layers fit no supported family, or several",
        "2 tensors have 8 bits: their weights have only one or two digits, in any output precision",
    }


def test_parts_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    tensors = sd15()
    tensors[f"{K}.lora_up.weight"] = torch.ones(640, 3).half()
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(FormatError, match=r"bad.safetensors.*down_blocks\.1.*ranks must agree"):
        inspect(tmp_path / "bad.safetensors")


def test_the_source_of_alpha_is_said(tmp_path: Path) -> None:
    path = tmp_path / "adapter_model.safetensors"
    save_file(pair(K, 640, 768, 4, 2.0), path)
    report = inspect(path)
    assert (report.alphas, report.alpha_sources) == ({"2": 1}, {"the tensors": 1})
    assert "alpha       2, from the tensors" in report.text()
    names = "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    factors = {f"{names}.lora_A.weight": torch.ones(2, 768), f"{names}.lora_B.weight": torch.ones(640, 2)}
    save_file(factors, path, metadata={"lora_adapter_metadata": json.dumps({"r": 2, "lora_alpha": 6})})
    assert "alpha       6, from the header" in inspect(path).text()
    save_file(factors, path)
    assert "alpha       none" in inspect(path).text()
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 8}))
    assert "alpha       8, from adapter_config.json" in inspect(path).text()


def test_no_escape_sequence_of_the_file_reaches_the_terminal(tmp_path: Path) -> None:
    escape = "\x1b[2J\x07\u202ewarning\nwarning: none"
    key = f"unet.mid_block.{escape}.to_q"
    tensors = {f"{key}.lora_A.weight": torch.ones(1, 4), f"{key}.lora_B.weight": torch.ones(4, 1)}
    save_file(tensors, tmp_path / "x", metadata={"modelspec.trigger_phrase": escape, "lorarar.method": escape})
    for text in (inspect(tmp_path / "x").text(), inspect(tmp_path / "x", tmp_path / "x").text()):
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert "warning: none" not in text.splitlines()
    assert "\\x1b[2J" in inspect(tmp_path / "x").text()
