"""Learned mergers in folders and on the Hugging Face hub: one file of weights and a generated card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorarar.hypernetwork.checkpoint import Network, load_network
from lorarar.lora.families import find_families
from lorarar.storage import FormatError, atomic_write, write_text

NETWORK = "merger.safetensors"
LICENCE = "apache-2.0"
_SHOWN = 4  # members of a long setting


def save_pretrained(file: str | Path, folder: str | Path, *, name: str = "", licence: str = LICENCE) -> Path:
    """Writes a trained merger's folder: its file as `NETWORK`, and `README.md`, its card.

    Args:
        file: What `lorarar train` wrote, its header included; or one of LoRA.rar's released files, whose licence is not
            ours to give.
        folder: Made if missing; files of these names are replaced.
        name: What the card calls it, such as "owner/name"; default: the folder's name.
        licence: An identifier of the hub's.

    Returns:
        The folder.

    Raises:
        FormatError: The file is missing, or is no learned merger.
    """
    network, folder = load_network(file), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NETWORK
    if Path(file).resolve() != path.resolve():
        with atomic_write(path, force=True) as temporary:
            shutil.copyfile(file, temporary)
    write_text(folder / "README.md", model_card(network, name or folder.resolve().name, licence))
    return folder


def open_network(network: str | Path | Network) -> Network:
    """Return a learned merger, loaded once; one that is loaded already is returned as it is.

    Args:
        network: A file, a folder that `save_pretrained` wrote, a hub id ("owner/name"), or a loaded network.

    Raises:
        FormatError: There is none, or it cannot be read.
    """
    return network if isinstance(network, Network) else load_network(network_file(network))


def network_file(name: str | Path) -> Path:
    """The file of a learned merger; it is downloaded where the name is a hub id, and kept in the hub's cache.

    Args:
        name: As `open_network`.

    Raises:
        FormatError: A folder without a merger, or a hub that has no such file or cannot be reached.
    """
    path = Path(name)
    if path.is_dir():
        if not (path / NETWORK).is_file():
            raise FormatError(f"expected {NETWORK} in {path}, found none: give a folder that save_pretrained wrote")
        return path / NETWORK
    if path.is_file() or not _is_hub_id(name):
        return path
    return _downloaded(str(name))


def _is_hub_id(name: str | Path) -> bool:
    """owner/name, and no folder of that owner's name here."""
    if not isinstance(name, str) or name.endswith((".safetensors", ".pth")):
        return False
    parts = Path(name).parts
    return len(parts) == 2 and not Path(parts[0]).exists()


def _downloaded(repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, NETWORK))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise FormatError(
            f"expected {NETWORK} in {repository} on the hub, could not get it ({str(error).splitlines()[0]}): check "
            "the name and the network, or give a local file or folder"
        ) from error


def push_to_hub(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Uploads a folder that `save_pretrained` wrote, with the login of `hf auth login`.

    Args:
        folder: Holds `NETWORK` and `README.md`; nothing else in it is uploaded.
        repository: "owner/name"; made if missing.
        private: Whether a new one is.

    Returns:
        The commit's address.

    Raises:
        FormatError: The folder has no merger, or no card.
    """
    from huggingface_hub import HfApi

    network = network_file(Path(folder))
    card = network.with_name("README.md")
    if not card.is_file():
        raise FormatError(f"expected a card at {card}, found none: write the folder with save_pretrained")
    api = HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    return str(
        api.upload_folder(
            repo_id=repository,
            folder_path=network.parent,
            allow_patterns=[NETWORK, card.name],
            commit_message=f"Upload a merger of kind {load_network(network).kind}",
        )
    )


def model_card(network: Network, name: str, licence: str = LICENCE) -> str:
    """The text of `README.md`: what it is, for which bases, how it was trained and validated, how it is used.

    Args:
        network: The merger, loaded.
        name: What the card calls it.
        licence: An identifier of the hub's.
    """
    module: Any = network.module
    config = asdict(module.config)
    made = network.metadata
    validated = {key.removeprefix("validation/"): made[key] for key in sorted(made) if key.startswith("validation/")}
    trained = {key: made[key] for key in sorted(made) if key.partition("/")[0] != "validation"}
    parameters = sum(p.numel() for p in module.parameters())
    return "\n".join(
        [
            *_front_matter(licence, made.get("base", "")),
            f"# {name}",
            "",
            f"A learned merger of kind `{network.kind}` ({parameters:,} parameters) for "
            "lorarar: it gives the coefficients that merge a content LoRA and a style LoRA into one ordinary LoRA.",
            "",
            *_table("For", {"families": _families(config), **{key: _shown(value) for key, value in config.items()}}),
            *_table("Training", trained or {"how": "the file does not say"}),
            *_table("Validation pairs", validated or {"scores": "the file holds none"}),
            "## Use",
            "",
            "```bash",
            f"lorarar merge content.safetensors style.safetensors -o merged.safetensors --hypernetwork {name}",
            "```",
            "",
            "```python",
            "from lorarar import load, merge, save",
            "",
            'content, style = load("content.safetensors"), load("style.safetensors")',
            f'save(merge(content, style, hypernetwork="{name}"), "merged.safetensors")',
            "```",
            "",
            *_table("File", {NETWORK: f"SHA-256 {network.sha256}", "licence": licence}),
        ]
    )


def _front_matter(licence: str, base: str) -> list[str]:
    """What the hub indexes; a base in a local folder says nothing to it."""
    known = [f"base_model: {base}"] if base.count("/") == 1 and not Path(base).exists() else []
    return ["---", f"license: {licence}", "library_name: lorarar", "tags: [lora, lora-merging]", *known, "---", ""]


def _table(title: str, rows: Mapping[str, str]) -> list[str]:
    return [f"## {title}", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items()), ""]


def _families(config: Mapping[str, Any]) -> str:
    """The bases that have all layers which the merger names; one that names none serves every base of its widths."""
    layers = config["groups"] if config.get("group") in ("layer", "column") else ()
    if not layers:
        return "every base model whose layers have the widths below" if "widths" in config else "every base model"
    found = [family.label for family in find_families(dict.fromkeys(layers, ()))]
    return ", ".join(found) or "none that lorarar knows by name"


def _shown(value: Any) -> str:
    """A setting as JSON; of a long one the number of members and the first."""
    if isinstance(value, tuple | list) and len(value) > 2 * _SHOWN:
        return f"{len(value)}, first {json.dumps(list(value[:_SHOWN]))}"
    return json.dumps(value)
