"""The learned mergers that come with lorarar."""

from __future__ import annotations

import json
from pathlib import Path

from lorarar.storage import NETWORKS


def shipped_network(family: str, folder: Path = NETWORKS) -> Path | None:
    """The shipped network for a family of base models, or None.

    Args:
        family: A key of `lorarar.lora.families.FAMILIES`; "" (unknown) has none.
        folder: Where networks lie, each with its card beside it. A card whose "default_for" names a family offers its
            network to that family's LoRAs.
    """
    if not family:
        return None
    for card in sorted(folder.glob("*.card.json")):
        if json.loads(card.read_text(encoding="utf-8")).get("default_for") == family:
            return card.with_name(card.name.removesuffix(".card.json") + ".safetensors")
    return None
