"""lorarar.mergers.noise_pairs: pairs of files for high and low noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.combination import combine
from lorarar.mergers.noise_pairs import noise_side, split_pairs
from lorarar.mergers.request import FileMerge, MergeRequest
from lorarar.workflows.merges import merge_to_files

DIRECT = MergeRequest(merger="direct")


@pytest.mark.parametrize(
    ("name", "family", "side"),
    [
        ("style_high_noise.safetensors", "", "high"),
        ("Wan22-LowNoise-v2", "", "low"),
        ("wan22_cat_HIGH_e10.safetensors", "wan-14b", "high"),
        ("wan22-cat-low", "wan-14b", "low"),
        ("wan22-cat-low", "wan-1.3b", ""),
        ("low_poly", "sdxl", ""),
        ("slow_motion_highlights", "wan-14b", ""),
    ],
)
def test_the_side_that_a_name_says(name: str, family: str, side: str) -> None:
    assert noise_side(name, family) == side


def wan(path: Path, seed: int) -> Path:
    generator = torch.Generator().manual_seed(seed)
    stem = "diffusion_model.blocks.0.self_attn.q"
    factors = {"lora_A": (1, 5120), "lora_B": (5120, 1)}
    save_file({f"{stem}.{n}.weight": torch.randn(shape, generator=generator) for n, shape in factors.items()}, path)
    return path


def test_pairs_are_merged_apart_by_one_command(tmp_path: Path) -> None:
    high_a, low_a, high_b, low_b = (
        wan(tmp_path / f"{name}.safetensors", seed) for seed, name in enumerate(("a_high", "a_low", "b_high", "b_low"))
    )
    job = FileMerge([f"{high_a}+{low_a}", f"{high_b}+{low_b}"], tmp_path / "out.safetensors", DIRECT, dtype="fp32")
    summaries = merge_to_files(job)
    for side, inputs, summary in zip(("high", "low"), ((high_a, high_b), (low_a, low_b)), summaries, strict=True):
        out = tmp_path / f"out_{side}_noise.safetensors"
        assert [entry["file"] for entry in summary["inputs"]] == [path.name for path in inputs]
        stem = "diffusion_model.blocks.0.self_attn.q"
        files = [load_file(path) for path in (out, *inputs)]
        merged, one, other = (f[f"{stem}.lora_B.weight"] @ f[f"{stem}.lora_A.weight"][:, :64] for f in files)
        assert torch.allclose(merged, one + other, atol=1e-5)
    assert not (tmp_path / "out.safetensors").exists()


def test_the_second_output_is_checked_before_the_first_merge(tmp_path: Path) -> None:
    high, low = wan(tmp_path / "a_high.safetensors", 0), wan(tmp_path / "a_low.safetensors", 1)
    (tmp_path / "out_low_noise.safetensors").touch()
    with pytest.raises(ValueError, match="out_low_noise.safetensors"):
        merge_to_files(FileMerge([f"{high}+{low}"], tmp_path / "out.safetensors", DIRECT))
    assert not (tmp_path / "out_high_noise.safetensors").exists()


def test_pairs_that_are_incomplete_or_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    for files, message in (
        (["a+b", "c"], "expected every LoRA as a pair of files, HIGH[+]LOW, found c"),
        (["a+"], "found a[+]: give all as pairs"),
        (["a+b+c"], "found a[+]b[+]c"),
        (["a_low.safetensors+a_high.safetensors"], "expected the file for high noise .* found a_low.*exchange the two"),
    ):
        with pytest.raises(ValueError, match=message):
            split_pairs(FileMerge(files, output))
    (tmp_path / "one+file.safetensors").touch()
    single = FileMerge([tmp_path / "one+file.safetensors"], output)
    assert split_pairs(single) == [single]
    jobs = split_pairs(replace(single, files=["x+y"], save_coefficients=tmp_path / "c.safetensors"))
    assert [(job.output.stem, job.save_coefficients and job.save_coefficients.stem) for job in jobs] == [
        ("out_high_noise", "c_high_noise"),
        ("out_low_noise", "c_low_noise"),
    ]


def test_halves_of_different_sides_are_not_merged() -> None:
    layer = {"blocks.0.attn1.to_q": LowRank(torch.ones(5120, 1), torch.ones(1, 5120))}
    high, low = (LoRA(layer, name=f"wan_{side}.safetensors", family="wan-14b") for side in ("high", "low"))
    with pytest.raises(ValueError, match=r"found wan_high.safetensors for high noise and wan_low.* HIGH\+LOW"):
        combine([high, low], DIRECT)
    assert combine([high, replace(high, name="wan_t2v")], DIRECT).lora.family == "wan-14b"
