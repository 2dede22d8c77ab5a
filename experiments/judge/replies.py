"""Read the labelled replies of the tests and count right answers, lost answers and votes against a label.

python experiments/judge/replies.py
PYTHONPATH=FOLDER python experiments/judge/replies.py      by the parser of another version, unpacked in FOLDER
"""

from __future__ import annotations

from pathlib import Path

import yaml

from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Question, Reply

FOLDER = Path("tests/evaluation/judge/read")


def main() -> None:
    """Print a line for each set of replies."""
    for name in ("replies", "replies_second"):
        rows = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        sure = [row for row in rows if row.get("sure", True)]
        print(f"{name}: {len(rows)} replies, {len(sure)} of them sure")
        for kind, count in count_outcomes(sure).items():
            print(f"  {kind}: {count}")


def count_outcomes(rows: list[dict[str, object]]) -> dict[str, int]:
    """Count replies that are read as labelled, that abstain against a label, and votes against a label."""
    counts = {"as labelled": 0, "clear answer lost": 0, "vote against the label": 0}
    for row in rows:
        question = Question("q", "i", "content", "r", "mars2", ("a", "b"), ("", ""), "Same?", row["answer"])
        verdict = parse_reply(Reply(text=row["text"], finish_reason="stop"), question)
        value = None if verdict.value is None else verdict.value * (4 if row["answer"] == "scale" else 1)
        lost = "clear answer lost" if value is None else "vote against the label"
        counts["as labelled" if value == row["expected"] else lost] += 1
    return counts


if __name__ == "__main__":
    main()
