"""Count the right words of the descriptions that the benchmark in the wild kept: writes wild/words.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lorarar.storage import write_json

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "describe"))
from words import count_right  # noqa: E402 - of the neighbouring experiment

words = {
    path.parent.name.rpartition("_")[0]: path.read_text(encoding="utf-8").strip()
    for path in sorted(Path("runs/claims_wild/descriptions").glob("*/description.txt"))
}
counted = {letter: count_right({n[:-2]: w for n, w in words.items() if n.endswith(letter)}) for letter in ("_a", "_b")}
write_json(FOLDER / "wild" / "words.json", counted)
print(json.dumps({letter: (each["right"], each["wrong"]) for letter, each in counted.items()}, indent=1))
