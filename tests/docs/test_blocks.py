"""Every code block of the README and of docs/ runs as a reader would run it, in the order of its page.

See tests/docs/blocks.py for the comments that say what a block is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.storage.plugins import scoped_plugins
from tests.docs.blocks import ROOT, Block, commands, pages, read_blocks, same_output
from tests.docs.parsing import check_command
from tests.docs.runner import Runner, clone, fill_demo, write_file

ALWAYS = ("README.md", "docs/tutorials/artist.md", "docs/install.md", "docs/changes.md", "docs/index.md")
SHELL = ("sh", "bash", "shell", "console")


def page_parameters() -> list[object]:
    parameters = []
    for page in pages():
        name = page.relative_to(ROOT).as_posix()
        marks = [] if name in ALWAYS else [pytest.mark.slow]
        if read_blocks(page) and page.parent.name != "extend":  # those run in test_extend.py
            parameters.append(pytest.param(page, id=name, marks=marks))
    return parameters


@pytest.mark.parametrize("page", page_parameters())
def test_blocks_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clone(tmp_path))
    if "`lorarar demo`" in page.read_text(encoding="utf-8"):  # the page says that it needs the demo's images
        fill_demo(tmp_path / "runs/demo")
    runner = Runner(capsys)
    with scoped_plugins():
        for block in read_blocks(page):
            runner.run(block)


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages()])
def test_commands_of_a_page_exist(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of pages whose blocks only run among the slow tests are parsed here."""
    monkeypatch.chdir(tmp_path)
    for block in read_blocks(page):
        if block.title:
            write_file(block)
        elif block.language in SHELL:
            for command in commands(block.text):
                check_command(command, str(block))


@pytest.mark.parametrize("page", sorted((ROOT / "experiments").glob("*/README.md")), ids=lambda page: page.parent.name)
def test_commands_of_an_experiment_exist(page: Path) -> None:
    for block in read_blocks(page):
        if block.language in SHELL:
            for command in commands(block.text):
                check_command(command, str(block))


def block(text: str, language: str = "sh", *, reason: str | None = None, output: bool = False) -> Block:
    return Block(ROOT / "README.md", 1, language, text, reason, output)


def test_a_block_says_why_it_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: a GPU -->\n\n```sh\nlorarar train \\\n    x\n```\n\n<!-- output -->\n```text\na\n```\n"
    )
    first, second = read_blocks(page)
    assert (first.reason, first.language, commands(first.text)) == ("a GPU", "sh", [["lorarar", "train", "x"]])
    assert second.output
    assert second.reason is None
    page.write_text("```sh\nlorarar\n")
    with pytest.raises(ValueError, match="not closed"):
        read_blocks(page)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("lorarar merg a b", "merge"),
        ("lorarar merge a b -o c --wieghts 1,1", "--weights"),
        ("lorarar train train/embedded recipe.step=1", "recipe.steps"),
        ("lorarar benchmark quality train/embedded", "lorarar train"),
        ("make demmo", "demmo"),
        ("pip install -e .[nothing]", "nothing"),
        ("pip install -e . -c constraint.txt", "constraint.txt"),
        ("python experiments/nothing.py", "nothing.py"),
        ("conda install lorarar", "no check knows"),
    ],
)
def test_a_wrong_command_is_noticed(command: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_command(command.split(), "page")


def test_a_block_that_fails_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = Runner(capsys)
    with pytest.raises(AssertionError, match="exit code 1"):
        runner.run(block("lorarar inspect missing.safetensors"))
    with pytest.raises(AssertionError, match="Expected:"):
        runner.run(block(">>> 1 + 1\n3\n", "python"))
    with pytest.raises(ZeroDivisionError):
        runner.run(block("1 / 0", "python"))
    with pytest.raises(AssertionError, match="did you mean"):
        runner.run(block("lorarar merg a b", reason="a GPU"))


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\nread 3 ms", "a\nread 76 ms\n", True),
        ("a\n...\nd", "a\nb\nc\nd\n", True),
        ("...\nb\n...", "a\nb\nc", True),
        ("b\n...", "a\nb", False),
        ("a", "a\nb", False),
        ("a\nb", "a", False),
        ("method: lorarar/hypernetwork/networks/n", "method: /x/lorarar/hypernetwork/networks/n", True),
    ],
)
def test_output_is_compared(expected: str, printed: str, same: bool) -> None:
    assert (same_output(expected, printed) == "") is same


def test_blocks_share_names_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = Runner(capsys)
    runner.run(block("x = 2", "python"))
    runner.run(block(">>> x\n2\n", "python"))
    runner.run(Block(ROOT / "README.md", 1, "python", "print(1)\n", None, False, "made.py"))
    assert (tmp_path / "made.py").read_text() == "print(1)\n"
    runner.run(block("cat made.py"))
    runner.run(block("print(1)\n", "text", output=True))
