"""Choices become one merge, and the command line that the page shows makes the same one."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import lorarar.workflows
from lorarar.cli.main import main
from lorarar.mergers import FileMerge, MergeRequest, PairInputs
from lorarar.studio.choices import GOALS, SIZES, TOOLS, Choices, merge_command, parse_columns

FILES = ["a b.safetensors", "owner/name"]


def parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> FileMerge:
    """The merge that the command line would make."""
    jobs: list[FileMerge] = []

    def take(job: FileMerge) -> list[Any]:
        jobs.append(job)
        return []

    monkeypatch.setattr(lorarar.workflows, "merge_to_files", take)
    assert main(shlex.split(command)[1:]) == 0
    return replace(jobs[0], files=list(jobs[0].files))


@pytest.mark.parametrize(
    "choices",
    [
        Choices(),
        Choices(weights=(1.0, 0.35), balance=0.0, text_encoder="0.5,1", blocks="up_blocks.1=0.8\nmid_block=1,0.5"),
        Choices(merger="ties", options="density=0.3", size="99 %", tool="diffusers", dtype="bf16"),
        Choices(goal="base", base="base folder", size="rank 8", name="another name"),
        Choices(goal="images", base="base", content_images="one", style_images="two"),
        Choices(goal="words", base="base", content_description="a red cat", style_description="it's ink"),
        Choices(merger="direct", base="base", files_need_base=True),
        Choices(goal="words", network="owner/network"),
        Choices(goal="words", merger="direct", base="base", content_description="left over"),
    ],
    ids=lambda choices: choices.goal + choices.merger,
)
def test_the_command_line_makes_the_same_merge(choices: Choices, monkeypatch: pytest.MonkeyPatch) -> None:
    job = choices.job(FILES, Path("results") / f"{choices.name}.safetensors")
    job.request.check()
    assert parsed(merge_command(job), monkeypatch) == job


def test_every_field_of_a_request_reaches_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    request = MergeRequest(
        kinds=["content", "style"],
        keep_accelerators=False,
        svc=0.5,
        device="cpu",
        allow_extrapolation=True,
        weights=[0.1 + 0.2, 1.0],
        pair=PairInputs(runs=Path("out.run")),
    )
    job = FileMerge(FILES, Path("out.safetensors"), request, "kohya", save_coefficients=Path("c"), force=True)
    assert parsed(merge_command(replace(job, verify=False)), monkeypatch) == replace(job, verify=False)


def test_goals_tools_and_sizes_are_what_the_core_takes() -> None:
    for goal in GOALS:
        Choices(goal=goal).request()
    for name, part in SIZES.items():
        assert MergeRequest(**part).rank or MergeRequest(**part).energy or name == "full"
    assert {tool for _, tool in TOOLS.values()} == {"ComfyUI", "sd-scripts", "diffusers"}


def test_choices_go_through_json() -> None:
    choices = Choices(weights=(1.0, 0.5), balance=0.5, blocks="mid_block=0", size="rank 8")
    stored = json.loads(json.dumps({**asdict(choices), "of a later version": 1}))
    assert Choices.from_dict(stored) == choices


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            Choices(blocks="up_blocks.1"),
            "expected a block and its weights such as up_blocks.1=0.8, found 'up_blocks.1'",
        ),
        (Choices(blocks="mid_block=big"), "expected the weight of mid_block as a number"),
        (Choices(options="density"), "expected a setting and its number such as density=0.3, found 'density'"),
        (Choices(options="density=1 2"), "expected the number of density as a number"),
        (Choices(text_encoder="off"), "expected the text encoders' weight as a number"),
    ],
)
def test_a_text_that_is_not_of_its_form_is_named(choices: Choices, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choices.job(FILES, Path("out.safetensors"))


def test_a_merge_needs_files() -> None:
    with pytest.raises(ValueError, match="expected two or more LoRAs, found none: drop files"):
        Choices().job([], Path("out.safetensors"))


def test_columns_are_lists_of_weights() -> None:
    assert parse_columns("1,0.5; 1 ;") == [[1.0, 0.5], [1.0]]
    with pytest.raises(ValueError, match="weights of a column as a number or a list"):
        parse_columns("1,x")
