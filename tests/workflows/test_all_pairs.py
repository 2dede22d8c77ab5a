"""lorarar.workflows.all_pairs: every pair of two folders, resumed, with its failures counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lorarar import load, save
from lorarar.cli.main import main
from lorarar.formats.tensor_files import read_tensor_file, write_tensors
from lorarar.hypernetwork.checkpoint import save_merger
from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger
from lorarar.mergers import choice
from lorarar.mergers.request import FileMerge, MergeRequest, PairInputs
from lorarar.storage import ConfigError, FormatError
from lorarar.workflows import all_pairs, pair_identity
from lorarar.workflows.all_pairs import merge_all_pairs, plan_all_pairs
from tests.tiny import two_block_lora


@pytest.fixture
def job(tmp_path: Path) -> FileMerge:
    for seed, name in enumerate(("contents/cat", "contents/dog", "styles/ink", "styles/oil")):
        path = tmp_path / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        save(two_block_lora(2, seed=30 * seed), path)
    return FileMerge((), tmp_path / "out", MergeRequest(merger="direct"))


def run(job: FileMerge) -> tuple[Any, list[dict[str, Any]]]:
    result = merge_all_pairs(job.output.parent / "contents", job.output.parent / "styles", job)
    return result, [json.loads(line) for line in result.manifest.read_text().splitlines()]


def test_all_pairs_are_merged_and_an_interrupted_run_continues(job: FileMerge, monkeypatch) -> None:
    done, real = [], all_pairs.merge_to_file

    def stop_after_two(one: FileMerge, facts: dict[str, object]) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(one.output.name)
        return real(one, facts)

    monkeypatch.setattr(all_pairs, "merge_to_file", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        run(job)
    assert done == ["cat+ink.safetensors", "cat+oil.safetensors"]
    assert len((job.output / "manifest.jsonl").read_text().splitlines()) == 2
    monkeypatch.setattr(all_pairs, "merge_to_file", real)
    times = {path.name: path.stat().st_mtime_ns for path in job.output.glob("*.safetensors")}
    result, lines = run(job)
    assert (result.merged, result.present, result.failed) == (2, 2, {})
    assert [line["output"] for line in lines] == [
        f"{c}+{s}.safetensors" for c in ("cat", "dog") for s in ("ink", "oil")
    ]
    assert all((job.output / name).stat().st_mtime_ns == time for name, time in times.items())
    assert {line["status"] for line in lines} == {"merged"}
    assert all(line["relative_seconds"] > 0 for line in lines)
    assert lines[1]["style"] == {
        "name": "oil.safetensors",
        "sha256": load(job.output.parent / "styles/oil.safetensors").sha256,
    }


def test_failures_are_counted_and_the_others_go_on(job: FileMerge, capsys) -> None:
    bad = job.output.parent / "styles" / "a_bad.safetensors"
    bad.write_bytes(b"no")
    result, lines = run(job)
    assert (result.merged, list(result.failed.values())) == (4, [2])
    assert f"2 failed: {bad} is a text file, not a safetensors file: give the LoRA itself\n" in result.text()
    assert [line["status"] for line in lines].count("failed") == 2
    assert "a_bad" in lines[0]["reason"]
    save(two_block_lora(2, seed=7), bad, force=True)
    assert run(job)[0].merged == 2
    bad.write_bytes(b"no")
    folders = ["--contents", str(job.output.parent / "contents"), "--styles", str(bad.parent)]
    argv = ["merge", *folders, "-o", str(job.output), "--merger", "direct"]
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert "merged 0 pairs, 4 were there already, 2 failed" in captured.out
    assert "2 contents x 3 styles: 6 files, about " in captured.err


def test_a_changed_input_is_merged_again_where_that_is_allowed(job: FileMerge) -> None:
    run(job)
    save(two_block_lora(2, seed=99), job.output.parent / "contents/cat.safetensors", force=True)
    result, _ = run(job)
    assert (result.merged, result.present) == (0, 2)
    [(reason, count)] = result.failed.items()
    assert count == 2
    assert "the same merge" in reason
    assert "cat+ink.safetensors, found one from other inputs or settings: replace it with `force=True`" in reason
    assert reason.endswith("(and 1 more alike, see the manifest)")
    assert run(replace(job, force=True))[0].merged == 2


def save_network(path: Path, coefficient: float) -> Path:
    save_merger(ConstantMerger(ConstantConfig(("6", "12"), initial=coefficient)), path, force=True)
    return path


def check_all_are_merged_again(job: FileMerge) -> None:
    """Check that a finished run counts as merged no longer, and does again after one with `force`."""
    folders = job.output.parent / "contents", job.output.parent / "styles"
    assert plan_all_pairs(*folders, job).merged == 0
    result, lines = run(job)
    assert (result.merged, result.present, list(result.failed.values())) == (0, 0, [4])
    assert "from other inputs or settings" in lines[0]["reason"]
    assert run(replace(job, force=True))[0].merged == 4
    assert plan_all_pairs(*folders, job).merged == 4
    assert run(job)[0].present == 4


def test_another_network_under_the_same_path_is_another_merge(job: FileMerge) -> None:
    network = save_network(job.output.parent / "net.safetensors", 0.25)
    job = replace(job, request=MergeRequest(network=network))
    assert run(job)[0].merged == 4
    assert run(job)[0].present == 4
    before = (job.output / "cat+ink.safetensors").read_bytes()
    save_network(network, 0.75)
    check_all_are_merged_again(job)
    assert (job.output / "cat+ink.safetensors").read_bytes() != before


def test_a_network_is_hashed_once_for_all_pairs(job: FileMerge, monkeypatch) -> None:
    opened: list[object] = []
    real = pair_identity.open_network
    monkeypatch.setattr(pair_identity, "open_network", lambda given: opened.append(given) or real(given))
    network = save_network(job.output.parent / "net.safetensors", 0.25)
    run(replace(job, request=MergeRequest(network=network)))
    assert opened == [network]


def test_a_network_that_is_shipped_later_is_another_merge(job: FileMerge, monkeypatch) -> None:
    job = replace(job, request=MergeRequest())
    assert {line["method"] for line in run(job)[1]} == {"auto"}
    network = save_network(job.output.parent / "shipped.safetensors", 0.25)
    for module in (choice, pair_identity):
        monkeypatch.setattr(module, "shipped_network", lambda family: network)
    check_all_are_merged_again(job)
    assert {line["method"] for line in run(job)[1]} == {"constant"}
    save_network(network, 0.75)
    check_all_are_merged_again(job)
    assert run(replace(job, output=job.output.parent / "direct", request=MergeRequest(merger="direct")))[0].merged == 4


def test_another_base_under_the_same_path_counts_where_it_is_used(job: FileMerge) -> None:
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    base, dora = job.output.parent / "base.safetensors", job.output.parent / "contents/dog.safetensors"
    base_file = {f"{layer}.weight": torch.eye(6)}
    write_tensors(base, base_file, {})
    save(load(dora), dora, format="kohya", force=True)
    stored = read_tensor_file(dora)
    up = next(key for key in stored.tensors if layer.replace(".", "_") in key and "lora_up" in key)
    parts = {**stored.tensors, up.replace("lora_up.weight", "dora_scale"): torch.ones(6, 1)}
    write_tensors(dora, {key: tensor.clone() for key, tensor in parts.items()}, stored.header, force=True)
    job = replace(job, format="kohya", request=MergeRequest(merger="direct", base=base))
    assert run(job)[0].merged == 4
    assert run(job)[0].present == 4
    write_tensors(base, {key: 2 * weight for key, weight in base_file.items()}, {}, force=True)
    result, _ = run(replace(job, force=True))
    assert (result.merged, result.present) == (2, 2)
    assert run(job)[0].present == 4


def test_the_files_of_a_base_are_its_fingerprint(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "unet").mkdir(parents=True)
    (base / "unet/model.safetensors").write_bytes(b"a")
    identities = [pair_identity.fingerprint_base(base)]
    (base / "readme.md").write_text("not a part of the model")
    assert pair_identity.fingerprint_base(base) == identities[0]
    (base / "unet/model.safetensors").write_bytes(b"b")
    assert pair_identity.fingerprint_base(base) != identities[0]
    assert pair_identity.fingerprint_base("owner/name") == "owner/name"


def test_a_merger_that_computes_on_the_base_depends_on_its_files_and_on_its_start(job: FileMerge) -> None:
    base, start = job.output.parent / "base.safetensors", job.output.parent / "start.safetensors"
    inputs = job.output.parent / "contents/cat.safetensors", job.output.parent / "styles/ink.safetensors"
    request = MergeRequest(merger="text_guided", base=base, pair=PairInputs(init=start))

    def identity() -> str:
        return pair_identity.identify_pairs(inputs, replace(job, request=request)).request_sha256(*inputs)

    base.write_bytes(b"a")
    save_network(start, 0.25)
    identities = [identity(), identity()]
    assert len(set(identities)) == 1
    base.write_bytes(b"b")
    identities.append(identity())
    save_network(start, 0.75)
    identities.append(identity())
    assert len(set(identities)) == 3


def test_two_pairs_of_one_file_name_are_refused_before_any_work(job: FileMerge) -> None:
    folders = job.output.parent / "contents", job.output.parent / "styles"
    for path in (folders[0] / "a.safetensors", folders[0] / "a+b.safetensors"):
        save(two_block_lora(2, seed=1), path)
    for path in (folders[1] / "c.safetensors", folders[1] / "b+c.safetensors"):
        save(two_block_lora(2, seed=2), path)
    names = r"found a\+b\+c\.safetensors for both a\+b\.safetensors with c\.safetensors and a\.safetensors with b\+c"
    for call in (plan_all_pairs, merge_all_pairs):
        with pytest.raises(ValueError, match=f"a file name for each pair, {names}.safetensors: rename one"):
            call(*folders, job)
    assert not job.output.exists()


def test_another_request_and_inputs_of_one_pair_are_refused(job: FileMerge) -> None:
    run(job)
    folders = job.output.parent / "contents", job.output.parent / "styles"
    for call in (plan_all_pairs, merge_all_pairs):
        with pytest.raises(ConfigError, match="merger: direct there, ties here: name another output"):
            call(*folders, replace(job, request=MergeRequest(merger="ties")))
    run(replace(job, request=MergeRequest(merger="direct", device="cpu")))
    described = MergeRequest(merger="text_guided", pair=PairInputs(content_description="a cat"))
    with pytest.raises(ValueError, match="no `content_description` for folders"):
        run(replace(job, request=described))
    with pytest.raises(FormatError, match="found none in .*empty"):
        merge_all_pairs(job.output.parent / "empty", job.output.parent / "styles", job)


def test_the_folder_of_the_results_is_checked_first(job: FileMerge) -> None:
    folders = job.output.parent / "contents", job.output.parent / "styles"
    file = folders[0] / "cat.safetensors"
    for call in (plan_all_pairs, merge_all_pairs):
        with pytest.raises(FormatError, match=r"out/pairs cannot be made: its folder .*out does not exist"):
            call(*folders, replace(job, output=job.output / "pairs"))
        with pytest.raises(FormatError, match=r"found the file .*cat\.safetensors: name a folder"):
            call(*folders, replace(job, output=file))


def test_failures_that_name_both_files_are_one_reason(job: FileMerge) -> None:
    for name in ("ink", "oil"):
        save(two_block_lora(2, width=8), job.output.parent / f"styles/{name}.safetensors", force=True)
    [(reason, count)] = run(job)[0].failed.items()
    assert count == 4
    assert "cat.safetensors and ink.safetensors were made for different base models" in reason
    assert reason.endswith("(and 3 more alike, see the manifest)")


def test_the_plan_is_the_number_and_the_size_of_the_files(job: FileMerge) -> None:
    folders = job.output.parent / "contents", job.output.parent / "styles"
    plan = plan_all_pairs(*folders, job)
    assert not job.output.exists()
    assert (plan.contents, plan.styles, plan.merged, plan.method) == (2, 2, 0, "direct")
    run(job)
    size = sum(path.stat().st_size for path in job.output.glob("*.safetensors"))
    assert plan.bytes == pytest.approx(size, rel=0.5)  # the headers are not in the plan
    assert plan_all_pairs(*folders, job).merged == 4
    for path in folders[1].iterdir():
        path.write_bytes(b"no")
    with pytest.raises(FormatError, match="found none of 4; the first: .*ink"):
        plan_all_pairs(*folders, job)
