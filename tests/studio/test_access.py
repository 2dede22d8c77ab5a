"""The page reads its folders, uploads and hub ids, and nothing else."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lorarar.datasets import ImageError
from lorarar.studio.access import Access


@pytest.fixture
def access(tmp_path: Path) -> Access:
    for name in ("loras", "work", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.safetensors").touch()
    return Access((tmp_path / "loras",), tmp_path / "work")


def test_a_path_inside_a_folder_is_read_whole_or_relative(access: Access, tmp_path: Path) -> None:
    file = tmp_path / "loras" / "a.safetensors"
    assert access.resolve(f' "{file}" ') == access.resolve("a.safetensors") == str(file)
    assert access.resolve("owner/name") == "owner/name"


@pytest.mark.parametrize("path", ["secret/a.safetensors", "loras/../secret/a.safetensors", "loras/link.safetensors"])
def test_a_path_that_leaves_the_folders_is_refused(access: Access, tmp_path: Path, path: str) -> None:
    (tmp_path / "loras" / "link.safetensors").symlink_to(tmp_path / "secret" / "a.safetensors")
    with pytest.raises(ValueError, match="expected a path inside the folders of this studio .*drop the file"):
        access.resolve(str(tmp_path / path))


def test_a_missing_file_is_named_with_a_similar_one(access: Access, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        access.resolve("../secret/a.safetensors")
    with pytest.raises(ValueError, match="found none: did you mean"):
        access.resolve("a.safetensor")


def test_dropped_images_are_written_anew(access: Access, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.jpg")
    folder = access.image_folder([str(tmp_path / "a.jpg")])
    assert [path.name for path in Path(folder).iterdir()] == ["000.png"]
    assert Path(folder).is_relative_to(tmp_path / "work")


def test_a_picture_that_would_fill_the_memory_is_refused(access: Access, tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(ImageError):
        access.image_folder([str(tmp_path / "bomb.png")])
    assert not (tmp_path / "work" / "images").exists()
