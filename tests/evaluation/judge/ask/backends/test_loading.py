"""lorarar.evaluation.judge.ask.backends.loading: back ends by name, and names that are refused."""

from __future__ import annotations

import pytest

from lorarar.evaluation.judge.ask.backends.loading import BackendSettings, open_backend
from lorarar.evaluation.judge.ask.backends.mocks import NoisyMock, TruthMock

LABELS = {("i0", "content"): 1}


def test_backends_by_name() -> None:
    assert isinstance(open_backend("mock:truth"), TruthMock)
    noisy = open_backend("mock:noisy?sensitivity=0.75&seed=3", BackendSettings(LABELS))
    assert noisy == NoisyMock(LABELS, sensitivity=0.75, seed=3)
    assert open_backend("mock:noisy", BackendSettings(LABELS)) == NoisyMock(LABELS)


@pytest.mark.parametrize(
    "name", ["", "gpt", "mock", "mock:lies", "mock:truth?seed=1", "openai:m", "transformers:", "transformers", "openai"]
)
def test_unknown_backends_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a back end of the form tiny, transformers:MODEL, openai:MODEL@URL"):
        open_backend(name)


@pytest.mark.parametrize("name", ["mock:noisy?rate=1", "mock:noisy?sensitivity=high", "mock:noisy?x"])
def test_unknown_settings_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected settings of .*'sensitivity'"):
        open_backend(name)
