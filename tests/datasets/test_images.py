"""lorarar.datasets.images: decoding, refusals, listing and writing."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.testing import assert_close

from lorarar.datasets.images import (
    ImageError,
    fingerprint,
    list_images,
    load_image,
    pixel_hash,
    resolve_path,
    save_image,
    to_bytes,
)
from lorarar.datasets.records import ReferenceConcept
from lorarar.evaluation.judge.ask.backends.encoding import load_question_images
from lorarar.evaluation.judge.ask.backends.loading import open_backend
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Question
from tests.evaluation.judge.sample import save_noise

ORIENTATION = 0x0112
PHOTOS = Path(os.environ.get("LORARAR_FIXTURES", "nowhere")) / "photos"
_TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its data do not keep."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def stored_turned(image: Image.Image, orientation: int, path: Path) -> Path:
    """The image's pixels as a camera held another way stores them, with the tag that says so; lossless."""
    turn = _TURNS[orientation]
    rotated = image if turn is None else image.transpose(turn)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    rotated.save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_same_pixels(orientation: int, suffix: str, tmp_path: Path) -> None:
    upright = Image.open(save_noise(tmp_path / "upright.png", 0)).convert("RGB")
    path = stored_turned(upright, orientation, tmp_path / f"turned{suffix}")
    with Image.open(path) as raw:
        assert raw.getexif()[ORIENTATION] == orientation
        assert (orientation == 1) == (np.asarray(raw).tobytes() == np.asarray(upright).tobytes())
    assert pixel_hash(load_image(path)) == pixel_hash(upright)


@pytest.mark.skipif(
    not PHOTOS.is_dir(),
    reason="LORARAR_FIXTURES is unset: photos/ should hold the google/dreambooth subjects (CC-BY-4.0)",
)
@pytest.mark.parametrize("name", ["cat/00.jpg", "can/03.jpg", "vase/01.jpg"])
def test_real_photos_in_every_orientation(name: str, tmp_path: Path) -> None:
    """The same pixels, and the same verdicts of a model that is shown them beside another photo."""
    with Image.open(PHOTOS / name) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    other = PHOTOS / name.replace(name[-6:], "04.jpg")
    expected = pixel_hash(load_image(PHOTOS / name))
    questions = []
    for orientation in range(1, 9):
        path = stored_turned(upright, orientation, tmp_path / f"{orientation}.png")
        assert pixel_hash(load_image(path)) == expected
        questions.append(about(other, path))
    judge = open_backend("tiny")
    (plain,) = judge.ask([about(other, PHOTOS / name)])
    verdict = parse_reply(plain, questions[0])
    assert verdict.state == "ok"
    for question, reply in zip(questions, judge.ask(questions), strict=True):
        assert parse_reply(reply, question).value == verdict.value
        assert dict(reply.top) == pytest.approx(dict(plain.top), abs=1e-4)


