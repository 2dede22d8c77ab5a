"""lorarar.storage.cache: a place for each identity."""

from __future__ import annotations

from pathlib import Path

from lorarar.storage.cache import cached_path
from lorarar.storage.hashing import digest


def test_each_identity_has_a_place_of_its_own(tmp_path: Path) -> None:
    first, second = ({"method": "ties", "seed": seed} for seed in (0, 1))
    path = cached_path(tmp_path / "cells", first, ".json")
    assert path == tmp_path / "cells" / digest(first)[:2] / f"{digest(first)}.json"
    assert path.parent.is_dir()
    assert not path.exists()
    assert path != cached_path(tmp_path / "cells", second, ".json")
    assert path == cached_path(tmp_path / "cells", dict(reversed(first.items())), ".json")
