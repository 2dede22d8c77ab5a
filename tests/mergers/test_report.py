"""lorarar.mergers.report: the summary of a merge, as data and as text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.mergers.combination import combine
from lorarar.mergers.report import describe_merge, input_names, input_roles, summarise_merge
from lorarar.mergers.request import MergeRequest
from lorarar.mergers.table import MERGERS
from tests.tiny import two_block_lora


def test_weights_of_parts_and_summed_vectors_are_reported() -> None:
    loras = [replace(two_block_lora(2, seed=i), name=f"{i}.safetensors") for i in (0, 50)]
    loras[0] = replace(loras[0], layers={**loras[0].layers, "mid_block.norm": Dense(torch.ones(3))})
    merged = combine(loras, MergeRequest(merger="ties", blocks={"mid_block": [0.5, 1]}, text_encoder=0))
    found = summarise_merge(loras, merged, [], {"read": 0, "merge": 0, "write": 0})
    assert json.loads(json.dumps(found)) == found
    text = describe_merge(found).splitlines()
    assert text[0].startswith("first: 0.safetensors (unknown family, 9 layers, rank 2, weight 1)")
    assert "  1 norms and biases are summed: ties is for matrices" in text
    assert "  weight of mid_block: 0.5, 1" in text
    assert "  weight of the text encoders: 0, 0" in text
    plain = describe_merge(
        summarise_merge(loras, combine(loras, MergeRequest(merger="direct")), [], {"read": 0, "merge": 0, "write": 0})
    )
    assert "weight of" not in plain
    assert "norms and biases" not in plain  # a sum of matrices and vectors alike


def test_two_inputs_are_content_and_style() -> None:
    assert [input_names(count) for count in (1, 2, 3)] == [["0"], ["content", "style"], ["0", "1", "2"]]


@pytest.mark.parametrize(
    ("merger", "stated", "kinds", "roles"),
    [
        ("direct", ("style", "content"), None, ["style", "content"]),
        ("auto", ("style", "style"), None, ["style", "style"]),
        ("ties", ("", "style"), None, ["first", "style"]),
        ("auto", ("", "other"), None, ["first", "second"]),
        ("text_guided", ("style", "style"), None, ["style", "style"]),
        ("text_guided", ("", ""), None, ["content", "style"]),
        ("fixed_blocks", ("style", "style"), None, ["content", "style"]),
        ("paper", ("", ""), None, ["content", "style"]),
        ("layerwise", ("content", "style"), ["style", "content"], ["style", "content"]),
        ("layerwise", ("", "", ""), ["style", "content", "style"], ["0", "1", "2"]),
    ],
)
def test_a_role_is_what_the_method_or_the_file_says(
    merger: str, stated: tuple[str, ...], kinds: list[str] | None, roles: list[str]
) -> None:
    loras = [LoRA({}, {"kind": kind} if kind else {}) for kind in stated]
    assert input_roles(loras, MERGERS[merger], kinds) == roles
    if len(loras) == 2:  # an accelerator between them
        kinds = [kinds[0], "style", kinds[1]] if kinds else None
        among = [loras[0], LoRA({}), loras[1]]
        assert input_roles(among, MERGERS[merger], kinds, {1}) == [roles[0], "accelerator", roles[1]]
        of_merged = [kinds[0], kinds[2]] if kinds else None
        assert input_roles(among, MERGERS[merger], of_merged, {1}) == [roles[0], "accelerator", roles[1]]


def test_a_dense_result_has_no_rank_and_a_truncated_one_says_its_error() -> None:
    loras = [replace(two_block_lora(2, seed=i), name=f"{i}.safetensors") for i in (0, 50)]
    texts = []
    for dense in (True, False):
        merged = combine(loras, MergeRequest(merger="ties", dense=dense))
        found = summarise_merge(loras, merged, [], {"read": 0, "merge": 0, "write": 0})
        assert found["rank"] == (None if dense else 4)
        texts.append(describe_merge(found))
    assert "8 layers, dense; read" in texts[0]
    assert "rank 0" not in texts[0]
    assert "warning: truncated to the sum of the inputs' ranks, relative error" in texts[1]
