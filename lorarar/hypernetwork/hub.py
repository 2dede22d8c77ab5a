"""Hub: learned mergers in folders and on the Hugging Face hub, each a file of weights and a generated card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorarar.hypernetwork.checkpoint import Network, load_network
from lorarar.lora.families import find_families
from lorarar.storage import FormatError, atomic_write, is_hub_id, local_path, write_text

NETWORK_FILE = "merger.safetensors"
LICENCE = "apache-2.0"
_MEMBERS = 4  # of a long setting that the card shows


def save_pretrained(file: str | Path, folder: str | Path, *, name: str = "", licence: str = LICENCE) -> Path:
    """Write the folder of a trained merger: its file as `merger.safetensors`, and its card `README.md`.

    Args:
        file: A file that `lorarar train` wrote, with its header. A released file of LoRA.rar works too, under the
            licence of its authors.
        folder: Created if missing; files of these names are replaced.
        name: Name of the merger in the card, such as "owner/name"; default: the name of the folder.
        licence: A licence identifier of the hub.

    Returns:
        The folder.

    Raises:
        FormatError: The file is missing, or is not a learned merger.
    """
    network, folder = load_network(file), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NETWORK_FILE
    if Path(file).resolve() != path.resolve():
        with atomic_write(path, force=True) as temporary:
            shutil.copyfile(file, temporary)
    write_text(folder / "README.md", model_card(network, name or folder.resolve().name, licence))
    return folder


def open_network(network: str | Path | Network) -> Network:
    """Return a learned merger: load it, or return it as it is if it is loaded already.

    Args:
        network: A file, a folder that `save_pretrained` wrote, a hub id ("owner/name"), or a loaded network.

    Raises:
        FormatError: The merger does not exist or cannot be read.
    """
    return network if isinstance(network, Network) else load_network(network_file(network))


def network_file(name: str | Path) -> Path:
    """Return the file of a learned merger; that of a hub id is downloaded and kept in the hub's cache.

    Args:
        name: A file, a folder or a hub id, as for `open_network`. The hub is not contacted for paths.

    Raises:
        FormatError: A folder has no merger, or the hub has no such repository or cannot be reached.
    """
    path = _download(name) if is_hub_id(name) else Path(name)
    if path.is_dir():
        path = path / NETWORK_FILE
        if not path.is_file():
            raise FormatError(
                f"expected {NETWORK_FILE} in {path.parent}, found none: give a folder that save_pretrained wrote"
            )
    return path


def _download(repository: str | Path) -> Path:
    try:
        return local_path(repository, [NETWORK_FILE])
    except FileNotFoundError as error:
        raise FormatError(f"cannot read {NETWORK_FILE} of {repository}: {error}") from error


def push_to_hub(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Upload a folder that `save_pretrained` wrote, with the login of `hf auth login`.

    Args:
        folder: Folder with `merger.safetensors` and `README.md`; only these two are uploaded.
        repository: "owner/name"; created if missing.
        private: Whether a repository that is created is private.

    Returns:
        The address of the commit.

    Raises:
        FormatError: The folder has no merger, or no card.
    """
    from huggingface_hub import HfApi

    file = network_file(Path(folder))
    card = file.with_name("README.md")
    if not card.is_file():
        raise FormatError(f"expected a card at {card}, found none: write the folder with save_pretrained")
    api = HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repository,
        folder_path=file.parent,
        allow_patterns=[NETWORK_FILE, card.name],
        commit_message=f"Upload a merger of kind {load_network(file).kind}",
    )
    return str(commit)


def model_card(network: Network, name: str, licence: str = LICENCE) -> str:
    """Return the text of `README.md`: what the merger is, its bases, training and validation, and how it is used.

    Args:
        network: The merger, loaded.
        name: Name of the merger in the card.
        licence: A licence identifier of the hub.
    """
    module: Any = network.module
    config = asdict(module.config)
    facts = network.metadata
    validation = {key.removeprefix("validation/"): facts[key] for key in sorted(facts) if key.startswith("validation/")}
    training = {key: facts[key] for key in sorted(facts) if not key.startswith("validation/")}
    parameters = sum(p.numel() for p in module.parameters())
    lines = [
        *_front_matter(licence, facts.get("base", "")),
        f"# {name}",
        "",
        f"A learned merger of kind `{network.kind}` ({parameters:,} parameters) for "
        "lorarar: it gives the coefficients that merge a content LoRA and a style LoRA into one ordinary LoRA.",
        "",
        *_table("For", {"families": _families(config), **{key: _setting(value) for key, value in config.items()}}),
        *_table("Training", training or {"how": "the file does not say"}),
        *_table("Validation pairs", validation or {"scores": "the file holds none"}),
        *_usage(name),
        *_table("File", {NETWORK_FILE: f"SHA-256 {network.sha256}", "licence": licence}),
    ]
    return "\n".join(lines)


def _usage(name: str) -> list[str]:
    return [
        "## Use",
        "",
        "```bash",
        f"lorarar merge content.safetensors style.safetensors -o merged.safetensors --network {name}",
        "```",
        "",
        "```python",
        "from lorarar import load, merge, save",
        "",
        'content, style = load("content.safetensors"), load("style.safetensors")',
        f'save(merge(content, style, network="{name}"), "merged.safetensors")',
        "```",
        "",
    ]


def _front_matter(licence: str, base: str) -> list[str]:
    """Return the metadata that the hub indexes; a local path is left out: it is valid on one machine only."""
    base_model = [f"base_model: {base}"] if base.count("/") == 1 and not Path(base).exists() else []
    return ["---", f"license: {licence}", "library_name: lorarar", "tags: [lora, lora-merging]", *base_model, "---", ""]


def _table(title: str, rows: Mapping[str, str]) -> list[str]:
    return [f"## {title}", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items()), ""]


def _families(config: Mapping[str, Any]) -> str:
    """Return the bases that a merger serves: those with all layers that it names, else every base of its widths."""
    layers = config["groups"] if config.get("group") in ("layer", "column") else ()
    if not layers:
        return "every base model whose layers have the widths below" if "widths" in config else "every base model"
    labels = [family.label for family in find_families(dict.fromkeys(layers, ()))]
    return ", ".join(labels) or "none that lorarar knows by name"


def _setting(value: Any) -> str:
    """Return a setting as JSON; of a long one the number of members and the first ones."""
    if isinstance(value, tuple | list) and len(value) > 2 * _MEMBERS:
        return f"{len(value)}, first {json.dumps(list(value[:_MEMBERS]))}"
    return json.dumps(value)
