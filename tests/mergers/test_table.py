"""lorarar.mergers.table: each row of the catalogue with its function."""

from __future__ import annotations

import pytest

from lorarar.mergers.catalogue import CATALOGUE
from lorarar.mergers.table import MERGERS
from tests.tiny import two_block_lora


@pytest.mark.parametrize("name", MERGERS)
def test_every_row_is_complete(name: str) -> None:
    merger = MERGERS[name]
    assert merger.name == name
    assert merger.citation
    assert merger.kind in ("coefficients", "delta", "runtime")
    assert (merger.predicted([two_block_lora(1)] * 2) is not None) == (merger.pair is not None)


def test_the_table_has_the_rows_of_the_catalogue_in_its_order() -> None:
    assert list(MERGERS) == list(CATALOGUE)
