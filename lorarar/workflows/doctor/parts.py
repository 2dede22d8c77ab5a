"""Parts: shipped networks, the embedded judge, the embedded default, and the hub's cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lorarar.storage import EMBEDDED, EMBEDDED_DESCRIBER, EMBEDDED_JUDGE, NETWORKS, checked

# Variables that say whether libraries may use the network, and where they keep what they downloaded.
SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HOME", "HF_HUB_CACHE", "WANDB_MODE", "LORARAR_PROGRESS")
# Variables of which only the presence is told.
SECRETS = ("HF_TOKEN", "OPENAI_API_KEY", "LORARAR_API_KEY", "WANDB_API_KEY", "HF_ENDPOINT")


@dataclass(frozen=True)
class Part:
    """An artefact that comes with the package or with the repository.

    Attributes:
        name: What it is.
        path: Where it is expected.
        problem: What is wrong with it; "" if it is as its card says.
    """

    name: str
    path: str
    problem: str = ""


def find_parts(*, load: bool) -> list[Part]:
    """Return the shipped networks, the embedded judge, the embedded describer and the embedded default.

    Args:
        load: Whether the networks are loaded too, which takes torch.
    """
    networks = [NETWORKS / card.name.replace(".card.json", ".safetensors") for card in NETWORKS.glob("*.card.json")]
    parts = [_part(f"network {path.stem}", path, _load if load else checked) for path in sorted(networks)]
    if not networks:
        parts.append(Part("networks", str(NETWORKS), "expected networks with their cards, found none"))
    parts.append(_part("embedded judge", EMBEDDED_JUDGE, checked))
    parts.append(_part("embedded describer", EMBEDDED_DESCRIBER, checked))
    return [*parts, _part("embedded default: base", EMBEDDED / "base", checked)]


def find_switches() -> dict[str, str]:
    """Return the variables that are set: the values of `SWITCHES`, and "set" for each of `SECRETS`."""
    values = {name: os.environ[name] for name in SWITCHES if os.environ.get(name)}
    return values | {name: "set" for name in SECRETS if os.environ.get(name)}


def hub_cache() -> tuple[Path, int]:
    """Return the folder of downloaded models and its size in bytes, 0 without one."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    folder = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or home) / "hub").expanduser()
    sizes = (path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return folder, sum(sizes)


def _part(name: str, path: Path, check: Callable[[Path], object]) -> Part:
    if not path.exists():
        return Part(name, str(path), "not there")
    try:
        check(path)
    except Exception as error:  # a broken installation raises anything
        return Part(name, str(path), str(error))
    return Part(name, str(path))


def _load(path: Path) -> None:
    """Check a network against its card, and load it."""
    from lorarar.hypernetwork import load_network

    load_network(checked(path))
