"""lorarar.storage.plugins: loading, the tables that plugins extend, and mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lorarar.storage import plugins
from lorarar.storage.hashing import digest, sha256
from lorarar.storage.plugins import (
    PluginError,
    Table,
    load_plugin,
    loaded_plugins,
    plugins_in,
    scoped_plugins,
    with_plugins,
)


@dataclass(frozen=True)
class Row:
    name: str


ROWS = f"from {__name__} import Row\n"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plugins, "_loaded", plugins._Loaded())
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture
def table() -> Table[Row]:
    return Table("MERGERS", Row, "a merger", [Row("direct"), Row("ties")])


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(ROWS + text)
    return folder / name


def install(site: Path, name: str, module: str) -> None:
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[lorarar.plugins]\n{name} = {module}\n")


def test_a_file_adds_its_rows_and_is_named_with_its_hash(tmp_path: Path, table: Table[Row]) -> None:
    file = write(tmp_path, "mine.py", "MERGERS = [Row('slerp')]\n")
    plugin = load_plugin(file)
    assert (plugin.name, plugin.path, plugin.sha256) == ("mine", file, sha256(file))
    assert list(table) == ["direct", "ties", "slerp"]
    assert table["slerp"] == table.find("slerp") == Row("slerp")
    assert list(table.own()) == ["direct", "ties"]
    assert table.plugins(["slerp", "ties"]) == {"mine": sha256(file)}
    assert Table("TERMS", Row, "a term", [Row("x")]).plugins(["x", "slerp"]) == {}


def test_a_changed_file_is_read_anew(tmp_path: Path, table: Table[Row]) -> None:
    load_plugin(write(tmp_path, "mine.py", "MERGERS = [Row('a')]\n"))
    load_plugin(write(tmp_path, "mine.py", "MERGERS = [Row('b')]\n"))  # of the same size, within the same second
    assert list(table)[2:] == ["b"]


def test_a_scope_forgets_its_plugins(tmp_path: Path, table: Table[Row]) -> None:
    with scoped_plugins():
        load_plugin(write(tmp_path, "mine.py", "MERGERS = [Row('a')]\n"))
        assert "a" in table
    assert "a" not in table


def test_an_installed_package_is_loaded_only_when_a_name_is_unknown(tmp_path: Path, table: Table[Row]) -> None:
    package = tmp_path / "site" / "pack_of_rows"
    package.mkdir(parents=True)
    write(package, "__init__.py", "")
    write(package, "rows.py", "MERGERS = [Row('far')]\n")
    install(tmp_path / "site", "far_rows", "pack_of_rows.rows")
    assert table["ties"] == Row("ties")
    assert "pack_of_rows" not in sys.modules
    assert table["far"] == Row("far")
    hashes = {name: sha256(package / name) for name in ("__init__.py", "rows.py")}
    assert table.plugins(["far"]) == {"far_rows": digest(hashes)}


def test_a_broken_installed_plugin_is_named(tmp_path: Path, table: Table[Row]) -> None:
    install(tmp_path / "site", "broken_rows", "no_such_module_at_all")
    assert table["ties"] == Row("ties")
    with pytest.raises(
        PluginError, match=r"plugin broken_rows \(no_such_module_at_all\) cannot be loaded: Module.*pack"
    ):
        table.find("far")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"plugin mine \(.*mine.py\) cannot be loaded: ZeroDivisionError: division by zero: mend the file"),
        ("def f(:", r"plugin mine .* cannot be loaded: SyntaxError"),
        ("MERGER = []", r"plugin mine \(.*mine.py\): expected one of MERGERS, NETWORKS, .*, found none: export a list"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        load_plugin(write(tmp_path, "mine.py", text))
    assert loaded_plugins() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MERGERS = Row('a')", r"expected MERGERS to be a list of Row, found Row: write MERGERS = \[Row\(..\)\]"),
        ("MERGERS = ['a']", r"expected MERGERS to be a list of Row, found str in it"),
        (
            "MERGERS = [Row('ties')]",
            r"plugin mine \(.*mine.py\): expected names of its own, found a merger 'ties' of lor",
        ),
        ("MERGERS = [Row('a'), Row('a')]", r"found a merger 'a' of plugin mine \(.*mine.py\): rename one"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, table: Table[Row], text: str, message: str) -> None:
    load_plugin(write(tmp_path, "mine.py", text))
    with pytest.raises(PluginError, match=message):
        table["direct"]


def test_two_plugins_cannot_share_a_row_or_a_name(tmp_path: Path, table: Table[Row]) -> None:
    first = load_plugin(write(tmp_path / "a", "one.py", "MERGERS = [Row('x')]\n"))
    second = load_plugin(write(tmp_path / "a", "two.py", "MERGERS = [Row('x')]\n"))
    with pytest.raises(
        PluginError, match=re.escape(f"{second}: expected names of its own") + ".*" + re.escape(str(first))
    ):
        list(table)
    twin = write(tmp_path / "b", "one.py", "MERGERS = []\n")
    with pytest.raises(PluginError, match=re.escape(f"found one at {first.path} and {twin}: rename one")):
        load_plugin(twin)
    with pytest.raises(PluginError, match="expected a plugin's Python file at .*none.py, found none"):
        load_plugin(tmp_path / "none.py")


def test_an_unknown_name_gets_a_suggestion_among_all_rows(tmp_path: Path, table: Table[Row]) -> None:
    load_plugin(write(tmp_path, "mine.py", "MERGERS = [Row('slerp')]\n"))
    with pytest.raises(
        ValueError, match="expected a merger among direct, ties, slerp, found 'slrp': did you mean 'slerp'"
    ):
        table.find("slrp")


def test_reading_an_unknown_name_suggests_one_too(table: Table[Row]) -> None:
    name = next(iter(table.own()))
    with pytest.raises(KeyError, match=f"did you mean '{name}'"):
        table[f"{name}x"]
    assert name in repr(table)


def test_a_header_keeps_the_plugins_that_it_names() -> None:
    assert with_plugins({"a": "b"}, {}) == {"a": "b"}
    header = with_plugins(with_plugins({}, {"one": "1" * 64}), {"two": "2" * 64})
    assert plugins_in(header) == {"one": "1" * 64, "two": "2" * 64}
    assert plugins_in({"lorarar.plugins": "{"}) == {}


def test_reading_the_tables_of_help_imports_neither_torch_nor_a_plugin(tmp_path: Path) -> None:
    write(tmp_path / "site", "loud_rows.py", "print('imported')\nMERGERS = []\n")
    install(tmp_path / "site", "loud_rows", "loud_rows")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "from lorarar.mergers import MERGERS, find_merger\n"
        "from lorarar.hypernetwork import NETWORK_KINDS\n"
        "find_merger('ties'); MERGERS.own(); NETWORK_KINDS['paper']\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
