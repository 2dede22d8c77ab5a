"""Packages: the archives of the artists' drawings, checked by hash, and one drawing's source out of an archive."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from lorarar.storage import ArtefactError, MissingPackage, sha256, track
from lorarar.worlds.art.catalogue import Drawing, DrawingPackage, drawing_packages, source_name

_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">{body}</svg>'
)
# Where an archive has its drawings, one file each; archives without such a pattern are icon sets in one JSON file.
_FILES = {"glossy": "package/assets/{}.webp", "flat": "package/{}.svg"}
_ICON_SET = "package/icons.json"


def fetch_packages(folder: Path) -> None:
    """Download by `npm pack` the archives that a folder lacks.

    Raises:
        MissingPackage: npm is not installed.
        ArtefactError: npm cannot get an archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in drawing_packages().values() if not (folder / package.archive).is_file()]
    for package in track(missing, "download the drawings' packages"):
        _pack(package, folder)


def _pack(package: DrawingPackage, folder: Path) -> None:
    command = ["npm", "pack", f"{package.name}@{package.version}"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        remedy = "install Node.js, or put the archives into a folder and give it as `packages`"
        raise MissingPackage("npm", "", "the drawings' packages", remedy) from error
    except subprocess.CalledProcessError as error:
        raise ArtefactError(
            f"expected {package.archive} from npm, found an error ({error.stderr.strip()[:200]}): check the network, "
            "or put the archive into a folder and give it as `packages`"
        ) from error


def check_packages(folder: Path) -> None:
    """Check that a folder has every archive, each with its hash.

    Raises:
        ArtefactError: An archive is missing or is another one.
    """
    for package in drawing_packages().values():
        path = folder / package.archive
        found = sha256(path) if path.is_file() else "no such file"
        if found != package.sha256:
            raise ArtefactError(
                f"expected {path} with SHA-256 {package.sha256}, found {found}: "
                f"run `npm pack {package.name}@{package.version}` in that folder"
            )


class DrawingSources:
    """Sources of one artist's drawings: SVG texts, or images as bytes.

    Args:
        folder: Folder of the archives.
        artist: The artist.
    """

    def __init__(self, folder: Path, artist: str) -> None:
        self._pattern = _FILES.get(artist)
        with tarfile.open(folder / drawing_packages()[artist].archive) as archive:
            self._files = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
        self._icons: dict[str, Any] = {} if self._pattern else json.loads(self._files[_ICON_SET])

    def read(self, drawing: Drawing) -> bytes:
        """Return a drawing's SVG or WebP file."""
        name = source_name(drawing)
        return self._files[self._pattern.format(name)] if self._pattern else self._icon(name)

    def _icon(self, name: str) -> bytes:
        """Return an icon as an SVG file: its body in its view box."""
        icon = self._icons["icons"][name]
        box = {side: icon.get(side, self._icons.get(side, 16)) for side in ("width", "height")}
        corner = {side: icon.get(side, self._icons.get(side, 0)) for side in ("left", "top")}
        return _SVG.format(body=icon["body"], **box, **corner).encode()
