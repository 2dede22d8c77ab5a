"""Time until the studio says what two files are, over that of the command line, in turns.

python experiments/studio/measure.py [--rounds 3] [--rank 64] [--chromium /usr/bin/chromium]
python experiments/studio/measure.py --fill      # the table of README.md, from results.json

Needs the extra `studio` and the package playwright. A studio is started for each round, so that nothing is read before;
its start does not count, since the page stays open. Results are ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT)]

from lorarar.benchmark.speed import synthetic_lora  # noqa: E402
from lorarar.formats import save  # noqa: E402
from tests.studio.running import studio  # noqa: E402

ENTRY = "from lorarar.cli.main import entry; entry()"


def command_seconds(*words: str) -> float:
    """Return how long a command takes as a process of its own."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", ENTRY, *words], check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - start


def page_seconds(files: list[Path], chromium: str) -> tuple[float, float]:
    """Return the seconds from choosing two files until their cards stand there, and until it says where they meet."""
    playwright = import_module("playwright.sync_api")
    with tempfile.TemporaryDirectory() as folder, studio(Path(folder)) as port, playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(f"http://127.0.0.1:{port}")
        page.get_by_role("button", name="Add", exact=True).wait_for()
        start = time.perf_counter()
        page.locator("input[type=file]").first.set_input_files(list(map(str, files)))
        page.locator(".slot .file").nth(1).wait_for()
        cards = time.perf_counter() - start
        page.locator(".heat li").first.wait_for()
        both = time.perf_counter() - start
        browser.close()
    return cards, both


def measure(rounds: int, rank: int, chromium: str) -> dict[str, object]:
    """Return the ratios of each round."""
    inspected, recommended = [], []
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.safetensors" for name in ("content", "style")]
        for seed, file in enumerate(files):
            save(synthetic_lora("sdxl", rank, seed), file)
        for number in range(rounds):
            cards, both = page_seconds(files, chromium)
            inspect = sum(command_seconds("inspect", str(file)) for file in files)
            recommend = command_seconds("recommend", *map(str, files))
            inspected.append(cards / inspect)
            recommended.append(both / (inspect + recommend))
            print(f"round {number + 1}: {inspected[-1]:.2f}, {recommended[-1]:.2f}", file=sys.stderr)
        size = files[0].stat().st_size
    return {
        "date": date.today().isoformat(),
        "megabytes": round(size / 1e6),
        "gradio": version("gradio"),
        "cards / inspect": inspected,
        "cards and heat map / inspect and recommend": recommended,
    }


def fill() -> None:
    """Write the table of the page."""
    results = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    rows = ["| page | over the commands | median ratio | largest |", "|---|---|---|---|"]
    for name, ratios in results.items():
        if isinstance(ratios, list):
            page, commands = name.split(" / ")
            rows.append(f"| {page} | {commands} | {statistics.median(ratios):.2f} | {max(ratios):.2f} |")
            count = len(ratios)
    rows.append(
        f"\n{results['date']}, two files of {results['megabytes']} MB, {count} rounds, Gradio {results['gradio']}."
    )
    text = (HERE / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- results -->")
    _, _, after = rest.partition("<!-- /results -->")
    table = "\n".join(rows)
    (HERE / "README.md").write_text(f"{before}<!-- results -->\n{table}\n<!-- /results -->{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--fill", action="store_true")
    arguments = parser.parse_args()
    if not arguments.fill:
        results = measure(arguments.rounds, arguments.rank, arguments.chromium)
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    fill()


if __name__ == "__main__":
    main()
