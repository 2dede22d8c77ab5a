"""lorarar.cli.errors: one line for each error, in the names of the command line, and the exit code."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from lorarar.cli.errors import exit_code, report, with_flags
from lorarar.cli.exit_codes import MEANINGS, ExitCode
from lorarar.cli.main import find_command, main
from lorarar.storage import MissingPackage

Output = pytest.CaptureFixture[str]
CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB\nof which .."
CPU = "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: tried to allocate 4 bytes"


def raised(error: BaseException) -> Any:
    def raise_it(*_: object, **__: object) -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("x"), ExitCode.FAILED),
        (FileNotFoundError("x"), ExitCode.FAILED),
        (KeyError("x"), ExitCode.FAILED),
        (FloatingPointError("x"), ExitCode.FAILED),
        (ConnectionRefusedError("x"), ExitCode.UNREACHABLE),
        (MemoryError(), ExitCode.OUT_OF_MEMORY),
        (torch.cuda.OutOfMemoryError(CUDA), ExitCode.OUT_OF_MEMORY),
        (RuntimeError(CPU), ExitCode.OUT_OF_MEMORY),
        (MissingPackage("gradio", "studio", "the web page"), ExitCode.MISSING),
        (ModuleNotFoundError("No module named 'wandb'", name="wandb"), ExitCode.MISSING),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (RuntimeError("shapes"), None),
        (IndexError("x"), None),
        (ImportError("cannot import name 'x' from 'lorarar.lora'", name="lorarar.lora"), None),
    ],
)
def test_the_exit_code_tells_the_sort_of_the_error(error: BaseException, code: ExitCode | None) -> None:
    assert exit_code(error) == code


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 4, 5, 6, 7, 130]


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ("merge", "allow it with `force=True`", "allow it with --force"),
        ("merge", "give `weights=[1, 0.5]`", "give --weights 1,0.5"),
        ("merge", 'give `blocks={"mid_block": 0.5}`', "give --block mid_block=0.5"),
        ("merge", 'give `options={"density": 0.3}`', "give --option density=0.3"),
        ("merge", 'give `kinds=["content", "style"]`', "give --kinds content,style"),
        ("merge", "one as `network`", "one as --network"),
        ("merge", "as `output`", "as --output"),
        ("merge", "in `text_encoder` or `content_images`", "in --text-encoder or --content-images"),
        ("merge", "give `files`", "give FILE..."),
        ("merge", 'use `format="kohya"`', "use --format kohya"),
        ("merge", "use `rank=N`", "use --rank N"),
        ("generate", "fewer `seeds`, `steps`", "fewer --seeds, --steps"),
        ("inspect", "`force=True`, see `lorarar mergers`", "`force=True`, see `lorarar mergers`"),
        ("train train/embedded", 'use `device="cpu"` and `group`', "use device=cpu and `group`"),
    ],
)
def test_python_arguments_become_options(words: str, text: str, expected: str) -> None:
    assert with_flags(text, find_command(words.split())[0]) == expected


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (torch.cuda.OutOfMemoryError(CUDA), 6, "out of memory, could not get 2.00 GiB: close other programs"),
        (MissingPackage("peft", "", "this"), 7, "expected the package peft for this, found none: pip install peft"),
        (ModuleNotFoundError("No", name="peft"), 7, "expected the package peft, found none: `lorarar doctor` says"),
        (KeyboardInterrupt(), 130, "interrupted; every file that was written is complete"),
        (PermissionError(13, "Permission denied", "x.safetensors"), 1, "x.safetensors: Permission denied"),
        (ValueError("two\n  lines"), 1, "two lines"),
        (ConnectionError("no answer"), 3, "no answer"),
    ],
)
def test_an_error_is_one_line(
    error: BaseException, code: int, message: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lorarar.formats.convert_file", raised(error))
    assert main(["convert", "a", "-o", "x.safetensors"]) == code
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.startswith(f"lorarar: {message}")
    assert err.count("\n") == 1


def test_the_remedy_for_lack_of_memory_names_what_the_command_has(capsys: Output) -> None:
    for words, named, unnamed in (
        ("generate", ("--seeds", "--device cpu", "--dtype bf16"), ("group", "pairs")),
        ("merge", ("try --device cpu",), ("--dtype",)),
        ("train", ("dtype=bf16", "gradient_checkpointing=true"), ("--device", "`dtype")),
        ("mergers", ("close other programs",), ("device",)),
    ):
        report(torch.cuda.OutOfMemoryError(CUDA), *find_command([words]), debug=False)
        err = capsys.readouterr().err
        assert all(name in err for name in named), err
        assert not any(name in err for name in unnamed), err


def test_another_device_is_no_remedy_for_a_full_main_memory(capsys: Output) -> None:
    report(MemoryError(), *find_command(["merge"]), debug=False)
    assert "device" not in capsys.readouterr().err


def test_an_interrupt_says_what_is_kept(capsys: Output) -> None:
    kept = {"judge run": "the same command continues from there", "inspect": "every file that was written is complete"}
    for words, text in kept.items():
        report(KeyboardInterrupt(), *find_command(words.split()), debug=False)
        assert text in capsys.readouterr().err


def test_an_interrupt_that_lightning_catches_is_one(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr("lorarar.formats.convert_file", leave)
    assert main(["convert", "a", "-o", "x.safetensors"]) == ExitCode.INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_debug_shows_the_traceback_wherever_it_stands(capsys: Output) -> None:
    for words in ("--debug inspect nowhere", "inspect --debug nowhere", "inspect nowhere --debug"):
        assert main(words.split()) == ExitCode.FAILED
        err = capsys.readouterr().err
        assert err.startswith("Traceback")
        assert err.splitlines()[-1].startswith("lorarar: nowhere")
    assert main(["inspect", "nowhere"]) == ExitCode.FAILED
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorarar.formats.convert_file", raised(IndexError("x")))
    with pytest.raises(IndexError):
        main(["convert", "a", "-o", "x.safetensors"])
