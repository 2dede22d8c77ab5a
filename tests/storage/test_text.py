"""lorarar.storage.text: lines that a terminal shows as they are."""

from __future__ import annotations

import pytest

from lorarar.storage.progress_bar import say
from lorarar.storage.text import printable


def test_control_characters_become_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("cat \x1b[31mRED\x1b[2J\x07") == r"cat \x1b[31mRED\x1b[2J\x07"
    assert printable("a\nb\u202ec") == r"a\nb\u202ec"
    assert printable("Fuß, 日本\u00a0語 -- 'x'") == "Fuß, 日本\u00a0語 -- 'x'"
    say("one\x1b[2J\ntwo")
    assert capsys.readouterr().err == "one\\x1b[2J\ntwo\n"
