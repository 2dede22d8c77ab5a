"""A newcomer's mistakes: each ends with one line that says what was found and what to do, and writes nothing.

One row is one mistake: what is typed in a folder with a few files, the exit code, what the line names, what it advises.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from PIL import Image

from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.main import main
from lorarar.formats.writing import save
from lorarar.lora.lora import LoRA
from tests import ROOT
from tests.tiny import factors

FAILED, USAGE, UNREACHABLE = ExitCode.FAILED, ExitCode.USAGE, ExitCode.UNREACHABLE
LORAS = ROOT / "data" / "embedded" / "loras"
GENERATE = "generate --base base -o images --steps 1"


class Mistake(NamedTuple):
    """What is typed, the exit code, and two parts of the message: what was found, what to do."""

    words: str
    code: int
    found: str
    advice: str


def merge(*names: str, output: str = "out") -> str:
    """The command that merges files; `content` stands for content.safetensors."""
    files = [name if "." in name or "/" in name[-1:] else f"{name}.safetensors" for name in (*names, output)]
    return f"merge {' '.join(files[:-1])} -o {files[-1]}"


MERGE = merge("content", "style")
FOLDERS = "merge --contents contents --styles styles"
FILES = [
    Mistake(merge("style", "content"), FAILED, "found the style style.safetensors", "swap the two"),
    Mistake(merge("contnet", "style"), FAILED, "contnet.safetensors", "did you mean content.safetensors?"),
    Mistake(
        merge("contnet", "style", output="page"), FAILED, "contnet.safetensors", "did you mean content.safetensors?"
    ),
    Mistake(
        "convert contnet.safetensors -o page.pt", FAILED, "contnet.safetensors", "did you mean content.safetensors?"
    ),
    Mistake(merge("nowhere/cat", "style"), FAILED, "nowhere/cat.safetensors", "check the path"),
    Mistake(merge("content", "folder/"), FAILED, "the folder folder with no", "give the file"),
    Mistake(merge("base/"), FAILED, "the folder base with no", "give the file"),
    Mistake(merge("content", "cat.png"), FAILED, "cat.png is a PNG image", "give the LoRA itself"),
    Mistake(merge("content", "notes.txt"), FAILED, "notes.txt is a text file", "give the LoRA itself"),
    Mistake(merge("content", "page"), FAILED, "page.safetensors is a web page", "download the file itself"),
    Mistake(merge("content", "old.ckpt"), FAILED, "old.ckpt is a pickled", "convert it to safetensors"),
    Mistake(merge("content", "old.bin"), FAILED, "old.bin is a pickled", "convert it to safetensors"),
    Mistake(merge("content", "empty"), FAILED, "0 bytes", "download it again"),
    Mistake(merge("content", "cut"), FAILED, "cut.safetensors is not a complete", "download it again"),
    Mistake(merge("content", "sdxl"), FAILED, "sdxl.safetensors (Stable Diffusion XL)", "for one base model"),
    Mistake(f"{merge('content')} --network constant.safetensors", FAILED, "found 1", "give two"),
    Mistake(merge("content", "constant"), FAILED, "found a network of lorarar", "with it as --network"),
    Mistake("inspect constant.safetensors", FAILED, "found a network of lorarar", "`network`"),
    Mistake("inspect contnet.safetensors", FAILED, "contnet.safetensors", "did you mean content.safetensors?"),
    Mistake("convert content.safetensors -o content.safetensors", FAILED, "exists already", "--force"),
]
OPTIONS = [
    Mistake("merg a b", USAGE, "'merg'", "did you mean 'merge'?"),
    Mistake("merge -o out.safetensors", USAGE, "FILE", "--help"),
    Mistake("merge content.safetensors style.safetensors", USAGE, "--output", "--help"),
    Mistake(f"{MERGE} --merger tie", USAGE, "'tie'", "did you mean 'ties'?"),
    Mistake(f"{MERGE} --ranks 4", USAGE, "--ranks", "did you mean --rank"),
    Mistake(f"{MERGE} --network network.safetensors", FAILED, "network.safetensors", "check the path"),
    Mistake(f"{MERGE} --network style.safetensors", FAILED, "is not a learned merger", "give a file that"),
    Mistake(f"{MERGE} --merger ties --network constant.safetensors", USAGE, "found both", "drop one"),
    Mistake(f"{MERGE} --hypernetwork constant.safetensors", USAGE, "--hypernetwork", "expected --network"),
    Mistake(f"{MERGE} --merger ties --option densty=0.3", FAILED, "'densty'", "did you mean 'density'?"),
    Mistake(f"{MERGE} --merger auto --option balance=1", FAILED, "found balance", "give it as --balance 1"),
    Mistake(f"{MERGE} --merger ties --option density", USAGE, "'density'", "put = between"),
    Mistake(f"{MERGE} --weights 1,2,3", FAILED, "[1.0, 2.0, 3.0]", "give one for each"),
    Mistake(f"{MERGE} --weights 1 0.5", USAGE, "--weights 1 0.5", "put commas"),
    Mistake(f"{MERGE} --weights one,two", USAGE, "'one'", "write the list as"),
    Mistake(f"{MERGE} --rank 0", USAGE, "found 0", "give a larger one"),
    Mistake(f"{MERGE} --rank -3", USAGE, "found -3", "give a larger one"),
    Mistake(f"{MERGE} --rank four", USAGE, "'four'", "write it as 4"),
    Mistake(f"{MERGE} --balance half", USAGE, "'half'", "write it as 0.5"),
    Mistake(f"{MERGE} --svc half", USAGE, "'half'", "write it as 0.5"),
    Mistake(f"{MERGE} --kinds content", FAILED, "found 2 and content", "such as --kinds content,style"),
    Mistake(f"{MERGE} --describe tiny --base base", FAILED, "found no merger", "such as --merger text_guided"),
    Mistake(f"{MERGE} --merger text_guided", FAILED, "descriptions", "; --describe lets a model write"),
    Mistake("merge --contents contents -o pairs", USAGE, "found --contents alone", "give --styles DIR"),
    Mistake(f"{MERGE} --energy 2", USAGE, "found 2", "give a share such as 0.99"),
    Mistake(f"{MERGE} --rank 2 --energy 0.9", USAGE, "found both", "drop one"),
    Mistake(f"{MERGE} --dtype half", USAGE, "'half'", "name one of these"),
    Mistake(f"{MERGE} --device cuda", FAILED, "'cuda'", "--device auto"),
    Mistake(f"{MERGE} --device gpu", USAGE, "'gpu'", "name one of these"),
    Mistake(f"{MERGE} --plugin broken.py", FAILED, "no_such_module", "mend the file"),
    Mistake(f"{MERGE} --plugin none.py", FAILED, "none.py", "check the path"),
    Mistake(f"{GENERATE} --prompt x --seeds 1,b", USAGE, "'b'", "write the list as"),
    Mistake(f"{GENERATE} --prompt x --prompt-set set.yaml", USAGE, "found both", "drop one"),
    Mistake(GENERATE, USAGE, "found neither", "give one"),
    Mistake(f"{GENERATE} --prompt x --lora sdxl.safetensors", FAILED, "sdxl.safetensors", "base"),
    Mistake("generate --base nowhere/at/all --prompt x -o images", FAILED, "nowhere/at/all", "give a hub id"),
    Mistake("generate --base owner/absent --prompt x -o images", FAILED, "owner/absent", "the network"),
    Mistake(f"{MERGE} --merger ziplora", FAILED, "optimises each pair", "give --base"),
    Mistake(f"{MERGE} --network owner/absent", FAILED, "owner/absent", "the network"),
]
OUTPUTS = [
    Mistake(merge("content", "style", output="none/out"), FAILED, "its folder none does not exist", "create it first"),
    Mistake(merge("content", "style", output="folder/"), FAILED, "is a folder", "give a file name"),
    Mistake(merge("content", "style", output="style"), FAILED, "style.safetensors exists already", "--force"),
    Mistake(f"{FOLDERS} -o none/sub/pairs", FAILED, "none/sub/pairs cannot be made", "create it first"),
    Mistake(f"{FOLDERS} -o notes.txt", FAILED, "found the file notes.txt", "name a folder"),
    Mistake(merge("content", "style", output="./out"), FAILED, "found out", "give it that ending"),
    Mistake(merge("content", "style", output="out.pt"), FAILED, "found out.pt", "give it that ending"),
    Mistake("convert content.safetensors -o out.ckpt", FAILED, "found out.ckpt", "give it that ending"),
]
CONFIGURATIONS = [
    Mistake("train nowhere.yaml", FAILED, "nowhere.yaml", "lorarar configs"),
    Mistake("train train/embeded", FAILED, "train/embeded", "did you mean train/embedded?"),
    Mistake("train pairs=3", USAGE, "pairs=3 alone", "give a YAML file"),
    Mistake("train train/embedded pairs 3", USAGE, "train/embedded and pairs", "key=value"),
    Mistake("train train/embedded pais=3", FAILED, "'pais'", "did you mean 'pairs'?"),
    Mistake("train train/embedded pairs=many", FAILED, "a whole number of at least 1 for pairs", "correct the file"),
    Mistake("train train/embedded precision=bf16-mixed", FAILED, "precision=bf16-mixed", "rename it"),
    Mistake("train zoo/embedded", FAILED, "found one of `lorarar zoo`", "run `lorarar zoo`"),
    Mistake("zoo broken.yaml", FAILED, "found in line 3", "correct the line"),
    Mistake("zoo content.safetensors", FAILED, "found other data", "give the configuration"),
    Mistake("zoo folder", FAILED, "found the folder folder", "name a file in it"),
    Mistake("configs copy train/embeded", FAILED, "train/embeded", "did you mean train/embedded?"),
    Mistake("train train/embedded", FAILED, "base at data/embedded/base, manifests at", "run the command in"),
]
JUDGE = [
    Mistake(
        "judge plan folder --references concepts.yaml --layout {method}/{content}+{style}/{seed}.png -o run",
        FAILED,
        "images below folder",
        "check folder and pattern",
    ),
    Mistake("judge plan folder --references concepts.yaml -o run", USAGE, "found neither", "give one"),
    Mistake(
        "judge plan folder --references none.yaml --layout {method}.png -o run", FAILED, "none.yaml", "check the path"
    ),
    Mistake("judge report folder", FAILED, "folder", "lorarar judge plan"),
    Mistake("judge run folder --backend tiny", FAILED, "folder", "`lorarar judge plan`"),
    Mistake("metrics metrics/embedded references=concepts.yaml splits=null images=nowhere", FAILED, "nowhere", "check"),
]
MISTAKES = [*FILES, *OPTIONS, *OUTPUTS, *CONFIGURATIONS, *JUDGE]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A folder with two LoRAs that fit each other, and files that are none."""
    folder = tmp_path_factory.mktemp("mistakes")
    for kind in ("content", "style"):
        shutil.copy(LORAS / f"test_{kind}_00.safetensors", folder / f"{kind}.safetensors")
        (folder / f"{kind}s").mkdir()
        shutil.copy(LORAS / f"test_{kind}_01.safetensors", folder / f"{kind}s")
    whole = (folder / "style.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.safetensors").touch()
    (folder / "page.safetensors").write_text("<!DOCTYPE html><html><body>Log in</body></html>")
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    save(LoRA({name: factors(640, 640, 1)}, family="sdxl"), folder / "sdxl.safetensors")
    shutil.copy(ROOT / "lorarar" / "hypernetwork" / "networks" / "constant.safetensors", folder)
    torch.save({"x": torch.ones(1)}, folder / "old.ckpt")
    torch.save({"x": torch.ones(1)}, folder / "old.bin", _use_new_zipfile_serialization=False)
    Image.new("RGB", (8, 8)).save(folder / "cat.png")
    (folder / "notes.txt").write_text("trigger word: sks cat")
    (folder / "broken.py").write_text("import no_such_module\n")
    (folder / "broken.yaml").write_text("base: x\nimages: [\n")
    (folder / "concepts.yaml").write_text(yaml.safe_dump({"concepts": []}))
    (folder / "folder").mkdir()
    (folder / "base").symlink_to(base)
    return folder


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time of change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def here(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The prepared folder as the current one; a mistake must not change it."""
    monkeypatch.chdir(prepared)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = contents(prepared)
    yield prepared
    after = contents(prepared)
    for path in after.keys() - before.keys():  # so that the next mistake finds the same folder
        Path(path).unlink()
    assert after == before, "a mistake must write nothing"


def check(code: int, error: str, mistake: Mistake) -> None:
    assert code == mistake.code, error
    line = re.fullmatch(r"(?:device: .*\n)?(lorarar: .*)\n", error)
    assert line is not None, error
    assert "Traceback" not in error
    assert mistake.found in line[1]
    assert mistake.advice in line[1]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.words)
def test_a_mistake_is_one_line_with_the_way_out(mistake: Mistake, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(mistake.words.split())
    output, error = capsys.readouterr()
    check(code, error, mistake)
    assert output == ""


class Trouble(NamedTuple):
    """Where what goes wrong, the exit code, and two parts of the message."""

    place: str
    error: BaseException
    code: int
    found: str
    advice: str


CUDA_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 8 GiB")
TROUBLES = [
    Trouble("os.replace", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), FAILED, "No space left", "the free space"),
    Trouble("os.replace", PermissionError(errno.EACCES, os.strerror(errno.EACCES)), FAILED, "denied", "permissions"),
    Trouble(
        "lorarar.mergers.files.combine", KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted", "the same command"
    ),
    Trouble("lorarar.mergers.files.combine", CUDA_MEMORY, ExitCode.OUT_OF_MEMORY, "out of memory", "--device cpu"),
    Trouble("lorarar.mergers.files.combine", MemoryError(), ExitCode.OUT_OF_MEMORY, "out of memory", "close other"),
    Trouble(
        "lorarar.mergers.files.combine",
        ModuleNotFoundError("No module named 'peft'", name="peft"),
        ExitCode.MISSING,
        "the package peft",
        "`lorarar doctor` says",
    ),
]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: f"{type(trouble.error).__name__} in {trouble.place}")
def test_trouble_is_one_line_with_the_way_out(
    trouble: Trouble, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise trouble.error

    monkeypatch.setattr(trouble.place, fail)
    code = main(MERGE.split())
    monkeypatch.undo()
    output, error = capsys.readouterr()
    check(code, error, Mistake(MERGE, trouble.code, trouble.found, trouble.advice))
    assert output == ""


def test_a_server_that_refuses(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lorarar.evaluation.judge.ask.backends.openai.backoff", lambda *_: 0.0)
    image = tmp_path / "images" / "ours" / "train_content_00+train_style_00" / "0.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(image)
    run, layout = str(tmp_path / "run"), "{method}/{content}+{style}/{seed}.png"
    references = ["--references", str(folder / "concepts.yaml"), "--layout", layout]
    assert main(["judge", "plan", str(tmp_path / "images"), *references, "-o", run]) == 0
    capsys.readouterr()
    words = f"judge run {run} --uncalibrated --backend openai:model@http://127.0.0.1:9"
    code = main(words.split())
    check(code, capsys.readouterr().err, Mistake(words, UNREACHABLE, "127.0.0.1:9", "start"))


COMMANDS = [OPTIONS[0], CONFIGURATIONS[1]]


@pytest.mark.parametrize("mistake", COMMANDS, ids=lambda mistake: mistake.words)
def test_the_command_itself_ends_with_the_code(mistake: Mistake, here: Path) -> None:
    argv = [sys.executable, "-m", "lorarar.cli", *mistake.words.split()]
    run = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=here)
    check(run.returncode, run.stderr, mistake)
    assert run.stdout == ""


def test_a_package_that_is_not_installed(here: Path) -> None:
    code = "import sys; sys.modules['diffusers'] = None; from lorarar.cli.main import entry; entry()"
    argv = [sys.executable, "-c", code, *GENERATE.split(), "--prompt", "x"]
    run = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=here)
    check(run.returncode, run.stderr, Mistake("", ExitCode.MISSING, "the package diffusers", "`lorarar doctor` says"))


def test_debug_shows_the_traceback(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FILES[1].words.split(), "--debug"]) == FAILED
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):")
    assert error.splitlines()[-1].startswith("lorarar: ")


def test_there_are_many() -> None:
    assert len(MISTAKES) + len(TROUBLES) >= 75
