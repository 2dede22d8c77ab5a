"""What `lorarar verify` says of each fault that the tests plant into a correct merge: faults.json.

python experiments/verify/faults.py
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))
import pytest  # noqa: E402

from tests.workflows import test_verification as tests  # noqa: E402


def main() -> None:
    """Write faults.json: for each fault whether it was found, and the first line that says so."""
    found = {}
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        tests.write_merges(folder)
        for fault, planted in tests.FAULTS.items():
            place = folder / re.sub(r"\W+", "_", fault)
            place.mkdir()
            faults = tests.verify_planted(planted, folder, place, patch).faults
            said = [text for text in faults if re.search(planted.message, text)]
            found[fault] = {"found": bool(said), "says": re.sub(r"/\S*/", "", said[0]) if said else ""}
    (HERE / "faults.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{sum(each['found'] for each in found.values())} of {len(found)} faults found")


if __name__ == "__main__":
    main()
