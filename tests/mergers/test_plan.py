"""lorarar.mergers.plan: what would be done is what is done, and nothing is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lorarar.formats.tensor_files import file_size, write_tensors
from lorarar.formats.writing import save
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.mergers.files import merge_files
from lorarar.mergers.plan import describe_merge_plan, plan_merge
from lorarar.mergers.request import FileMerge, MergeRequest, PairInputs
from lorarar.storage.atomic import FormatError
from tests import ROOT
from tests.tiny import factors, two_block_lora

Files = tuple[Path, Path]
_HEADER = 8000  # bytes of metadata at most
_KOHYA = {"format": "kohya"}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Two LoRAs of ranks 2 and 3; the second has a layer and a norm of its own."""
    cat, oil = two_block_lora(2, seed=0), two_block_lora(3, seed=50)
    own = {"mid_block.attentions.0.proj_in": factors(12, 12, 3), "mid_block.norm": Dense(torch.full((5,), 0.1))}
    paths = tmp_path / "cat.safetensors", tmp_path / "oil.safetensors"
    save(cat, paths[0])
    save(replace(oil, layers={**oil.layers, **own}), paths[1], format="kohya")
    return paths


@pytest.mark.parametrize(
    ("request_", "output"),
    [
        ({"merger": "direct"}, _KOHYA),
        ({"merger": "average"}, {"format": "kohya", "dtype": "fp32"}),
        ({"merger": "direct", "rank": 4, "weights": [1, 0]}, _KOHYA),
        ({"merger": "ties"}, _KOHYA),
        ({"merger": "ties", "weights": [1, 0]}, _KOHYA),
        ({"merger": "ties", "rank": 20}, _KOHYA),
        ({"merger": "dare", "rank": 3}, {"format": "kohya", "dtype": "bf16"}),
        ({"merger": "svd", "options": {"rank": 2}}, _KOHYA),
        ({"merger": "knots"}, _KOHYA),
        ({"merger": "np_lora"}, _KOHYA),
    ],
)
def test_the_planned_file_is_the_written_one(
    request_: dict[str, object], output: dict[str, str], files: Files, tmp_path: Path
) -> None:
    job = FileMerge(files, tmp_path / "out.safetensors", MergeRequest(**request_), **output)  # type: ignore[arg-type]
    plan = plan_merge(job)
    assert not job.output.exists()
    summary = merge_files(job)
    size = job.output.stat().st_size
    assert plan["output"]["exact"]
    assert 0 < size - plan["output"]["bytes"] < _HEADER
    assert plan["inputs"] == summary["inputs"]
    assert plan["method"] == summary["method"]
    assert sum(plan["layers"].values()) == summary["layers"] == 10
    assert plan["layers"]["carried"] == (10 if request_.get("weights") == [1, 0] else 2)
    assert max(map(int, plan["output"]["ranks"] or {"0": 0})) == summary["rank"]
    assert plan["output"]["dtype"] == job.dtype


def test_a_rank_above_a_layer_s_width_is_that_width(tmp_path: Path) -> None:
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for seed, path in enumerate(paths):
        save(two_block_lora(6, seed=seed), path)  # layers of 6 x 6 and 12 x 12
    job = FileMerge(paths, tmp_path / "out.safetensors", MergeRequest("direct", rank=8))
    plan = plan_merge(job)
    assert plan["output"]["ranks"] == {"6": 4, "8": 4}
    merge_files(job)
    assert 0 < job.output.stat().st_size - plan["output"]["bytes"] < _HEADER


def test_a_share_of_the_norm_bounds_the_size(files: Files, tmp_path: Path) -> None:
    job = FileMerge(files, tmp_path / "out.safetensors", MergeRequest("direct", energy=0.5), "kohya")
    plan = plan_merge(job)
    assert not plan["output"]["exact"]
    assert f"at most {plan['output']['bytes'] / 1e6:.2f} MB" in describe_merge_plan(plan)
    merge_files(job)
    assert job.output.stat().st_size - plan["output"]["bytes"] < _HEADER


