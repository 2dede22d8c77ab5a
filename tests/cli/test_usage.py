"""lorarar.cli.usage: a wrong command line ends with one line, the way out and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.main import main

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mrge a b", "expected a command of `lorarar` among"),
        ("mrge a b", "found 'mrge': did you mean 'merge'?"),
        ("judge plna", "found 'plna': did you mean 'plan'?"),
        ("merge a b", "expected -o/--output FILE, found none: `lorarar merge --help` describes it"),
        ("merge -o x", "expected FILE..., found none"),
        ("merge a -o", "expected a value after -o, found none"),
        ("merge a -o x --rnak 2", "expected an option of `lorarar merge`, found --rnak: did you mean --rank?"),
        ("merge a -o x --zzz", "found --zzz: `lorarar merge --help` lists them"),
        ("merge a -o x --rank two", "--rank: expected a whole number, found 'two': write it as 4"),
        ("merge a -o x --dtype half", "--dtype: expected a dtype among fp16, bf16, fp32, found 'half'"),
        ("merge a -o x --merger tise", "--merger: expected a merger among"),
        ("merge a -o x --merger tise", "found 'tise': did you mean 'ties'?"),
        ("merge a -o x --rank 2 --energy 0.5", "expected --rank or --energy, found both: drop one"),
        ("convert a b -o x", "expected no further words for `lorarar convert`, found b"),
        ("generate --base b -o x", "expected --prompt TEXT or --prompt-set FILE, found neither"),
        ("judge plan a --references r -o x", "expected --layout PATTERN or --manifest FILE, found neither: give one"),
        ("train a b", "expected one CONFIG, found a and b: settings are key=value"),
        ("train a=1", "expected a CONFIG, found a=1 alone"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: str, message: str, capsys: Output) -> None:
    assert main(words.split()) == ExitCode.USAGE
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.startswith("lorarar: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("merge a b -o x --weights 0.8 1.0", "expected --weights 0.8,1.0, found --weights 0.8 1.0: put commas"),
        ("merge --weights 1 -0.5 -o x a", "expected --weights 1,-0.5, found --weights 1 -0.5: put commas"),
        ("merge a b -o x --kinds content style", "expected --kinds content,style, found --kinds content style"),
        ("generate --base b -o x --prompt c --seeds 0 1 2", "expected --seeds 0,1,2, found --seeds 0 1 2: put commas"),
        ("generate --base b -o x --prompt c --lora a d", "expected --lora a --lora d, found --lora a d: repeat --lora"),
    ],
)
def test_lists_of_separate_words_are_refused_with_the_form_of_today(words: str, message: str, capsys: Output) -> None:
    assert main(words.split()) == ExitCode.USAGE
    assert message in capsys.readouterr().err


def test_a_file_whose_name_is_a_number_may_follow_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("2").touch()
    assert main(["merge", "--weights", "1", "2", "-o", "x.safetensors"]) == ExitCode.FAILED
    assert "2 is empty (0 bytes)" in capsys.readouterr().err
