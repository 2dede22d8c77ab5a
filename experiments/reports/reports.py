"""Public bug reports, each tried on this package: `python experiments/reports/reports.py [--before]`.

--before writes before.json in place of results.json: run it with PYTHONPATH at a checkout of the commit to compare.
The exit code is 1 if a verdict is "wrong" or "unclear".
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch
import yaml
from files import Outcome
from lora_cases import CASES as LORA_CASES
from other_cases import CASES as OTHER_CASES

HERE = Path(__file__).parent
GOOD = ("right", "told", "refused")
COMMAND = "python experiments/reports/reports.py"


def run(name: str) -> Outcome:
    """Try one report; an exception is the verdict "unclear", because a user would see it."""
    try:
        return (LORA_CASES | OTHER_CASES)[name]()
    except Exception as error:
        return Outcome("unclear", f"{type(error).__name__}: {error}")


def main() -> int:
    """Try all reports, write the verdicts, and fill the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", action="store_true")
    before = parser.parse_args().before
    torch.set_num_threads(1)
    reports = yaml.safe_load((HERE / "reports.yaml").read_text(encoding="utf-8"))
    verdicts: dict[str, dict[str, str]] = {}
    for report in reports:
        outcome = run(report["id"])
        evidence = re.sub(rf"{tempfile.gettempdir()}\S*/", "", outcome.evidence)
        evidence = evidence if len(evidence) < 200 else evidence[:197] + "..."
        verdicts[report["id"]] = {"verdict": outcome.verdict, "evidence": evidence}
        print(f"{report['id']:28} {outcome.verdict:8} {evidence[:90]}")
    about = {"command": COMMAND + " --before" * before, "date": f"{date.today()}", "hardware": hardware()}
    path = HERE / ("before.json" if before else "results.json")
    path.write_text(json.dumps({**about, "verdicts": verdicts}, indent=1) + "\n", encoding="utf-8")
    if not before:
        fill(reports)
    return int(any(entry["verdict"] not in GOOD for entry in verdicts.values()))


def hardware() -> str:
    """Return the kind of machine."""
    return f"{platform.system()}, {platform.machine()}, CPU, torch {torch.__version__}"


def fill(reports: list[dict[str, Any]]) -> None:
    """Write the table of README.md between its marks."""
    then, now = (json.loads((HERE / name).read_text(encoding="utf-8")) for name in ("before.json", "results.json"))
    rows = ["| report | says | tried here | before | now |", "|---|---|---|---|---|"]
    for report in reports:
        old, new = (results["verdicts"].get(report["id"], {}).get("verdict", "-") for results in (then, now))
        new = f"**{new}**" if new != old else new
        rows.append(f"| [{report['id']}]({report['url']}) | {report['says']} | {report['tried']} | {old} | {new} |")
    counts = {kind: sum(entry["verdict"] == kind for entry in now["verdicts"].values()) for kind in GOOD}
    rows += ["", f"{now['date']}, {now['hardware']}: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()) + "."]
    page = HERE / "README.md"
    head, _, rest = page.read_text(encoding="utf-8").partition("<!-- table -->\n")
    tail = rest.partition("<!-- /table -->")[2]
    page.write_text(f"{head}<!-- table -->\n" + "\n".join(rows) + f"\n<!-- /table -->{tail}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
