"""lorarar.worlds.art.atlas and .packages: drawings out of archives, each archive checked by its hash."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lorarar.storage import ArtefactError, MissingPackage, read_card, sha256
from lorarar.worlds.art import atlas, packages
from lorarar.worlds.art.atlas import drawing_pixels, make_atlas, rasterise
from lorarar.worlds.art.catalogue import Drawing, DrawingPackage, all_drawings, drawing_packages, source_name
from lorarar.worlds.art.recipes import AtlasConfig

GLOSSY, CRISP = Drawing("dog", "glossy", "base"), Drawing("cat", "crisp", "train")


def picture(form: str, size: tuple[int, int] = (40, 20)) -> bytes:
    """A red rectangle in the corner of a transparent image."""
    image, file = Image.new("RGBA", (60, 60)), io.BytesIO()
    image.paste((255, 0, 0, 255), (5, 10, 5 + size[0], 10 + size[1]))
    image.save(file, form, lossless=True)
    return file.getvalue()


def archive(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Archives of two artists with one drawing each, and a rasteriser that draws the rectangle."""
    icons = {"icons": {source_name(CRISP): {"body": "<path/>", "width": 64}}, "height": 32}
    contents = {
        "glossy": {f"package/assets/{source_name(GLOSSY)}.webp": picture("WEBP")},
        "crisp": {"package/icons.json": json.dumps(icons).encode()},
    }
    table = {}
    for artist, files in contents.items():
        package = DrawingPackage(f"@artists/{artist}", "1.0.0", "")
        archive(tmp_path / package.archive, files)
        table[artist] = DrawingPackage(package.name, package.version, sha256(tmp_path / package.archive))
    for module in (atlas, packages):
        monkeypatch.setattr(module, "drawing_packages", lambda: table)
    monkeypatch.setattr(atlas, "all_drawings", lambda: (GLOSSY, CRISP))
    rasteriser = SimpleNamespace(svg_to_bytes=lambda **_: list(picture("PNG", (20, 40))))
    monkeypatch.setitem(sys.modules, "resvg_py", rasteriser)
    return tmp_path


def test_an_atlas_holds_the_drawings_of_all_archives(folder: Path) -> None:
    path = make_atlas(AtlasConfig(folder / "out", folder))
    assert read_card(path)["drawings"] == ["dog glossy", "cat crisp"]
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (128, 20 * 128, 4)
    wide, high = (pixels[:, x : x + 128, 3] > 127 for x in (0, 128))
    assert (wide.any(0).sum(), wide.any(1).sum()) == (116, 58)  # twice as wide as high, its longer side 116
    assert (high.any(0).sum(), high.any(1).sum()) == (58, 116)


def test_an_icon_is_an_svg_in_its_view_box(folder: Path) -> None:
    source = packages.DrawingSources(folder, "crisp").read(CRISP)
    assert b'viewBox="0 0 64 32" width="64" height="32"><path/></svg>' in source


def test_a_drawing_is_trimmed_and_centred() -> None:
    tile = np.asarray(rasterise(picture("WEBP")))
    rows, columns = np.nonzero(tile[..., 3] > 127)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (6, 121, 35, 92)
    assert tile[64, 64].tolist() == [255, 0, 0, 255]


def test_another_archive_is_refused(folder: Path) -> None:
    archive(folder / "artists-crisp-1.0.0.tgz", {"package/icons.json": b"{}"})
    message = r"artists-crisp-1.0.0.tgz with SHA-256 \w{64}, found \w{64}: run `npm pack @artists/crisp@1.0.0`"
    with pytest.raises(ArtefactError, match=message):
        make_atlas(AtlasConfig(folder / "out", folder))
    (folder / "artists-crisp-1.0.0.tgz").unlink()
    with pytest.raises(ArtefactError, match="found no such file"):
        make_atlas(AtlasConfig(folder / "out", folder))
    assert not (folder / "out").exists()


def test_a_missing_rasteriser_and_a_missing_npm_are_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingPackage, match=r"expected the package resvg_py .* pip install 'lorarar\[drawings\]'"):
        make_atlas(AtlasConfig(folder / "out", folder))
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(MissingPackage, match=r"expected the package npm .*: install Node.js, or put the archives"):
        make_atlas(AtlasConfig(folder / "out"))


def test_only_missing_archives_are_downloaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def run(command: list[str], **_: object) -> None:
        commands.append(command)
        raise subprocess.CalledProcessError(1, command, stderr="404 Not Found")

    monkeypatch.setattr(subprocess, "run", run)
    packages.fetch_packages(folder)
    assert commands == []
    (folder / "artists-crisp-1.0.0.tgz").unlink()
    with pytest.raises(ArtefactError, match=r"artists-crisp-1.0.0.tgz from npm, found an error \(404 Not Found\)"):
        packages.fetch_packages(folder)
    assert commands == [["npm", "pack", "@artists/crisp@1.0.0"]]


def test_the_shipped_atlas_is_that_of_the_catalogue() -> None:
    names = [f"{drawing.class_name} {drawing.artist}" for drawing in all_drawings()]
    assert read_card(atlas.ART / "drawings.webp")["drawings"] == names
    assert all(len(package.sha256) == 64 for package in drawing_packages().values())
    assert len(names) == 320


def test_no_drawing_is_there_twice() -> None:
    """One drawing may serve two words, so all of them are compared, at 16 x 16 pixels on grey."""
    small = []
    for drawing in all_drawings():
        pixels = drawing_pixels(drawing).astype(np.float32)
        alpha = pixels[..., 3:] / 255
        small.append((pixels[..., :3] * alpha + 128 * (1 - alpha)).reshape(16, 8, 16, 8, 3).mean((1, 3)).ravel())
    images = np.stack(small)
    squares = (images**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * images @ images.T, 0) / images.shape[1])
    assert (distances + 1000 * np.eye(len(images))).min() > 14
