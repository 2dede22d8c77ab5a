"""The wheel, installed without its libraries beside those that are here, used from an empty folder, offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from PIL import Image

from lorarar.worlds.toy.crossed import write_crossed_renders
from lorarar.worlds.toy.world import concept_name, content_images, style_images
from tests import ROOT

SOURCES = ("lorarar", "configs", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
DATA = ROOT / "data" / "embedded"

# A wheel from the source distribution, as a package index would make it, and the wheel of an editable install.
BUILD = """
import tarfile, sys
from pathlib import Path
from setuptools import build_meta
build_meta.build_editable("editable")
with tarfile.open(Path("sdist", build_meta.build_sdist("sdist"))) as archive:
    archive.extractall("unpacked", filter="data")
"""
BUILD_WHEEL = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"

# Several commands in one process: torch is imported once.
RUN = """
import contextlib, io, json, sys, warnings
import lorarar
from lorarar.cli.main import main
from lorarar.storage import quiet_libraries
warnings.simplefilter("error")
quiet_libraries()  # as the console script does
answers = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    answers.append([" ".join(words), int(code), out.getvalue(), err.getvalue()])
print(json.dumps([lorarar.__file__, answers]))
"""


class Answer(NamedTuple):
    command: str
    code: int
    out: str
    err: str


def python(*words: str, folder: Path, path: str = "") -> str:
    """What a new process prints; `path` is its PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_"))}
    environment |= {
        "PYTHONPATH": path,
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "300",
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": "1",
    }
    result = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dist/*.whl, made of the source distribution, and editable/*.whl."""
    folder = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    for name in ("sdist", "editable", "dist"):
        (folder / name).mkdir()
    python("-c", BUILD, folder=folder)
    (unpacked,) = (folder / "unpacked").iterdir()
    python("-c", BUILD_WHEEL, str(folder / "dist"), folder=unpacked)
    return folder


def names(folder: Path) -> set[str]:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_carries_every_file_of_the_package_and_every_configuration(built: Path) -> None:
    found = names(built / "dist")
    package = {path.relative_to(built).as_posix() for path in (built / "lorarar").rglob("*") if path.is_file()}
    configurations = {f"lorarar/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    wanted = {name for name in package if "__pycache__" not in name} | configurations
    assert len(configurations) > 30
    assert wanted - found == set()
    assert {name for name in found if ".dist-info/" not in name} - wanted == set()
    assert any(name.endswith("licenses/LICENSE") for name in found)


def test_an_editable_install_reads_the_configurations_of_the_repository(built: Path) -> None:
    found = names(built / "editable")
    assert any(name.endswith(".pth") for name in found)
    assert not any("configs" in name for name in found)
    assert not (built / "lorarar" / "configs").exists()


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel."""
    target = tmp_path_factory.mktemp("site")
    (wheel,) = (built / "dist").glob("*.whl")
    python("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target), str(wheel), folder=target)
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Callable[..., list[Answer]]:
    """Run commands of the installed package in an empty folder."""

    def run(*commands: Sequence[str]) -> list[Answer]:
        file, answers = json.loads(python("-c", RUN, json.dumps(commands), folder=tmp_path, path=str(installed)))
        assert Path(file).is_relative_to(installed), "another lorarar was imported"
        return [Answer(*answer) for answer in answers]

    return run


def test_it_merges_inspects_converts_and_says_what_it_lacks(run: Callable[..., list[Answer]], tmp_path: Path) -> None:
    shutil.copy(DATA / "loras" / "test_content_01.safetensors", tmp_path / "cat.safetensors")
    shutil.copy(DATA / "loras" / "test_style_02.safetensors", tmp_path / "ink.safetensors")
    *done, lacking, missing = run(
        ["--version"],
        ["merge", "cat.safetensors", "ink.safetensors", "-o", "merged.safetensors"],
        ["inspect", "merged.safetensors"],
        ["convert", "merged.safetensors", "-o", "converted.safetensors", "--format", "diffusers"],
        ["mergers"],
        ["configs", "list"],
        ["configs", "copy", "train/embedded"],
        ["configs", "check", "train_embedded.yaml"],
        ["doctor"],
        ["train", "train/embedded", "recipe.steps=1"],
        [
            "generate",
            "--base",
            "data/embedded/base",
            "--lora",
            "merged.safetensors",
            "--prompt",
            "a cat",
            "-o",
            "images",
        ],
    )
    assert [answer for answer in done if answer.code != 0] == []
    version, merge, inspect, *_, doctor = done
    assert version.out.startswith("lorarar ")
    assert "layerwise" in merge.out + merge.err
    assert "layerwise" in inspect.out
    assert (tmp_path / "converted.safetensors").is_file()
    original = (ROOT / "configs" / "train" / "embedded.yaml").read_text(encoding="utf-8")
    assert (tmp_path / "train_embedded.yaml").read_text(encoding="utf-8").startswith(original.rstrip())
    assert "torch" in doctor.out
    for answer in (lacking, missing):
        assert answer.code == 1, answer
        assert "https://" in answer.err, answer  # where the repository is, which has the embedded default
        assert len(answer.err.strip().splitlines()) == 1, answer


@pytest.mark.slow
def test_it_judges_images_with_the_embedded_judge(run: Callable[..., list[Answer]], tmp_path: Path) -> None:
    concepts = []
    for i in range(4):
        for kind, pictures in (("content", content_images("test", i)), ("style", style_images("test", i, 3))):
            name = concept_name("test", kind, i)
            concepts.append({"name": name, "kind": kind, "prompt" if kind == "content" else "phrase": f"a {name}"})
            (tmp_path / "images" / name).mkdir(parents=True)
            for j, picture in enumerate(pictures):
                Image.fromarray(picture).save(tmp_path / "images" / name / f"{j}.png")
    (tmp_path / "concepts.yaml").write_text(yaml.safe_dump({"concepts": concepts}))
    write_crossed_renders(tmp_path / "pictures" / "renders", split="test", members=2, seeds=1)
    layout = ["--layout", "{method}/{content}/{style}/{seed}.png", "--references", "concepts.yaml"]
    answers = run(
        ["judge", "plan", "pictures", *layout, "--cases", "6", "-o", "judged"],
        ["judge", "run", "judged", "--backend", "tiny"],
        ["judge", "report", "judged"],
    )
    assert [answer for answer in answers if answer.code != 0] == []
    assert "renders" in (tmp_path / "judged" / "report.html").read_text()


def test_the_script_runs(installed: Path, tmp_path: Path) -> None:
    scripts = "Scripts" if os.name == "nt" else "bin"
    assert python(str(installed / scripts / "lorarar"), "--version", folder=tmp_path, path=str(installed)).startswith(
        "lorarar "
    )


@pytest.mark.network
def test_it_brings_its_libraries_into_an_empty_environment(built: Path, tmp_path: Path) -> None:
    (wheel,) = (built / "dist").glob("*.whl")
    python("-m", "venv", "environment", folder=tmp_path)
    binaries = tmp_path / "environment" / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(binaries / "python"), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(pip, check=True, env={**os.environ, "PYTHONPATH": ""})
    pair = [str(DATA / "loras" / f"{name}.safetensors") for name in ("test_content_01", "test_style_02")]
    words = [str(binaries / "lorarar"), "merge", *pair, "-o", "merged.safetensors"]
    merged = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=True
    )
    assert "layerwise" in merged.stdout + merged.stderr
