"""lorarar.storage.run_folder: a run goes on with its own settings only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorarar.storage.run_folder import ConfigError, check_run, claim_run, stated


def test_settings_are_written_once_and_compared_afterwards(tmp_path: Path) -> None:
    folder, settings = tmp_path / "a" / "b", {"rate": 0.1, "images": (1, 2), "base": Path("x")}
    check_run(folder, settings)
    assert not folder.exists()
    claim_run(folder, settings, "rename it")
    written = (folder / "config.json").read_bytes()
    claim_run(folder, settings, "rename it")
    with pytest.raises(
        ValueError, match=r"b holds a run of another configuration: rate: 0.1 there, 0.2 here: rename it"
    ):
        claim_run(folder, {**settings, "rate": 0.2}, "rename it")
    with pytest.raises(ValueError, match="seed: none there, 1 here"):
        claim_run(folder, {**settings, "seed": 1}, "rename it")
    assert (folder / "config.json").read_bytes() == written


def test_only_what_differs_from_its_default_is_stated() -> None:
    @dataclass(frozen=True)
    class Inner:
        rate: float = 1.0
        steps: int = 10

    @dataclass(frozen=True)
    class Outer:
        name: str
        inner: Inner
        options: dict[str, int] = field(default_factory=dict)

    assert stated(Outer("a", Inner(steps=5))) == {"name": "a", "inner": {"steps": 5}}
    assert stated(Outer("a", Inner(), {"x": 1})) == {"name": "a", "inner": {}, "options": {"x": 1}}


def test_a_run_of_before_a_setting_existed_has_its_default(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Inner:
        rate: float
        eight_bit: bool = False

    @dataclass(frozen=True)
    class Outer:
        inner: Inner
        processes: int = 1
        device: str = "auto"

    claim_run(tmp_path, {"inner": {"rate": 0.1}})
    claim_run(tmp_path, Outer(Inner(0.1)))
    with pytest.raises(ConfigError, match="processes: 1 there, 2 here:"):
        claim_run(tmp_path, Outer(Inner(0.1), processes=2))
    with pytest.raises(ConfigError, match="configuration: inner.eight_bit: false there, true here:"):
        claim_run(tmp_path, Outer(Inner(0.1, eight_bit=True)))


def test_a_changed_plugin_is_another_run(tmp_path: Path) -> None:
    settings = {"rate": 0.1}
    claim_run(tmp_path / "a", settings, plugins={"gate": "1"})
    claim_run(tmp_path / "a", settings, plugins={"gate": "1"})
    for plugins in ({"gate": "2"}, {}):
        with pytest.raises(ValueError, match=r"plugins\.gate: 1 there, (2|none) here"):
            claim_run(tmp_path / "a", settings, plugins=plugins)
    claim_run(tmp_path / "b", settings, plugins={})
    claim_run(tmp_path / "b", settings)


def test_the_device_may_differ_between_start_and_resumption(tmp_path: Path) -> None:
    claim_run(tmp_path, {"device": "cuda", "seed": 0})
    claim_run(tmp_path, {"device": "auto", "seed": 0})
    with pytest.raises(ConfigError, match="another configuration"):
        claim_run(tmp_path, {"device": "auto", "seed": 1})
