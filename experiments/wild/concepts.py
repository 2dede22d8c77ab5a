"""Write data/wild/concepts.yaml: two LoRAs, a and b, for each validation and test concept of the embedded default.

python experiments/wild/concepts.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

EMBEDDED, OUTPUT = Path("data/embedded/concepts.yaml"), Path("data/wild/concepts.yaml")
COPIED = ("validation", "test")


def main() -> None:
    """Write the file."""
    source = yaml.safe_load(EMBEDDED.read_text(encoding="utf-8"))
    splits: dict[str, dict[str, list[str]]] = dict(source["splits"]["embedded"])
    entries = {entry["name"]: entry for entry in source["concepts"]}
    concepts: list[dict[str, Any]] = []
    for split in COPIED:
        axes = {}
        for axis, names in splits[split].items():
            axes[axis] = [f"{name}_{copy}" for name in names for copy in "ab"]
            concepts += [{**entries[name], "name": f"{name}_{copy}", "folder": name} for name in names for copy in "ab"]
        splits[split] = axes
    text = yaml.safe_dump({"concepts": concepts, "splits": {"wild": splits}}, sort_keys=False, width=110)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
