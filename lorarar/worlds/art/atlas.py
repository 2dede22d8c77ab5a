"""Atlas: all drawings in one image with transparency, 128 x 128 pixels each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lorarar.storage import ART, MissingPackage, atomic_write, checked, track, write_card
from lorarar.worlds.art.catalogue import Drawing, all_drawings, drawing_packages
from lorarar.worlds.art.packages import DrawingSources, check_packages, fetch_packages
from lorarar.worlds.art.recipes import AtlasConfig

SIDE = 128  # pixels of a drawing in the atlas, and of the canvas on which a style works
_LONGER = 116  # pixels of a drawing's longer side
_COLUMNS = 20
_QUALITY = 90  # of WebP; transparency is kept without loss
_VISIBLE = 20  # least alpha of a pixel that counts as part of a drawing


def make_atlas(config: AtlasConfig) -> Path:
    """Write `output/drawings.webp` and its card.

    Raises:
        ArtefactError: An archive is missing or is another one.
        MissingPackage: The rasteriser, or npm, is not installed.
    """
    if config.packages:
        return _write_atlas(config.packages, config.output)
    with TemporaryDirectory() as folder:
        fetch_packages(Path(folder))
        return _write_atlas(Path(folder), config.output)


def _write_atlas(packages: Path, output: Path) -> Path:
    check_packages(packages)
    sources = {artist: DrawingSources(packages, artist) for artist in drawing_packages()}
    tiles = [
        rasterise(sources[drawing.artist].read(drawing)) for drawing in track(all_drawings(), "rasterise the drawings")
    ]
    output.mkdir(parents=True, exist_ok=True)
    path = output / "drawings.webp"
    with atomic_write(path, force=True) as temporary:
        _arrange(tiles).save(temporary, "WEBP", quality=_QUALITY, method=6)
    names = [f"{drawing.class_name} {drawing.artist}" for drawing in all_drawings()]
    write_card(path, what="drawings of the art world, 128 x 128 pixels, row by row", columns=_COLUMNS, drawings=names)
    return path


def rasterise(source: bytes) -> Image.Image:
    """Return a drawing from its SVG or WebP file: trimmed, centred, its longer side 116 of 128 pixels."""
    image = _render_svg(source) if source.lstrip().startswith(b"<") else Image.open(io.BytesIO(source)).convert("RGBA")
    ys, xs = np.nonzero(np.asarray(image)[..., 3] >= _VISIBLE)
    # Colours are weighted by alpha while the size changes, so that no transparent colour shines through.
    trimmed = image.crop((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)).convert("RGBa")
    width, height = (max(1, round(side * _LONGER / max(trimmed.size))) for side in trimmed.size)
    fitted = trimmed.resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
    tile = Image.new("RGBA", (SIDE, SIDE))
    tile.paste(fitted, ((SIDE - width) // 2, (SIDE - height) // 2))
    return tile


def _render_svg(source: bytes) -> Image.Image:
    try:
        import resvg_py
    except ImportError as error:
        raise MissingPackage("resvg_py", "drawings", "drawings in SVG") from error
    picture = resvg_py.svg_to_bytes(svg_string=source.decode(), width=2 * SIDE, height=2 * SIDE, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(picture))).convert("RGBA")


def _arrange(tiles: Sequence[Image.Image]) -> Image.Image:
    atlas = Image.new("RGBA", (_COLUMNS * SIDE, -(-len(tiles) // _COLUMNS) * SIDE))
    for index, tile in enumerate(tiles):
        atlas.paste(tile, (index % _COLUMNS * SIDE, index // _COLUMNS * SIDE))
    return atlas


def drawing_pixels(drawing: Drawing) -> NDArray[np.uint8]:
    """Return a drawing, (128, 128, 4), 0 to 255.

    Raises:
        ArtefactError: The atlas is missing, or differs from its card.
    """
    pixels: NDArray[np.uint8] = _atlas()[_positions()[drawing]]
    return pixels


@cache
def _positions() -> dict[Drawing, int]:
    return {drawing: index for index, drawing in enumerate(all_drawings())}


@cache
def _atlas() -> NDArray[np.uint8]:
    """Return all drawings, (drawings, 128, 128, 4), 0 to 255."""
    with Image.open(checked(ART / "drawings.webp")) as image:
        pixels = np.asarray(image.convert("RGBA"))
    rows, columns = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
    tiles = pixels.reshape(rows, SIDE, columns, SIDE, 4).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 4)
    tiles.setflags(write=False)
    return tiles
