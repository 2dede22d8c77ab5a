"""Locations: files inside the package, the embedded default beside it, and what users name by path or hub id."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def package_path(*parts: str) -> Path:
    """Return the path of a file or folder that comes inside the package.

    Args:
        parts: Below the package's folder, such as "hypernetwork", "networks".
    """
    return Path(str(files("lorarar"))).joinpath(*parts)


# Trained mergers and the embedded judge come inside the package.
NETWORKS = package_path("hypernetwork", "networks")
EMBEDDED_JUDGE = package_path("evaluation", "judge", "embedded")
# The embedded default's base, LoRAs, images and classifier: they come with the repository, not with the package.
EMBEDDED = package_path().parent / "data" / "embedded"


def is_hub_id(name: str | Path) -> bool:
    """Tell whether a name is a hub id (`owner/name` or `name`) rather than a path.

    A `Path`, a name that begins like a path or has a suffix of weights, and one whose first folder exists are paths.
    """
    if isinstance(name, Path) or name.startswith((".", "/", "~")) or name.endswith((".safetensors", ".pth", ".ckpt")):
        return False
    parts = Path(name).parts
    return len(parts) in (1, 2) and not Path(parts[0]).exists()


def local_path(name: str | Path, patterns: list[str] | None = None) -> Path:
    """Return a local file or folder: the path itself, or the folder that a hub id was downloaded to.

    Args:
        name: A path or a hub id, see `is_hub_id`.
        patterns: Shell patterns of the files to download from the hub; None is all of them.

    Raises:
        FileNotFoundError: There is no such path, or the hub has no such repository or cannot be reached.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    if not is_hub_id(name):
        raise FileNotFoundError(f"expected a file or folder at {name}, found none: check the path, or give a hub id")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError) as error:
        raise FileNotFoundError(
            f"expected {name} as a folder or on the hub, could not get it ({str(error).splitlines()[0]}): check the "
            "name and the network, or give a local path"
        ) from error
