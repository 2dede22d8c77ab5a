"""CPU time of a whole merge from files to a file over that of the sum, in turns in one process: whole_merges.json.

ZipLoRA takes 100 steps where 64 pairs are compared (experiments/main), 50 at another rate where 256 are
(experiments/claims). "described" draws and describes both LoRAs anew, "kept words" finds their descriptions.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lorarar.mergers import FileMerge, MergeRequest, PairInputs
from lorarar.storage import EMBEDDED, track, write_json
from lorarar.workflows import merge_to_file

PAIRS = [(0, 1), (3, 4), (6, 2), (5, 7)]  # of validation contents and styles
REPEATED = 8  # merges of one that does not optimise
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "direct": {"merger": "direct"},
    "two scalars": {"merger": "direct", "weights": (0.75, 0.75)},
    "auto": {"merger": "auto"},
    "our network": {},
    "ZipLoRA, 50 steps": {"merger": "ziplora", "options": {"similarity": 0.0, "steps": 50, "learning_rate": 0.03}},
    "ZipLoRA, 100 steps": {"merger": "ziplora", "options": {"similarity": 0.0}},
    "text-guided, described": {"merger": "text_guided"},
    "text-guided, kept words": {"merger": "text_guided"},
}


def main() -> None:
    """Time each merge of each pair, the first pair twice, of which the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in REQUESTS}
    with TemporaryDirectory() as place:
        folder = Path(place)
        for number, (content, style) in enumerate(track([PAIRS[0], *PAIRS], "time merges", unit="pairs")):
            for name in REQUESTS:
                if name == "text-guided, described":
                    shutil.rmtree(folder / "descriptions", ignore_errors=True)
                merge = job(name, f"validation_content_{content:02}", f"validation_style_{style:02}", folder)
                for _ in range(1 if merge.request.base else REPEATED):
                    start = time.process_time()
                    merge_to_file(merge)
                    if number:
                        seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    shares = {
        f"over {rival}": {name: round(median / medians[rival], 3) for name, median in medians.items()}
        for rival in ("direct", "ZipLoRA, 50 steps", "ZipLoRA, 100 steps")
    }
    what = "CPU time of a whole merge from files to a file, median"
    write_json(Path(__file__).with_suffix(".json"), {"what": what, "pairs": len(PAIRS), **shares}, indent=1)
    print(shares)


def job(name: str, content: str, style: str, folder: Path) -> FileMerge:
    """Return one merge from files to a file."""
    given: dict[str, Any] = {}
    if name.startswith("ZipLoRA"):
        given = {f"{side}_images": EMBEDDED / "images" / x for side, x in (("content", content), ("style", style))}
    elif name.startswith("text-guided"):
        given = {"describe": "tiny"}
    base = {"base": EMBEDDED / "base", "pair": PairInputs(runs=folder / "pair.run", **given)} if given else {}
    files = [EMBEDDED / "loras" / f"{part}.safetensors" for part in (content, style)]
    return FileMerge(
        files, folder / "out.safetensors", MergeRequest(**REQUESTS[name], **base, device="cpu"), force=True
    )


if __name__ == "__main__":
    main()
