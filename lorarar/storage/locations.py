"""Locations: files inside the package, the embedded default beside it, and what users name by path or hub id."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from lorarar.storage.atomic import FormatError
from lorarar.storage.suggestions import nearest_path


def package_path(*parts: str) -> Path:
    """Return the path of a file or folder that comes inside the package.

    Args:
        parts: Below the package's folder, such as "hypernetwork", "networks".
    """
    return Path(str(files("lorarar"))).joinpath(*parts)


# Trained mergers, the embedded judge and the embedded describer come inside the package.
NETWORKS = package_path("hypernetwork", "networks")
EMBEDDED_JUDGE = package_path("evaluation", "judge", "embedded")
EMBEDDED_DESCRIBER = package_path("evaluation", "judge", "describer")
# Configurations come inside an installed package; a repository has them beside it.
CONFIGS = package_path("configs") if package_path("configs").is_dir() else package_path().parent / "configs"
# The embedded default's base, LoRAs, images and classifier: they come with the repository, not with the package.
EMBEDDED = package_path().parent / "data" / "embedded"
# The art world's drawings, concepts and their images: they come with the repository as well.
ART = package_path().parent / "data" / "art"


# Folders that a repository has and an installed package lacks.
_REPOSITORY_FOLDERS = ("data", "experiments", "configs")


def shipped_configs() -> dict[str, Path]:
    """Return the name of each shipped configuration, such as "train/embedded", with its file."""
    return {path.relative_to(CONFIGS).with_suffix("").as_posix(): path for path in sorted(CONFIGS.rglob("*.yaml"))}


def repository_url() -> str:
    """Return the address of the repository, from the metadata of the installed package; "" when it has none."""
    from importlib.metadata import PackageNotFoundError, metadata  # late: it costs a tenth of the help's time

    try:
        urls = metadata("lorarar").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    named: dict[str, str] = dict(url.split(", ", 1) for url in urls)
    return named.get("Repository", "")


def missing_path(expected: str, path: str | Path) -> str:
    """Return the message for a path that does not exist, with a similar one or with how to get it.

    Args:
        expected: What was expected there, with an article: "a LoRA file".
        path: The path that was given.
    """
    return f"expected {expected} at {path}, found nothing there: {path_remedy(path)}"


def path_remedy(path: str | Path) -> str:
    """Return what to do about a path that does not exist: take a similar one, or get what the repository alone has."""
    path = Path(path)
    near, root = nearest_path(path), package_path().parent
    if near:
        return f"did you mean {near}?"
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    if inside.is_absolute() or not path.parts or inside.parts[0] not in _REPOSITORY_FOLDERS:
        return "check the path"
    if (root / inside).exists():
        return f"run the command in {root}, or give the whole path"
    return f"the repository has it, not the package: `git clone {repository_url() or 'URL'}`, and run the command there"


def is_hub_id(name: str | Path) -> bool:
    """Tell whether a name is a hub id (`owner/name` or `name`) rather than a path.

    A `Path`, a name that begins like a path or has a suffix of weights, and one whose first folder exists are paths.
    """
    if isinstance(name, Path) or name.startswith((".", "/", "~")) or name.endswith((".safetensors", ".pth", ".ckpt")):
        return False
    parts = Path(name).parts
    return len(parts) in (1, 2) and not Path(parts[0]).exists()


def check_present(names: Iterable[str | Path]) -> None:
    """Check that inputs exist, which comes before any check of an output.

    Args:
        names: Paths and hub ids; hub ids are skipped.

    Raises:
        FormatError: There is no such path.
    """
    for name in names:
        if not is_hub_id(name) and not Path(name).expanduser().exists():
            raise FormatError(f"{name} does not exist: {path_remedy(name)}")


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
        raise FileNotFoundError(missing_path("a file, a folder or a hub id", name))
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=patterns))
    except LocalEntryNotFoundError as error:
        reason = "HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else "the hub cannot be reached"
        raise FileNotFoundError(
            f"expected {name} as a folder, on the hub or in its cache, found no such folder and no copy, and {reason}: "
            "check the name and the network, or give a local path"
        ) from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise FileNotFoundError(
            f"expected {name} as a folder or on the hub, could not get it ({str(error).splitlines()[0]}): check the "
            "name and the network, or give a local path"
        ) from error
