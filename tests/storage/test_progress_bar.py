"""lorarar.storage.progress_bar: one bar on a terminal, a few lines in a log, nothing in tests; stdout stays clean."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lorarar.storage import progress, progress_bar, say, say_device, track

if sys.platform != "win32":
    import pty

NESTED = """
import sys
from lorarar.storage import progress, track
for _ in track(range(2), "train zoo", unit="groups"):
    with progress("train", 3, "steps") as advance:
        for step in range(3):
            advance(note=f"loss {step}")
print("the result")
"""


def test_stages_are_silent_under_pytest(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(track([3, 4], "sample")) == [3, 4]
    assert capfd.readouterr() == ("", "")


def test_a_stage_is_described_by_its_state() -> None:
    with progress("sample", 10, "images") as advance:
        advance(4)
        assert str(advance) == "sample: 4/10 images"
        advance(note="loss 0.1")
        advance()
        assert (str(advance), advance.done) == ("sample: 6/10 images, loss 0.1", 6)
    with progress("load") as advance:
        assert str(advance) == "load"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lines instead of a bar, and a clock that the test sets."""
    now = [0.0]
    monkeypatch.setenv("LORARAR_PROGRESS", "lines")
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    return now


def test_a_long_stage_in_a_log_prints_its_begin_its_state_and_its_end(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("train", 100, "steps") as advance:
        for step in range(100):
            clock[0] = float(step)
            advance(note=f"loss {100 - step}")
            with progress("inner", 1):  # stages within a stage print nothing
                pass
    assert capsys.readouterr().err.splitlines() == [
        "train: 7/100 steps, loss 94, 6 s ..",
        "train: 38/100 steps, loss 63, 37 s ..",
        "train: 69/100 steps, loss 32, 68 s ..",
        "train: 100/100 steps, loss 1, 99 s",
    ]


def test_a_short_stage_in_a_log_prints_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 2, "steps") as advance:
        clock[0] = 4.0
        advance(2)
    assert capsys.readouterr() == ("", "")


def test_a_stage_that_fails_is_closed(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with progress("train", 5, "steps") as advance:
            clock[0] = 8.0
            advance()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        work()
    assert capsys.readouterr().err.splitlines()[-1] == "train: 1/5 steps, 8 s"
    with progress("next", 1):  # an outermost stage again
        clock[0] = 20.0
    assert capsys.readouterr().err == "next: 0/1, 12 s\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is needed")
def test_on_a_terminal_there_is_one_bar_on_stderr() -> None:
    screen, output = on_a_terminal(NESTED)
    assert output == "the result\n"  # what is written to a file or a pipe is never mixed with the bar
    last = screen.split("\x1b[2K")[-1]
    assert "train zoo" in last
    assert "2/2" in last
    assert "steps" not in last  # the inner stage's line has gone
    assert "\x1b[?25h" in last  # the cursor is back


@pytest.mark.parametrize(("variable", "value"), [("LORARAR_PROGRESS", "off"), ("LOCAL_RANK", "1"), ("CI", "true")])
@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is needed")
def test_it_can_be_turned_off(variable: str, value: str) -> None:
    assert on_a_terminal(NESTED, **{variable: value}) == ("", "the result\n")


def on_a_terminal(code: str, **variables: str) -> tuple[str, str]:
    """Run code with stderr on a pseudo-terminal and stdout on a pipe; return what each received."""
    ours, theirs = pty.openpty()
    kept = {
        k: v for k, v in os.environ.items() if k not in ("PYTEST_CURRENT_TEST", "CI", "NO_COLOR", "LORARAR_PROGRESS")
    }
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=kept | {"TERM": "xterm", "COLUMNS": "100"} | variables,
        cwd=Path(progress_bar.__file__).parents[2],
        text=True,
    )
    os.close(theirs)
    screen = b""
    try:
        while part := os.read(ours, 4096):
            screen += part
    except OSError:  # the terminal is closed when the child has ended
        pass
    os.close(ours)
    output, _ = child.communicate()
    assert child.returncode == 0, screen.decode()
    return screen.decode(), output


def test_the_device_is_said_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    say_device.cache_clear()
    for _ in range(2):
        say_device("cpu", "fp32")
    say_device("cpu", "bf16")
    assert capsys.readouterr() == ("", "device: cpu, dtype: fp32\ndevice: cpu, dtype: bf16\n")
    for name, value in (("LORARAR_PROGRESS", "off"), ("LOCAL_RANK", "1")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            say("nothing")
    assert capsys.readouterr().err == ""


def test_rich_is_imported_only_for_a_bar() -> None:
    code = "import sys; from lorarar.storage import track; list(track([1], 'x')); sys.exit('rich' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.PIPE)


def test_only_a_stage_that_counts_leaves_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORARAR_PROGRESS", "bar")
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("load"):
        pass
    assert screen.getvalue().strip() == ""
    with progress("sample", 3, "images") as advance:
        advance(3)
    assert "3/3 images" in screen.getvalue()
