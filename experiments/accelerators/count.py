"""Count the accelerators that are missed and the other LoRAs that are taken for one, by name alone.

The part "merged" are merges of each accelerator with a LoRA that is none, named and titled after both, with the header
that `lorarar merge` writes.
"""

from __future__ import annotations

import csv
from pathlib import Path

from lorarar.formats import metadata_for
from lorarar.lora import LoRA
from lorarar.mergers import accelerator
from lorarar.storage import EMBEDDED, write_json

HERE = Path(__file__).parent


def main() -> None:
    """Write results.json, and print it."""
    parts: dict[str, list[tuple[bool, LoRA]]] = {}
    with (HERE / "names.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            parts.setdefault(row["part"], []).append((row["accelerator"] == "1", LoRA({}, name=row["name"])))
    named = [(is_true, lora.name) for loras in parts.values() for is_true, lora in loras]
    parts["embedded"] = [
        (False, LoRA({}, name=path.name)) for path in sorted((EMBEDDED / "loras").glob("*.safetensors"))
    ]
    other = next(name for is_true, name in named if not is_true)
    parts["merged"] = [(False, merge_of(other, name)) for is_true, name in named if is_true]
    results = {}
    for part, loras in parts.items():
        missed = [lora.name for is_true, lora in loras if is_true and not accelerator(lora)]
        false = [lora.name for is_true, lora in loras if not is_true and accelerator(lora)]
        true = sum(is_true for is_true, _ in loras)
        results[part] = {"accelerators": true, "missed": missed, "others": len(loras) - true, "false_alarms": false}
    write_json(HERE / "results.json", results)
    for part, counts in results.items():
        print(part, counts)


def merge_of(*names: str) -> LoRA:
    """Return a LoRA with the name and the header of a merge of files of these names."""
    files = [f"{name}.safetensors" for name in names]
    header = metadata_for(LoRA({}), inputs=[(file, "") for file in files], title=" + ".join(names))
    return LoRA({}, header, name=f"{'+'.join(names)}.safetensors")


if __name__ == "__main__":
    main()
