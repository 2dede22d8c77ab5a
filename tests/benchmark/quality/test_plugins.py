"""lorarar.benchmark.quality with a plugin's merger: a changed plugin is not served old images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import lorarar.benchmark.quality.cells as cells
from lorarar.benchmark.quality.config import QualityConfig, RowConfig
from lorarar.benchmark.quality.run import run_quality
from lorarar.storage import plugins, sha256

CODE = """
from lorarar.mergers import MERGERS as ours, Merger
MERGERS = [Merger("twin", "coefficients", "nobody", ours["direct"].call)]
"""


@pytest.mark.slow
def test_images_of_a_changed_plugin_are_computed_again(
    config: QualityConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    monkeypatch.setattr(cells, "_compute", lambda *given, compute=cells._compute: computed.append(1) or compute(*given))
    config = replace(config, methods=[RowConfig("twin", "merger", "twin")], seeds=(0,), group=4)
    plugin, counts = tmp_path / "twins.py", []
    with plugins.scoped_plugins():
        for code in (CODE, CODE, f"{CODE}# changed\n"):
            plugin.write_text(code)
            plugins.load_plugin(plugin)
            run_quality(config)
            counts.append(len(computed))
            results = json.loads((config.output / "results.json").read_text())
            assert results["plugins"] == {"twins": sha256(plugin)}
    assert counts == [1, 1, 2]
