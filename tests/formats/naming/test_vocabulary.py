"""lorarar.formats.naming.vocabulary on all names of the real models."""

from __future__ import annotations

import pytest

from lorarar.formats.naming.vocabulary import dotted_path
from tests.architectures import BUILDERS, shapes, text_modules


@pytest.mark.parametrize("family", BUILDERS)
def test_all_paths_of_a_model_come_back(family: str) -> None:
    wrong = {path: dotted_path(path.replace(".", "_")) for path in shapes(family)}
    assert {path: dots for path, dots in wrong.items() if dots != path} == {}


def test_text_encoders_come_back() -> None:
    t5 = ("encoder.block.0.layer.0.SelfAttention.q", "encoder.block.0.layer.1.DenseReluDense.wi_0")
    for path in (*text_modules(), *t5):
        assert dotted_path(path.replace(".", "_")) == path


@pytest.mark.parametrize("joined", ["", "foo", "to_q_foo", "foo_to_q", "to__q", "to_q_", "_to_q", "to_Q", "to.q"])
def test_unknown_names_are_none(joined: str) -> None:
    assert dotted_path(joined) is None
