"""Shipped networks: the learned mergers that come with lorarar."""

from __future__ import annotations

import json
from pathlib import Path

from lorarar.storage import NETWORKS


def shipped_network(family: str, folder: Path = NETWORKS) -> Path | None:
    """Return the file of the network that is shipped for a family of base models; None where none is.

    Only the cards are read, not the networks.

    Args:
        family: A key of `lorarar.lora.families.FAMILIES`; "" (unknown) has no network.
        folder: Networks, each with its card beside it. A network serves the family that its card names as
            "default_for".
    """
    if not family:
        return None
    for card in sorted(folder.glob("*.card.json")):
        if json.loads(card.read_text(encoding="utf-8")).get("default_for") == family:
            return card.with_name(card.name.removesuffix(".card.json") + ".safetensors")
    return None
