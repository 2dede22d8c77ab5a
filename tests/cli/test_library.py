"""lorarar.cli.library: every command of the library, its output and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorarar import load, save
from lorarar.cli.main import main
from tests.library.test_index import write

Output = pytest.CaptureFixture[str]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> Path:
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("cat", "dog", "oil")):
        write(tmp_path / "loras" / f"{name}.safetensors", i, kind="style" if name == "oil" else "content", phrase=name)
    save(load(tmp_path / "loras" / "cat.safetensors"), tmp_path / "loras" / "twin.safetensors", format="kohya")
    (tmp_path / "loras" / "bad.safetensors").write_bytes(b"")
    assert main(["library", "add", "loras"]) == 0
    assert capsys.readouterr().out.startswith(
        "4 new, 0 copies of known files, 0 unchanged, 0 gone, 1 could not be read"
    )
    return tmp_path / "library.sqlite"


def run(capsys: Output, *words: str) -> str:
    assert main(["library", *words]) == 0
    printed, _ = capsys.readouterr()
    return printed


def test_every_command(index: Path, capsys: Output) -> None:
    assert run(capsys, "search", "oil").split("  ")[:2] == ["oil", "style"]
    assert run(capsys, "search", "nothing") == "none\n"
    assert len(run(capsys, "search", "--where", "kind=content,rank=2").splitlines()) == 3
    hits = json.loads(run(capsys, "neighbours", "loras/cat.safetensors", "--json", "--count", "2"))
    assert (hits[0]["name"], round(hits[0]["similarity"])) == ("twin", 1)
    assert "same weights" in run(capsys, "duplicates")
    assert len(json.loads(run(capsys, "cluster", "--clusters", "2", "--json"))) == 4
    assert "= 1.00 " in run(capsys, "attribute", "twin")
    assert "bad.safetensors" in run(capsys, "show")
    assert "rank         2" in run(capsys, "show", "oil")
    assert run(capsys, "export", "-o", "page.html") == "page.html\n"
    assert run(capsys, "remove", "oil") == "removed 1 entries\n"
    assert run(capsys, "search", "--where", "kind=style") == "none\n"
    assert run(capsys, "show", "--index", "other.sqlite").startswith("index        other.sqlite\nentries      0")


def test_mistakes_are_one_line(index: Path, capsys: Output) -> None:
    assert main(["library", "show", "ol"]) == 1
    assert "found 'ol': did you mean 'oil'?" in capsys.readouterr().err
    assert main(["library", "neighbours", "cat", "--by", "colour"]) == 2
    assert "expected a fingerprint among direction, sketch, spectrum" in capsys.readouterr().err
    messages = {"kin=style": "expected a condition among family, kind, rank", "rank=x": "expected a whole number"}
    for where, message in messages.items():
        assert main(["library", "search", "--where", where]) == 2
        assert message in capsys.readouterr().err
    assert main(["library", "export", "-o", "page.pdf"]) == 1
    assert "rename --output" in capsys.readouterr().err


def test_escapes_from_a_header_are_not_printed(index: Path, capsys: Output) -> None:
    write(index.parent / "loras" / "odd.safetensors", 9, phrase="a \x1b[31m cat")
    run(capsys, "add", "loras")
    for words in (["search", "odd"], ["show", "odd"]):
        assert "\x1b" not in run(capsys, *words)
