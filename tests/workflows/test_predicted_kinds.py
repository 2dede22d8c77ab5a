"""lorarar.workflows.predicted_kinds: a merge is told the kinds that its files do not state, and says so."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from lorarar import load
from lorarar.lora import LoRA
from lorarar.mergers import MergeRequest
from lorarar.storage import EMBEDDED
from lorarar.workflows import merge
from lorarar.workflows.predicted_kinds import tell_kinds
from tests.tiny import two_block_lora


def silent(name: str) -> LoRA:
    return replace(load(EMBEDDED / "loras" / f"{name}.safetensors"), metadata={})


STYLE, OTHER, CONTENT = (silent(name) for name in ("test_style_00", "test_style_03", "test_content_00"))


def test_three_loras_get_their_kinds() -> None:
    told, notes, caution = tell_kinds([STYLE, CONTENT, OTHER], MergeRequest())
    assert [lora.metadata["kind"] for lora in told] == ["style", "content", "style"]
    assert notes[0].startswith("kinds: test_style_00.safetensors looks like a style (probability 0.9")
    assert caution == []
    assert STYLE.metadata == {}


def test_a_style_before_a_content_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="looks like a content .* the content comes first, so swap the two if that is"):
        merge(STYLE, CONTENT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merge(CONTENT, STYLE)


def test_an_accelerator_has_no_kind_and_hides_none() -> None:
    fast = replace(CONTENT, name="lcm.safetensors")
    told, _, caution = tell_kinds([STYLE, fast, CONTENT], MergeRequest())
    assert told == [STYLE, fast, CONTENT]
    assert "swap the two" in caution[0]
    assert tell_kinds([STYLE, fast, CONTENT], MergeRequest(keep_accelerators=False))[2] == []


@pytest.mark.parametrize(
    ("loras", "request_"),
    [
        ([STYLE, CONTENT], MergeRequest(merger="direct")),  # a sum does not distinguish them
        ([STYLE, CONTENT, OTHER], MergeRequest(kinds=["content", "style", "style"])),  # the user has said it
        ([replace(lora, metadata={"kind": "style"}) for lora in (STYLE, OTHER)], MergeRequest()),  # the files say it
        ([two_block_lora(2), two_block_lora(2, seed=1)], MergeRequest()),  # no model for the family
    ],
)
def test_nothing_is_predicted_where_it_is_not_needed(loras: list[LoRA], request_: MergeRequest) -> None:
    assert tell_kinds(loras, request_) == (loras, [], [])
