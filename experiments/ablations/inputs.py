"""Gather the results of run.sh for LoRAs of other ranks, strengths and training lengths: inputs.json and inputs.md.

python experiments/ablations/inputs.py
"""

from __future__ import annotations

import json
from pathlib import Path

HERE, RUNS = Path(__file__).parent, Path("runs/ablations")
ROWS = ("content LoRA alone", "style LoRA alone", "direct", "constant per layer", "network", "our network")


def main() -> None:
    scores = {}
    for path in sorted(RUNS.glob("*/results/results.json")):
        methods = json.loads(path.read_text())["methods"]
        scores[path.parts[-3]] = {row: {k: methods[row][k] for k in ("content", "style", "joint")} for row in ROWS}
        optimised = path.parents[1] / "optimised" / "results.json"
        if optimised.is_file():
            scores[path.parts[-3]]["ZipLoRA"] = {
                "joint": json.loads(optimised.read_text())["methods"]["ZipLoRA"]["joint"]
            }
    (HERE / "inputs.json").write_text(json.dumps(scores, indent=1) + "\n")
    lines = [
        "| LoRAs | content alone | style alone | direct | constant per layer | LoRA.rar | our network | ZipLoRA |",
        "|---" * 8 + "|",
    ]
    for name, rows in scores.items():
        cells = [f"{rows[ROWS[0]]['content']['mean']:.3f}", f"{rows[ROWS[1]]['style']['mean']:.3f}"]
        cells += [f"{rows[row]['joint']['mean']:.3f}" for row in (*ROWS[2:], "ZipLoRA") if row in rows]
        lines.append(f"| {name} | {' | '.join(cells + [''] * (7 - len(cells)))} |")
    (HERE / "inputs.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