def test_fused_layers_are_counted_as_they_are_written(tmp_path: Path) -> None:
    names = ("to_q", "to_k", "to_v")
    lora = LoRA({f"transformer_blocks.0.attn.{name}": factors(3072, 3072, 2) for name in names}, family="flux")
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in paths:
        save(lora, path, metadata={"modelspec.architecture": "flux-1-dev/lora"})  # FLUX.1 rather than Qwen-Image
    job = FileMerge(paths, tmp_path / "out.safetensors", MergeRequest("direct"), "kohya")
    plan = plan_merge(job)
    merge_files(job)
    # The three share one factor A, which a plan without numbers cannot see: the size is the largest possible.
    assert not plan["output"]["exact"]
    assert job.output.stat().st_size - plan["output"]["bytes"] < _HEADER
    assert plan["output"]["ranks"] == {"4": 3}


def test_a_plan_is_said_in_words(files: Files, tmp_path: Path) -> None:
    text = describe_merge_plan(plan_merge(FileMerge(files, tmp_path / "out.safetensors", format="kohya")))
    assert "first: cat.safetensors" in text
    assert "merged by a rule (auto): no network is shipped" in text
    assert "balance " in text
    assert "layers: 8 merged by fixed rules, 2 from one input alone" in text
    assert "rank 3 in 1 layers, rank 5 in 8 layers, 1 layers in full" in text
    assert "out.safetensors: kohya, fp16, 0.01 MB; nothing was written" in text


def test_the_shipped_network_is_named(tmp_path: Path) -> None:
    pair = [ROOT / f"data/embedded/loras/test_{kind}_00.safetensors" for kind in ("content", "style")]
    plan = plan_merge(FileMerge(pair, tmp_path / "out.safetensors"))
    assert plan["layers"] == {"predicted": 56, "fixed": 0, "carried": 0}
    assert str(plan["method"]["file"]).endswith("hypernetwork.safetensors")
    assert "used the network that is shipped for the family embedded" in plan["notes"]


def test_what_the_merge_would_refuse_is_refused(files: Files, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    for job, message in (
        (FileMerge(files, files[0]), "exists already"),
        (FileMerge(files, tmp_path / "none" / "x.safetensors"), "create it first"),
        (FileMerge(files, out, MergeRequest("ties")), "low-rank layers only"),
        (
            FileMerge(files, out, MergeRequest("ties"), "kohya", save_coefficients=tmp_path / "c.safetensors"),
            "drop `save_coeff",
        ),
        (FileMerge(files, out, MergeRequest("ziplora")), "give"),
        (FileMerge(files, out, MergeRequest(pair=PairInputs(init="x"))), "init"),
        (FileMerge(files, out, MergeRequest("direct", weights=[1, 2, 3])), "give one for each"),
        (FileMerge(files, out, MergeRequest("peft_linear")), "expected factors of one rank"),
    ):
        with pytest.raises((ValueError, FormatError), match=message):
            plan_merge(job)
    peft = tmp_path / "folder"
    job = FileMerge([files[0]], peft, MergeRequest("direct"), "peft")
    merge_files(job)
    with pytest.raises(FormatError, match="exists already"):
        plan_merge(job)
    assert plan_merge(replace(job, force=True))["output"]["file"] == str(peft / "adapter_model.safetensors")
    assert not out.exists()


def test_the_size_of_tensors_is_that_of_the_file(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(3, 5), "alpha": torch.tensor(2.0), "b": torch.ones(2, dtype=torch.int64)}
    for dtype in (None, torch.float16):
        write_tensors(tmp_path / "x", tensors, {"key": "value"}, dtype=dtype, force=True)
        assert file_size(tensors, {"key": "value"}, dtype=dtype) == (tmp_path / "x").stat().st_size
