"""Read the source of a package: modules, imports, functions, names and comments."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_FOR_TOOLS = ("type:", "noqa", "pragma:")


@dataclass(frozen=True)
class Module:
    """A file of Python. ``path`` starts with the package's name: "lorarar/cli/merge.py"."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Lines, blank ones and docstrings included."""
        return len(self.text.splitlines())

    @property
    def docstring_lines(self) -> int:
        """Lines of all docstrings."""
        documented = (ast.Module, ast.ClassDef, *_FUNCTIONS)
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, documented) and ast.get_docstring(node)]
        first = [node.body[0] for node in nodes]
        return sum((line.end_lineno or line.lineno) - line.lineno + 1 for line in first)

    @property
    def code_lines(self) -> int:
        """Lines that are neither blank, nor a comment, nor part of a docstring."""
        texts = [text.strip() for text in self.text.splitlines()]
        blank_in_docstrings = sum(
            sum(not line.strip() for line in (ast.get_docstring(node, clean=False) or "").splitlines()[:-1])
            for node in ast.walk(self.tree)
            if isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS))
        )
        filled = sum(bool(text) and not text.startswith("#") for text in texts)
        return filled - self.docstring_lines + blank_in_docstrings

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        return Path(self.path).stem

    @property
    def comprehensions(self) -> int:
        """Comprehensions and generator expressions."""
        return sum(isinstance(node, _COMPREHENSIONS) for node in ast.walk(self.tree))


def read_package(folder: Path) -> list[Module]:
    """Read all Python files of a package, sorted by path."""
    modules = []
    for file in sorted(folder.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        modules.append(Module(file.relative_to(folder.parent).as_posix(), text, ast.parse(text)))
    return modules


def imports_of(module: Module, known: Container[str]) -> set[str]:
    """The files of the package that a module imports anywhere: in functions and under TYPE_CHECKING too."""
    files = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            files |= {file for alias in node.names if (file := _file_of(alias.name, known))}
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, module.path)
            files |= {_file_of(f"{source}.{alias.name}", known) or _file_of(source, known) for alias in node.names}
    return files - {"", module.path}


def functions_in(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Each function and method, nested ones too: its name and its lines without decorators."""
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def definitions(tree: ast.Module) -> set[str]:
    """Public names that a module defines at its top level: functions, classes and values, without type variables."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and not _is_type_variable(node.value):
            names |= {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def comments_in(text: str) -> int:
    """Lines with a comment for people, alone on its line or behind code."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = (token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)
    return sum(not comment.startswith(_FOR_TOOLS) for comment in comments)


def _absolute(node: ast.ImportFrom, path: str) -> str:
    """The dotted name that an import is from; relative ones start at the module's own package."""
    if not node.level:
        return node.module or ""
    package = path.split("/")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _file_of(dotted: str, known: Container[str]) -> str:
    """The file of a module or package of this package; "" for anything else."""
    stem = dotted.replace(".", "/")
    return next((path for path in (f"{stem}.py", f"{stem}/__init__.py") if path in known), "")


def _is_type_variable(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("TypeVar", "ParamSpec")
    )
