"""Time of text-guided merging with described words over that of tuned ZipLoRA, measured in turns in one process."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from lorarar.mergers import FileMerge, MergeRequest, PairInputs
from lorarar.storage import EMBEDDED, write_json
from lorarar.workflows import merge_to_file

FOLDER = Path(__file__).parent
PAIRS = [(0, 1), (3, 4)]  # of validation contents and styles


def main() -> None:
    seconds: dict[str, list[float]] = {"ZipLoRA, tuned": [], "described": [], "described, kept words": []}
    with TemporaryDirectory() as folder:
        warm_up = True
        for content, style in [PAIRS[0], *PAIRS]:  # the first round warms up
            for name, values in seconds.items():
                if name == "described":
                    shutil.rmtree(Path(folder) / "descriptions", ignore_errors=True)
                start = time.process_time()
                merge_to_file(job(name, f"validation_content_0{content}", f"validation_style_0{style}", Path(folder)))
                if not warm_up:
                    values.append(time.process_time() - start)
            warm_up = False
    zip_lora = statistics.median(seconds["ZipLoRA, tuned"])
    shares = {name: round(statistics.median(values) / zip_lora, 3) for name, values in seconds.items()}
    write_json(FOLDER / "ratio.json", {"what": "CPU time of a whole merge over tuned ZipLoRA's", "shares": shares})
    print(shares)


def job(name: str, content: str, style: str, folder: Path) -> FileMerge:
    """Return one merge from files to a file."""
    prompts = {"runs": folder / "pair.run"}
    if name == "ZipLoRA, tuned":
        images = {"content_images": EMBEDDED / "images" / content, "style_images": EMBEDDED / "images" / style}
        request = MergeRequest("ziplora", options={"similarity": 0.0}, pair=PairInputs(**prompts, **images))
    else:
        request = MergeRequest("text_guided", pair=PairInputs(**prompts, describe="tiny"))
    files = [EMBEDDED / "loras" / f"{part}.safetensors" for part in (content, style)]
    request = MergeRequest(
        request.merger, options=request.options, pair=request.pair, base=EMBEDDED / "base", device="cpu"
    )
    return FileMerge(files, folder / "out.safetensors", request, force=True)


if __name__ == "__main__":
    main()
