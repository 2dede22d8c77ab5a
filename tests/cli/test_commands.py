"""lorarar.cli.commands: the options that every command has."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.cli.main import main
from lorarar.formats.writing import save
from tests.tiny import two_block_lora

PLUGIN = """
from lorarar.lora import LowRank
from lorarar.mergers import Merger

def first(deltas, *, layer):
    return next(delta for delta in deltas if delta is not None)

MERGERS = [Merger("first_{name}", "delta", "a test", first)]
"""


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a", "--plugin {plugin} merge {file} {file} -o {out} --merger first_a"),
        ("b", "merge --merger first_b --plugin {plugin} {file} {file} -o {out}"),
        ("c", "merge {file} {file} -o {out} --merger first_c --plugin {plugin}"),
    ],
)
def test_a_plugin_is_loaded_wherever_it_stands(
    name: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, plugin, out = tmp_path / "a.safetensors", tmp_path / f"plugin_{name}.py", tmp_path / "out.safetensors"
    save(two_block_lora(2, seed=0), file)
    plugin.write_text(PLUGIN.format(name=name))
    assert main(place.format(plugin=plugin, file=file, out=out).split()) == 0, capsys.readouterr().err
    assert f"method: first_{name} (a test)" in capsys.readouterr().out
