"""Plugins: modules of a user that add rows to the package's tables, from one file or from an installed package.

A plugin exports lists by the names of `EXPORTS`, such as `MERGERS = [Merger(..)]`. It is loaded by `load_plugin` (on
the command line `--plugin FILE`), or found as an installed package's entry point of the group "lorarar.plugins".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lorarar.storage.hashing import digest, sha256
from lorarar.storage.suggestions import unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "lorarar.plugins"
PLUGINS_KEY = "lorarar.plugins"  # in the header of a file that a plugin had a part in: {name: SHA-256}
EXPORTS = ("MERGERS", "NETWORKS", "TERMS", "METRICS", "ENCODERS", "BACKENDS", "DIALECTS")


class PluginError(ValueError):
    """A plugin cannot be used; the message names the plugin, its file and the reason."""


@dataclass(frozen=True, eq=False)
class Plugin:
    """A loaded plugin.

    Attributes:
        name: Stem of its file, or name of its entry point.
        path: Its file; of an installed package that is a folder, the folder.
        sha256: SHA-256 of the file; of a folder, the digest of its Python files.
        module: The module.
    """

    name: str
    path: Path
    sha256: str
    module: ModuleType

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.path})"

    def rows(self, export: str, kind: type[Any]) -> Sequence[Any]:
        """Return the rows that the plugin adds to a table.

        Args:
            export: Name of the list, one of `EXPORTS`.
            kind: Class of the table's rows.

        Raises:
            PluginError: The export is no list of such rows.
        """
        rows = getattr(self.module, export, ())
        expected = f"{self}: expected {export} to be a list of {kind.__name__}"
        if not isinstance(rows, list | tuple):
            raise PluginError(f"{expected}, found {type(rows).__name__}: write {export} = [{kind.__name__}(..)]")
        for row in rows:
            if not isinstance(row, kind):
                raise PluginError(f"{expected}, found {type(row).__name__} in it: write {kind.__name__}(..)")
        return rows


class _Loaded:
    """The plugins of this process; the installed ones are loaded when a table first needs them."""

    def __init__(self) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.has_installed = False


_loaded = _Loaded()


def load_plugin(path: str | Path) -> Plugin:
    """Load a plugin from a Python file. A file that was loaded before is loaded again.

    Raises:
        PluginError: The file is missing or fails, exports no table, or another plugin has its name.
    """
    path = Path(path).resolve()
    name = path.stem
    if not path.is_file():
        raise PluginError(f"expected a plugin's Python file at {path}, found none: check the path")
    _refuse_twin(name, path)
    module = ModuleType(f"lorarar_plugin_{name}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        # Compiled here: the import system could take an older cached compilation of the same size and second.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[module.__name__]
        raise _broken(name, path, error, "mend the file") from error
    return _add(Plugin(name, path, sha256(path), module))


def loaded_plugins(*, installed: bool = True) -> list[Plugin]:
    """Return the loaded plugins.

    Args:
        installed: Whether to load those of installed packages first.

    Raises:
        PluginError: An installed plugin fails, exports no table, or has the name of another.
    """
    if installed and not _loaded.has_installed:
        from importlib.metadata import entry_points  # not above: help need not wait for it

        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            _load_entry(entry)
        _loaded.has_installed = True
    return list(_loaded.plugins.values())


@contextmanager
def scoped_plugins() -> Iterator[None]:
    """Forget at the end the plugins that were loaded inside, as a command does with those of --plugin."""
    plugins, has_installed = dict(_loaded.plugins), _loaded.has_installed
    try:
        yield
    finally:
        _loaded.plugins, _loaded.has_installed = plugins, has_installed


def plugins_in(header: Mapping[str, str]) -> dict[str, str]:
    """Return the plugins that a file's header names, each with its SHA-256."""
    try:
        named = json.loads(header.get(PLUGINS_KEY, "{}"))
    except ValueError:
        return {}
    return named if isinstance(named, dict) else {}


def with_plugins(header: Mapping[str, str], plugins: Mapping[str, str]) -> dict[str, str]:
    """Return a file's header that names plugins too, each with its SHA-256."""
    named = {**plugins_in(header), **plugins}
    return {**header, PLUGINS_KEY: json.dumps(named, sort_keys=True)} if named else dict(header)


