"""lorarar.mergers.request: what can be checked of a request before any file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.mergers.request import MergeRequest, PairInputs

IMAGES = PairInputs(content_images=Path("a"), style_images=Path("b"))
DESCRIPTIONS = PairInputs(content_description="a red cat", style_description="light blue grid style")


@pytest.mark.parametrize(
    "request_",
    [
        MergeRequest(),
        MergeRequest(merger="ties"),
        MergeRequest(network="network.safetensors"),
        MergeRequest(merger="ziplora", pair=IMAGES, base="base"),
        MergeRequest(merger="text_guided", pair=DESCRIPTIONS, base="base"),
        MergeRequest(merger="cat", pair=PairInputs(Path("a"), Path("b"), init="network.safetensors"), base="base"),
    ],
)
def test_requests_with_the_inputs_of_their_merger(request_: MergeRequest) -> None:
    request_.check()
    request_.check_pair()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            MergeRequest(merger="direct", network="x"),
            r"expected `merger` or `network`, found both \(direct, x\)",
        ),
        (MergeRequest(merger="tiess"), "found 'tiess': did you mean 'ties'"),
        (
            MergeRequest(merger="direct", pair=IMAGES),
            "expected `content_images` only with the mergers ziplora, .*: drop it",
        ),
        (
            MergeRequest(merger="ziplora", pair=DESCRIPTIONS),
            "expected `content_description` only with the mergers text_guided",
        ),
        (
            MergeRequest(merger="ties", pair=PairInputs(init="x")),
            "expected `init` only with the mergers .*, found the merger ties",
        ),
    ],
)
def test_inputs_that_the_merger_ignores_are_refused(request_: MergeRequest, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        request_.check()


def test_missing_inputs_of_a_pair_are_named() -> None:
    with pytest.raises(ValueError, match="ziplora optimises each pair with .* images.*: give `base`, `style_images`$"):
        MergeRequest(merger="ziplora", pair=PairInputs(content_images=Path("a"))).check_pair()


def test_mergers_that_optimise_are_known_by_name() -> None:
    names = ("ziplora", "ziplora_pytorch", "cat", "text_guided", "ties", "direct", None)
    assert [MergeRequest(merger=name).optimises for name in names] == [True] * 4 + [False] * 3


def test_dense_results_are_not_truncated_too() -> None:
    for truncation in ({"rank": 4}, {"energy": 0.9}):
        with pytest.raises(ValueError, match="drop `dense`"):
            MergeRequest(merger="ties", dense=True, **truncation).check()  # type: ignore[arg-type]
