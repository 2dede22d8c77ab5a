"""Write the main table of results.json into the README, between its marks.

python experiments/main/fill.py
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
OURS = "our network"
HEAD = (
    "| method | content | style | joint | strict | our network minus this, joint | tried | judge |\n"
    + "|---" * 8
    + "|\n"
)
MARKS = ("<!-- main -->\n", "<!-- /main -->")


def main() -> None:
    results = json.loads((HERE / "results.json").read_text())
    ranked = sorted(results["methods"], key=lambda name: -results["methods"][name]["joint"]["mean"])
    references = [name for name in ranked if is_reference(results["methods"][name])]
    rows = [row(results, name) for name in ranked if name not in references]
    rows += ["| *references and ceilings* | | | | | | | |", *(row(results, name) for name in references)]
    text = README.read_text()
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    README.write_text(before + MARKS[0] + HEAD + "\n".join(rows) + "\n" + MARKS[1] + after)


def is_reference(method: dict) -> bool:
    return method["kind"] in ("base", "content", "style", "truth", "joint") or bool(
        method["settings"].get("true_descriptions")
    )


def row(results: dict, name: str) -> str:
    method, judged = results["methods"][name], results["judge"]["methods"][name]
    seeds = ", ".join(f"{value:.3f}"[1:] for value in method.get("joint_of_training_seeds", []))
    label = f"**{name}**" if name in results["tied_with_the_best"] else name
    cells = [
        f"{label} ({seeds})" if "," in seeds else label,
        f"{method['content']['mean']:.3f}",
        f"{method['style']['mean']:.3f}",
        interval(method["joint"], ".3f"),
        f"{method['strict']['mean']:.3f}",
        minus(results["compared"]["joint"], name),
        str(len(method.get("tried") or []) or ""),
        f"{judged['mars2']:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def minus(compared: list[dict], name: str) -> str:
    for comparison in compared:
        if (comparison["first"], comparison["second"]) == (OURS, name):
            return interval(comparison, "+.3f") + (" *" if comparison["differs"] else "")
    return ""


def interval(value: dict, form: str) -> str:
    return f"{value['mean']:{form}} [{value['low']:{form}}, {value['high']:{form}}]"


if __name__ == "__main__":
    main()
