"""Picture of the evaluator's tutorial: the top of a judge's report, taken by Chromium.

python docs/images/judge_report.py RUN [FILE]
RUN is the folder of a judged run, such as runs/judge of the tutorial.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 1100, 1000  # pixels


def main(run: Path, path: Path) -> None:
    """Take the picture."""
    page = (run / "report.html").resolve().as_uri()
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={shot}"]
        subprocess.run([*command, f"--window-size={WIDTH},{HEIGHT}", page], check=True, capture_output=True)
        Image.open(shot).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images/judge_report.png"))
