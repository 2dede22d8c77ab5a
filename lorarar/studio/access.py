"""Access: which files the page may read, and how typed paths, hub ids and dropped images become inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets import load_image, pixel_hash, save_image
from lorarar.library import Library
from lorarar.storage import EMBEDDED, digest, is_hub_id, path_remedy

DEMO_BASE = EMBEDDED / "base"
DEMO_FILES = ("test_content_03.safetensors", "test_style_03.safetensors")


@dataclass(frozen=True)
class Access:
    """Folders that the page may read, and the folder that it writes.

    Attributes:
        folders: Folders whose files may be named by path.
        work: Folder of uploads, results, votes.
        index: Index of a library; None without one.
    """

    folders: tuple[Path, ...]
    work: Path
    index: Path | None = None

    def resolve(self, text: str) -> str:
        """Return a path that may be read, or a hub id.

        Args:
            text: A path, absolute or below one of the folders, or a hub id (owner/name).

        Raises:
            ValueError: The path leaves the folders, links followed, or there is nothing.
        """
        text = text.strip().strip("\"'")
        if not text:
            raise ValueError("expected a path or a hub id (owner/name), found none: type one")
        places = [Path(text).expanduser(), *(folder / text for folder in self.folders)]
        inside = [path.resolve() for path in places if self._allows(path)]
        for path in inside:
            if path.exists():
                return str(path)
        if is_hub_id(text) and text.count("/") == 1 and not Path(text).exists():
            return text
        if not inside or Path(text).is_absolute():
            names = ", ".join(map(str, self.folders)) or "none"
            raise ValueError(
                f"expected a path inside the folders of this studio ({names}), found {text}: drop the file on the "
                "page, or start the studio with its folder"
            )
        raise ValueError(f"expected a file or folder at {text}, found none: {path_remedy(inside[0])}")

    def _allows(self, path: Path) -> bool:
        real = path.resolve()
        return any(real.is_relative_to(folder.resolve()) for folder in (*self.folders, self.work, EMBEDDED))

    def entries(self) -> list[tuple[str, str]]:
        """Return (what the list shows, path) of each LoRA in the index, in order of names."""
        if self.index is None:
            return []
        with Library(self.index) as library:
            rows = [entry for entry in library.entries() if entry.path]
        named = ((" · ".join(filter(None, (row.name, row.kind, row.family))), row.path) for row in rows)
        return sorted(named)

    def image_folder(self, uploads: Sequence[str]) -> str:
        """Return a folder with dropped images, decoded safely and written anew.

        Args:
            uploads: Paths of the uploads.

        Raises:
            ImageError: A file is no picture within the limits.
        """
        images = [load_image(Path(path)) for path in uploads]
        folder = self.work / "images" / digest([pixel_hash(image) for image in images])[:16]
        folder.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            save_image(image, folder / f"{number:03d}.png")
        return str(folder)


def demo_files() -> list[str]:
    """Return the two files of the demo; none where the repository's data are not there."""
    files = [EMBEDDED / "loras" / name for name in DEMO_FILES]
    return [str(file) for file in files] if all(file.is_file() for file in files) else []
