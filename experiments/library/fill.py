"""Tables of README.md from the results: the last line of run.sh.

A table stands between the lines <!-- NAME --> and <!-- /NAME -->; a table whose results are missing says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LABELS = {
    "direction": "`direction` (invariant)",
    "sketch": "`sketch` (invariant)",
    "spectrum": "`spectrum` (invariant)",
    "norms": "norms alone (invariant)",
    "exact": "exact cosine, each layer alike (invariant)",
    "raw": "raw A\\|B, PCA",
    "canonical": "singular vectors with signs, PCA",
    "behaviour": "`behaviour` of the base (invariant)",
    "images": "drawn images, embedded tower",
    "pixels": "drawn images, colour statistics",
    "chance": "chance",
}
SIZES = ("256 numbers", "1,024 numbers", "4,096 numbers", "4,096 signs", "16,384 signs")


def main() -> None:
    """Fill the tables."""
    path = HERE / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, (file, make) in TABLES.items():
        results = HERE / file
        lines = make(json.loads(results.read_text(encoding="utf-8"))) if results.exists() else ["Not run yet."]
        mark = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, count = re.subn(mark, lambda m, body=lines: m[1] + "\n".join(body) + "\n" + m[2], text, flags=re.S)
        if count != 1:
            raise ValueError(f"expected the marks of {name} once in README.md, found {count}: add them")
    path.write_text(text, encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def interval(values: Sequence[float]) -> str:
    """Return ".53 [.41, .64]"."""
    mean, low, high = (f"{value:.2f}" for value in values)
    return f"{mean} [{low}, {high}]"


def retrieval(results: dict[str, Any]) -> list[str]:
    """Return mAP and recall@1, @5 across ways and mAP within two ways, and the clusters."""
    found = results["retrieval"]
    rows = []
    for name, label in LABELS.items():
        across = found["across"][name]
        cells = [interval(across[measure]) for measure in ("mAP", "recall@1", "recall@5")]
        cells += [interval(found[f"within {way}"][name]["mAP"]) for way in ("own", "shared")]
        clusters = results["clusters"].get(name)
        rows.append([label, *cells, *((interval(clusters[m]) for m in ("ARI", "NMI")) if clusters else ("", ""))])
    head = ["", "mAP across", "recall@1 across", "recall@5 across", "mAP within `own`", "mAP within `shared`"]
    return table([*head, "ARI of all", "NMI of all"], rows)


def differences(results: dict[str, Any]) -> list[str]:
    """Return the differences of mAP, each with its interval."""
    scenarios = results["retrieval"]
    names = [name for name in scenarios["across"] if name.startswith("mAP of")]
    return table(
        ["difference", *scenarios],
        ([name.removeprefix("mAP of "), *(interval(rows[name]) for rows in scenarios.values())] for name in names),
    )


def sizes(results: dict[str, Any]) -> list[str]:
    """Return mAP, bytes and time of the direction in several sizes."""
    costs = json.loads((HERE / "scale.json").read_text(encoding="utf-8"))["sizes of fingerprints"]
    found = results["retrieval"]
    return table(
        ["size", "mAP across", "mAP within `own`", "mAP within `shared`", "bytes", "CPU ms for 100,000"],
        (
            [
                f"**{size}**" if size == "16,384 signs" else size,
                *(interval(found[s][f"projection, {size}"]["mAP"]) for s in ("across", "within own", "within shared")),
                costs[size]["bytes"],
                costs[size]["CPU ms"],
            ]
            for size in SIZES
        ),
    )


def epochs(results: dict[str, Any]) -> list[str]:
    """Return the cosines of checkpoints of one run, and how many are found at thresholds."""
    alarms = results["false alarms by threshold"]
    thresholds = [key for key in alarms if float(key) < 0.9]
    rows: list[list[object]] = [
        [name, row["least cosine"], row["median cosine"], *(row[f"cosine at least {t}"] for t in thresholds)]
        for name, row in results["pairs of one run"].items()
    ]
    pairs = results["pairs of different LoRAs"]
    rows.append([f"false alarms, {pairs:,} pairs", "", "", *(alarms[t] for t in thresholds)])
    heads = [f"found at {t}" for t in thresholds]
    return table([f"checkpoints, {results['runs']} runs", "least cosine", "median", *heads], rows)


def gauge(results: dict[str, Any]) -> list[str]:
    """Return how often the original was found, by change and file."""
    total = results["originals"]
    return table(
        ["change, file", "nearest by sketch", "found as same weights", "least exact cosine"],
        (
            [name, f"{row['nearest']} of {total}", f"{row['same weights']} of {total}", row["least cosine"]]
            for name, row in results["changes"].items()
        ),
    )


def attribution(results: dict[str, Any]) -> list[str]:
    """Return precision, recall and errors by merger, of the test half."""
    rows = [
        ["all", results["all"]],
        ["called a sum", results["called a sum"]],
        ["not called a sum", results["not called a sum"]],
        *([name, halves["test"]] for name, halves in results["mergers"].items() if "test" in halves),
    ]
    keys = ("merges", "precision", "recall", "median error of a weight", "true weight inside the interval")
    keys += ("median residual", "called a sum")
    return table(["merger", *keys], ([name, *(row[key] for key in keys)] for name, row in rows))


def kinds(results: dict[str, Any]) -> list[str]:
    """Return the shares of right predictions."""
    return table(
        ["LoRAs", "number", "predicted", "right among these", "probability at least .9", "wrong among these"],
        (
            [
                name,
                row["loras"],
                row["predicted"],
                interval(row["right"]) if row["right"] else "",
                row["sure"],
                row["wrong and sure"],
            ]
            for name, row in results["results"].items()
        ),
    )


def scale(results: dict[str, Any]) -> list[str]:
    """Return all numbers of the cost."""
    parts = {part: rows for part, rows in results.items() if part != "sizes of fingerprints"}
    return table(["", "", ""], ([part, name, value] for part, rows in parts.items() for name, value in rows.items()))


TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], list[str]]]] = {
    "retrieval": ("retrieval.json", retrieval),
    "differences": ("retrieval.json", differences),
    "sizes": ("retrieval.json", sizes),
    "epochs": ("epochs.json", epochs),
    "gauge": ("gauge.json", gauge),
    "attribution": ("attribution.json", attribution),
    "kinds": ("kinds.json", kinds),
    "scale": ("scale.json", scale),
}


if __name__ == "__main__":
    main()