def _load_entry(entry: EntryPoint) -> None:
    if entry.name in _loaded.plugins and _loaded.plugins[entry.name].module.__name__ == entry.value:
        return  # loaded before a later entry point failed
    try:
        module = entry.load()
    except Exception as error:
        raise _broken(entry.name, entry.value, error, "update or uninstall its package") from error
    if not isinstance(module, ModuleType) or not module.__file__:
        raise _broken(entry.name, entry.value, "the entry point names no module", 'write NAME = "package.module"')
    path = _package(module)
    _refuse_twin(entry.name, path)
    _add(Plugin(entry.name, path, _sha256(path), module))


def _package(module: ModuleType) -> Path:
    """Return the file of a top-level module, or the folder of the top-level package that holds a module."""
    top = sys.modules[module.__name__.partition(".")[0]]
    file = Path(str(top.__file__ or module.__file__)).resolve()
    return file.parent if file.stem == "__init__" else file


def _sha256(path: Path) -> str:
    if path.is_file():
        return sha256(path)
    return digest({file.relative_to(path).as_posix(): sha256(file) for file in path.rglob("*.py")})


def _add(plugin: Plugin) -> Plugin:
    if not any(hasattr(plugin.module, export) for export in EXPORTS):
        raise PluginError(f"{plugin}: expected one of {', '.join(EXPORTS)}, found none: export a list, see docs/extend")
    _loaded.plugins[plugin.name] = plugin
    return plugin


def _refuse_twin(name: str, path: Path) -> None:
    other = _loaded.plugins.get(name)
    if other and other.path != path:
        raise PluginError(
            f"expected plugins with names of their own, found {name} at {other.path} and {path}: rename one"
        )


def _broken(name: str, place: object, reason: object, advice: str) -> PluginError:
    sort = f"{type(reason).__name__}: " if isinstance(reason, Exception) else ""
    return PluginError(f"plugin {name} ({place}) cannot be loaded: {sort}{reason}: {advice}")


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str:
        """Key in the table."""
        ...


Row = TypeVar("Row", bound=Named)


class Table(Mapping[str, Row]):
    """The package's rows of one sort, and those that plugins add.

    A row of the package is found without loading any installed plugin; an unknown name, or a listing, loads them.

    Args:
        export: Name of the list in a plugin, one of `EXPORTS`.
        kind: Class of the rows.
        noun: The sort of row, with an article, for errors: "a merger".
        rows: The package's own rows.
    """

    def __init__(self, export: str, kind: type[Row], noun: str, rows: Iterable[Row]) -> None:
        self._export, self._kind, self.noun = export, kind, noun
        self._own = {row.name: row for row in rows}

    def __getitem__(self, name: str) -> Row:
        added = self._added(installed=name not in self._own)  # refuses a plugin's row of that name too
        if name not in self._own and name not in added:
            raise KeyError(unknown_name(self.noun, str(name), [*self._own, *added]))
        return self._own[name] if name in self._own else added[name][0]

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._added(installed=True)

    def __repr__(self) -> str:
        return f"{self._export}: {', '.join(self)}"

    def __len__(self) -> int:
        return len(self._own) + len(self._added(installed=True))

    def find(self, name: str) -> Row:
        """Return a row.

        Raises:
            ValueError: There is none of the name; the message suggests the nearest one.
        """
        if name not in self:
            raise ValueError(unknown_name(self.noun, name, self))
        return self[name]

    def own(self) -> Mapping[str, Row]:
        """Return the package's own rows."""
        return self._own

    def added(self) -> list[Row]:
        """Return the rows of all plugins."""
        return [row for row, _ in self._added(installed=True).values()]

    def plugins(self, names: Iterable[str]) -> dict[str, str]:
        """Return the plugins that some rows come from, each with its SHA-256; the package's own rows have none."""
        rows = self._added(installed=False)
        return {rows[name][1].name: rows[name][1].sha256 for name in sorted(names) if name in rows}

    def rows_of(self, plugin: Plugin) -> Sequence[Row]:
        """Return the rows that a plugin adds."""
        return plugin.rows(self._export, self._kind)

    def _added(self, *, installed: bool) -> dict[str, tuple[Row, Plugin]]:
        added: dict[str, tuple[Row, Plugin]] = {}
        for plugin in loaded_plugins(installed=installed):
            for row in self.rows_of(plugin):
                if row.name in self._own:
                    raise PluginError(
                        f"{plugin}: expected names of its own, found {self.noun} {row.name!r} of lorarar: rename it"
                    )
                if row.name in added:
                    raise PluginError(
                        f"{plugin}: expected names of its own, found {self.noun} {row.name!r} of "
                        f"{added[row.name][1]}: rename one"
                    )
                added[row.name] = (row, plugin)
        return added
