"""Count the accelerators that are missed and the other LoRAs that are taken for one, by name alone."""

from __future__ import annotations

import csv
from pathlib import Path

from lorarar.lora import LoRA
from lorarar.mergers import accelerator
from lorarar.storage import EMBEDDED, write_json

HERE = Path(__file__).parent


def main() -> None:
    """Write results.json, and print it."""
    parts: dict[str, list[tuple[bool, str]]] = {}
    with (HERE / "names.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            parts.setdefault(row["part"], []).append((row["accelerator"] == "1", row["name"]))
    parts["embedded"] = [(False, path.name) for path in sorted((EMBEDDED / "loras").glob("*.safetensors"))]
    results = {}
    for part, names in parts.items():
        missed = [name for true, name in names if true and not accelerator(LoRA({}, name=name))]
        false = [name for true, name in names if not true and accelerator(LoRA({}, name=name))]
        true = sum(is_true for is_true, _ in names)
        results[part] = {"accelerators": true, "missed": missed, "others": len(names) - true, "false_alarms": false}
    write_json(HERE / "results.json", results)
    for part, counts in results.items():
        print(part, counts)


if __name__ == "__main__":
    main()