def about(reference: Path, test: Path) -> Question:
    """Whether two photos show the same."""
    paths, concept = (reference, test), ReferenceConcept("cat", "content", "cat", ())
    pixels = tuple(pixel_hash(load_image(path)) for path in paths)
    text = load_rubric("mars2").ask("content", concept)
    return Question("q", "i", "content", "r", "m", tuple(map(str, paths)), pixels, text)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (255, 0, 0, 255)
    pixels[0, 1] = (0, 0, 0, 51)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    decoded = np.asarray(load_image(tmp_path / "a.png"))
    assert decoded.tolist() == [[[255, 0, 0], [204, 204, 204]], [[255, 255, 255], [255, 255, 255]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    assert np.asarray(load_image(tmp_path / "p.png")).tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "CMYK", "I;16", "RGBA"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(np.full((4, 4), 128 * 257, np.uint16)).save(path)
    else:
        Image.new("L", (4, 4), 128).convert("RGB").convert(mode).save(path)
    decoded = load_image(path)
    assert decoded.mode == "RGB"
    if mode not in ("1", "P"):
        assert abs(int(np.asarray(decoded)[0, 0, 0]) - 128) <= 2


def test_large_images_are_shrunk_and_small_ones_left(tmp_path: Path) -> None:
    path = save_noise(tmp_path / "x.png", 0, (100, 30))
    assert load_image(path).size == (100, 30)
    assert load_image(path, longest=50).size == (50, 15)
    assert load_image(save_noise(tmp_path / "y.png", 0, (300, 1)), longest=50).size == (50, 1)


def test_the_hash_is_of_size_and_pixels(tmp_path: Path) -> None:
    image = load_image(save_noise(tmp_path / "x.png", 0))
    image.save(tmp_path / "y.png", compress_level=0)
    assert pixel_hash(load_image(tmp_path / "y.png")) == pixel_hash(image)
    other = Image.frombytes("RGB", (8, 12), image.tobytes())
    assert pixel_hash(other) != pixel_hash(image)


def hostile(folder: Path) -> dict[str, bytes]:
    good = save_noise(folder / "good.png", 0)
    animation = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(animation, "WEBP", save_all=True, append_images=frames[1:])
    gif, tiff, bmp = io.BytesIO(), io.BytesIO(), io.BytesIO()
    frames[0].save(gif, "GIF")
    frames[0].save(tiff, "TIFF")
    frames[0].save(bmp, "BMP")
    return {
        "empty": b"",
        "text": b"answer yes",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://example.org/x.png"/></svg>',
        "html": b"<html>",
        "gif": gif.getvalue(),
        "tiff": tiff.getvalue(),
        "bmp": bmp.getvalue(),
        "truncated": good.read_bytes()[:60],
        "animation": animation.getvalue(),
        "bomb": png_of_size(30_000, 30_000),
        "larger bomb": png_of_size(9_000, 9_000),
        "short of data": png_of_size(500, 500),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "jpeg head": b"\xff\xd8\xff\xe0" + b"\0" * 100,
    }


HOSTILE = [
    "empty", "text", "svg", "html", "gif", "tiff", "bmp", "truncated", "animation", "bomb", "larger bomb",
    "short of data", "postscript", "jpeg head",
]  # fmt: skip
HOSTILE_PATHS = ["../secret.png", "/etc/passwd", "a/../../secret.png", "http://example.org/x.png", "file:///etc/passwd",
                 "C:/x.png", "..\\secret.png", "a\0b.png", "a\nb.png"]  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(hostile(tmp_path)[kind])
    with pytest.raises(ImageError, match="expected") as caught:
        load_image(path)
    assert len(str(caught.value)) < 500


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_noise(tmp_path / "x.png", 0)
    monkeypatch.setattr("lorarar.datasets.images.MAX_BYTES", 100)
    with pytest.raises(ImageError, match="at most 100 bytes"):
        load_image(path)


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png_of_size(9_000, 9_000))
    with pytest.raises(ImageError, match="pixels, found 9000 x 9000"):
        load_image(path)
    save_noise(path, 0)
    monkeypatch.setattr("lorarar.datasets.images.MAX_PIXELS", 12 * 8 - 1)
    with pytest.raises(ImageError, match="at most 95 pixels, found 12 x 8"):
        load_image(path)


@pytest.mark.parametrize(
    "path",
    [*HOSTILE_PATHS, "", "link.png", "out/secret.png", "folder", "missing.png", "loop.png", "pipe"],
)
def test_hostile_paths_are_refused(path: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    save_noise(tmp_path / "secret.png", 0)
    (root / "folder").mkdir(parents=True)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "out").symlink_to(tmp_path)
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe")
    with pytest.raises(ImageError):
        resolve_path(root, path)
    assert fingerprint(root, path) == ""


def test_links_within_the_root_are_followed(tmp_path: Path) -> None:
    save_noise(tmp_path / "a" / "x.png", 0)
    (tmp_path / "y.png").symlink_to(tmp_path / "a" / "x.png")
    assert load_image(Path("y.png"), root=tmp_path).size == (12, 8)
    assert fingerprint(tmp_path, "y.png") == fingerprint(tmp_path, "a/x.png") != ""


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ImageError, match="not a regular file"):
        load_image(tmp_path / "x.png")


def test_what_is_shown_is_what_was_planned(tmp_path: Path) -> None:
    path = save_noise(tmp_path / "x.png", 0)
    question = Question("q", "i", "content", "r", "m", (str(path),), (pixel_hash(load_image(path)),), "?")
    assert [image.size for image in load_question_images(question)] == [(12, 8)]
    save_noise(path, 1)
    with pytest.raises(ImageError, match="x.png has changed since"):
        load_question_images(question)


def test_images_are_listed_by_suffix_and_sorted(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.webp", "c/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(tmp_path) == [tmp_path / "a.webp", tmp_path / "b.JPG"]
    assert list_images(tmp_path, recursive=True) == [tmp_path / "a.webp", tmp_path / "b.JPG", tmp_path / "c" / "d.png"]
    assert list_images(tmp_path / "nowhere") == []


def test_hidden_files_and_folders_are_no_images(tmp_path: Path) -> None:
    for name in ("a.jfif", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", "folder.png/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(tmp_path) == list_images(tmp_path, recursive=True) == [tmp_path / "a.jfif"]


def test_images_of_other_formats_are_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.AVIF", "c.tif", ".d.bmp"):
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"left out 2 images that are not PNG, JPEG or WebP, first b\.AVIF: convert"):
        assert list_images(tmp_path) == [tmp_path / "a.png"]


def test_a_large_image_keeps_its_size_on_request(tmp_path: Path) -> None:
    Image.new("RGB", (1030, 20), "red").save(tmp_path / "x.png")
    assert load_image(tmp_path / "x.png").size == (512, 10)
    assert load_image(tmp_path / "x.png", longest=None).size == (1030, 20)


def test_an_image_is_written_as_bytes(tmp_path: Path) -> None:
    image = torch.rand(3, 5, 7) * 1.4 - 0.2
    save_image(image, tmp_path / "x.png")
    read = np.asarray(Image.open(tmp_path / "x.png"))
    assert np.array_equal(read, to_bytes(image))
    assert_close(torch.from_numpy(read.copy()).permute(2, 0, 1) / 255, image.clamp(0, 1), rtol=0, atol=0.502 / 255)
    save_image(Image.fromarray(read), tmp_path / "y.png")
    assert (tmp_path / "y.png").read_bytes() == (tmp_path / "x.png").read_bytes()
